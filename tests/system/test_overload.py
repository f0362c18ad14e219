"""More than the broker confirms: what comes is refused, or kept, at once; and it recovers."""

import threading

from support.load import Load
from support.wait import wait_until


def is_late(user):
    return user.metric("user_service_broker_blocked") == 1


def test_while_confirms_are_late_the_outbox_takes_what_comes(world, broker):
    user = world.user_service("--confirm-timeout", "5s").wait_ready()
    session = world.session_service().wait_ready()
    broker.freeze()
    try:
        waiting = Load(user.port, 4, 4, "waiting").start()
        wait_until(lambda: is_late(user), 5, "it notices")
        assert "slow to confirm" in user.get("/readyz").json()["detail"]
        load = Load(user.port, 16, 400, "late").start().join(30)
        assert load.statuses == {202: 400} and load.longest_s < 3
    finally:
        broker.thaw()
    waiting.join(20)
    assert set(waiting.statuses) <= {200, 202}, waiting.statuses
    wait_until(lambda: not is_late(user), 20, "it recovers")
    user.wait_ready()
    wait_until(lambda: user.save({"name": "Ada"}).status_code == 200, 10, "saves are confirmed again")
    wait_until(lambda: set(load.ok + waiting.ok) <= set(session.handled_ids()), 30, "all arrive")


def test_a_connection_that_never_confirms_is_given_up(world, broker):
    user = world.user_service("--confirm-timeout", "1s", "--heartbeat", "60s").wait_ready()
    broker.freeze()
    try:
        assert user.save({"name": "Ada"}).status_code == 202
        lost = wait_until(lambda: user.events("broker.disconnected"), 30, "it is given up")
        assert "has not confirmed a message for 10 s" in lost[0]["error"]
    finally:
        broker.thaw()
    wait_until(lambda: user.save({"name": "Ada"}).status_code == 200, 30, "there is another one")


def test_what_would_not_be_confirmed_in_time_is_refused(world):
    """With a time that no confirm can keep the limit falls to its least; with less load it rises."""
    user = world.user_service("--overload-latency", "1ms").wait_ready()
    load = Load(user.port, 150, 10 ** 6, "over").start()
    try:
        wait_until(lambda: user.metric("user_service_saves_limit") == 64, 30, "it falls")
        wait_until(lambda: load.statuses.get(503, 0) > 0, 30, "some are refused")
    finally:
        load.stop()
        load.join()
    assert set(load.statuses) == {200, 503}, load.statuses
    assert user.metric('user_service_saves_total{outcome="overloaded"}') == load.statuses[503]
    assert user.save({"name": "Ada"}).status_code == 200


def test_one_address_may_have_only_so_many_connections(world):
    user = world.user_service("--address-connection-limit", "20").wait_ready()
    load = Load(user.port, 40, 400, "many").start().join()
    assert load.statuses[200] >= 20
    refused = {k: v for k, v in load.statuses.items() if k != 200}
    assert refused and all(isinstance(k, str) for k in refused), load.statuses
    wait_until(lambda: user.metric("http_connections") == 1, 10, "only this one is left")
    assert threading.active_count() < 40
