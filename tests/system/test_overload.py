"""More than the broker confirms: what comes is refused, or kept, at once; and it recovers."""

import collections
import signal
import socket

from support.load import Load
from support.wait import PATIENCE_S, eventually


def is_late(user):
    return user.metric("user_service_broker_blocked") == 1


def test_while_confirms_are_late_the_outbox_takes_what_comes(world, broker):
    user = world.user_service("--confirm-timeout", "5s", "--heartbeat", "60s").wait_ready()
    session = world.session_service().wait_ready()
    broker.freeze()
    try:
        waiting = Load(user.port, 4, 4, "waiting").start()
        eventually(lambda: is_late(user), "it notices")
        assert "slow to confirm" in user.get("/readyz").json()["detail"]
        under_way = user.metric("user_service_saves_in_flight")
        load = Load(user.port, 16, 400, "late").start()
        eventually(lambda: len(load.ok) >= 8, "some are kept")
        # None has waited for its confirm: what is sent to the broker is under way until that comes.
        assert user.metric("user_service_saves_in_flight") <= under_way <= 4
        load.join()
        assert load.statuses == {202: 400}
    finally:
        broker.thaw()
    waiting.join()
    assert set(waiting.statuses) <= {200, 202}, waiting.statuses
    eventually(lambda: not is_late(user), "it recovers")
    user.wait_ready()
    eventually(lambda: user.save({"name": "Ada"}).status_code == 200, "saves are confirmed again")
    eventually(lambda: set(load.ok + waiting.ok) <= set(session.handled_ids()), "all arrive")


def test_a_connection_that_never_confirms_is_given_up(world, broker):
    user = world.user_service("--confirm-timeout", "1s", "--heartbeat", "60s").wait_ready()
    broker.freeze()
    try:
        assert user.save({"name": "Ada"}).status_code == 202
        lost = eventually(lambda: user.events("broker.disconnected"), "it is given up")
        assert "has not confirmed a message for 10 s" in lost[0]["error"]
    finally:
        broker.thaw()
    eventually(lambda: user.save({"name": "Ada"}).status_code == 200, "there is another one")


def test_what_would_not_be_confirmed_in_time_is_refused(world):
    """With a time that no confirm can keep the limit falls to its least; with less load it rises."""
    user = world.user_service("--outbox", "off", "--overload-latency", "1ms", "--confirm-timeout", "60s").wait_ready()
    load = Load(user.port, 150, 10 ** 6, "over").start()
    try:
        eventually(lambda: user.metric("user_service_saves_limit") == 64, "it falls")
        eventually(lambda: load.statuses.get(503, 0) > 0, "some are refused")
    finally:
        load.stop()
        load.join()
    assert set(load.statuses) == {200, 503}, load.statuses
    assert user.metric('user_service_saves_total{outcome="overloaded"}') == load.statuses[503]
    assert user.save({"name": "Ada"}).status_code == 200


def burst(user, connections):
    """The statuses of saves that are all there before the first of them is read."""
    sockets = [socket.create_connection(("127.0.0.1", user.port), timeout=PATIENCE_S) for _ in range(connections)]
    # Each has been accepted when its first reply is there.
    for one in sockets:
        one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert one.recv(4096).startswith(b"HTTP/1.1 200")
    user.signal(signal.SIGSTOP)
    for one in sockets:
        one.sendall(b"POST /users/save HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 14\r\n\r\n{\"name\":\"Ada\"}")
    user.signal(signal.SIGCONT)
    statuses = collections.Counter(one.recv(4096)[9:12].decode() for one in sockets)
    for one in sockets:
        one.close()
    return statuses


def test_a_long_turn_accepts_more_than_the_limit(world):
    """Thousands are refused in one turn of the HTTP loop: what is confirmed meanwhile makes room."""
    user = world.user_service("--outbox", "off", "--max-in-flight", "8", "--confirm-timeout", "60s").wait_ready()
    seen = []

    def is_more_accepted():
        seen.append(burst(user, 1000))
        assert set(seen[-1]) <= {"200", "503"}, seen
        return seen[-1]["200"] > 16 and seen[-1]["503"] > 0

    eventually(is_more_accepted, "more than the limit is accepted")
    print(seen)
