"""What the broker can do to us. Every 200 must be in the session-service's log."""

import functools
import time

import pika
import pytest
import requests

from support.load import Load
from support.proxy import Proxy
from support.store import inbox_and_effects
from support.wait import PATIENCE_S, eventually


def assert_nothing_lost(load, session):
    ok = set(load.ok)
    try:
        eventually(lambda: ok <= set(session.handled_ids()), "every 200 is in the log")
    except AssertionError:
        lost = ok - set(session.handled_ids())
        raise AssertionError("lost %d of %d: %s" % (len(lost), len(ok), sorted(lost)[:10]))
    unexpected = set(filter(None, session.handled_ids())) - set(load.attempted)
    assert not unexpected, sorted(unexpected)[:10]


def test_killed_and_restarted_twice_under_load(world, broker):
    world.declare()
    broker.write_down_queues()
    user = world.user_service("--outbox", "off", "--confirm-timeout", "300s").wait_ready()
    session = world.session_service().wait_ready()
    load = Load(user.port, 64, 10 ** 6, "kill", timeout=300).start()
    try:
        for _ in range(2):
            enough = len(load.ok) + 1000
            eventually(lambda: len(load.ok) > enough, "%d saves" % enough)
            # Killed in the midst of its work, whatever it is, and some saves are surely at it.
            broker.freeze()
            eventually(lambda: user.metric("user_service_saves_in_flight") > 0, "some are under way")
            republished = user.metric("user_service_republished_total")
            broker.kill()
            broker.start()
            begin = time.monotonic()
            user.wait_ready()
            session.wait_ready()
            print("ready %.1f s after the broker" % (time.monotonic() - begin))
            eventually(lambda: user.metric("user_service_republished_total") > republished, "they are sent again")
        enough = len(load.ok) + 200
        eventually(lambda: len(load.ok) > enough, "saves go on")
    finally:
        load.stop()
        load.join(300)
    # 504 is what was sent again and refused: RabbitMQ 3.10 does that while a queue has no leader yet.
    assert set(load.statuses) <= {200, 503, 504}, load.statuses
    assert_nothing_lost(load, session)


def test_frozen(world, broker):
    """Each is its own proof, for nothing else would answer: a reply of the second can only come from the deadline,
    the first has none in this test, and the third has nothing under way whose confirm it could miss."""
    waiting, hasty, idle = (
        world.user_service("--outbox", "off", "--log-level", "debug", "--confirm-timeout", timeout,
                           "--heartbeat", heartbeat)
        for timeout, heartbeat in (("600s", "60s"), ("1s", "60s"), ("600s", "1s")))
    for one in (waiting, hasty, idle):
        one.wait_ready()
    broker.freeze()
    try:
        long_load = Load(waiting.port, 16, 16, "waiting", timeout=600).start()
        load = Load(hasty.port, 16, 16, "hasty").start()
        eventually(lambda: waiting.metric("user_service_saves_in_flight") == 16, "all are sent")
        for _ in range(10):
            assert requests.get(waiting.base + "/healthz", timeout=PATIENCE_S).status_code == 200
        load.join()
        assert load.statuses == {504: 16} and load.longest_s > 0.99
        # The publisher itself has given them up, not the clients' loop for it.
        eventually(lambda: len(hasty.events("save.unknown")) == 16, "the deadline has come")
        lost = eventually(lambda: not idle.is_ready() and idle.events("broker.disconnected"), "the heartbeat is missed")
        assert "two heartbeats" in lost[-1]["error"]
        assert idle.save({"name": "Ada"}).status_code == 503
        assert not long_load.statuses, "answered without a confirm"
    finally:
        broker.thaw()
    long_load.join()
    assert long_load.statuses == {200: 16}
    for one in (hasty, idle):
        eventually(lambda: one.save({"name": "Ada"}).status_code == 200, "it goes on")


def test_unknown_outcome_names_the_id(world, broker):
    user = world.user_service("--outbox", "off", "--confirm-timeout", "200ms").wait_ready()
    broker.freeze()
    try:
        reply = user.save({"name": "Ada"}, Idempotency_Key="again")
    finally:
        broker.thaw()
    assert reply.status_code == 504
    body = reply.json()
    assert (body["type"], body["outcome"], body["id"]) == (
        "/problems/unknown-outcome", "unknown", "again")
    eventually(lambda: user.metric("user_service_late_confirms_total") == 1, "the late confirm is counted")


def test_memory_alarm(world, broker):
    """Without an outbox what comes is refused; with one it is kept, long before any confirm would be late."""
    user = world.user_service("--outbox", "off", "--confirm-timeout", "1s").wait_ready()
    keeping = world.user_service("--confirm-timeout", "600s").wait_ready()
    session = world.session_service().wait_ready()
    broker.alarm()
    try:
        # The broker tells of the alarm when the first comes, which it does not confirm.
        first = Load(keeping.port, 1, 1, "first", timeout=600).start()
        reply = user.save({"name": "Ada"}, Idempotency_Key="again")
        assert reply.status_code in (503, 504)
        for one in (user, keeping):
            eventually(lambda: one.metric("user_service_broker_blocked") == 1, "it is told")
        load = Load(user.port, 16, 16, "alarm").start().join()
        assert load.statuses == {503: 16}
        reply = user.save({"name": "Ada"})
        assert (reply.status_code, reply.json()["reason"]) == (503, "blocked")
        ready = user.get("/readyz")
        assert ready.status_code == 503 and "blocked" in ready.json()["detail"]
        assert user.metric("user_service_broker_blocked_seconds_total") > 0
        kept = Load(keeping.port, 16, 300, "kept").start().join()
        assert kept.statuses == {202: 300}
        ready = keeping.get("/readyz")
        assert ready.json()["status"] == "degraded" and "blocked" in ready.json()["detail"]
        assert not first.statuses
    finally:
        broker.calm()
    for one in (user, keeping):
        one.wait_ready()
    eventually(lambda: user.save({"name": "Ada"}, Idempotency_Key="again").status_code == 200, "it is saved now")
    first.join()
    assert first.statuses == {200: 1}
    eventually(lambda: keeping.metric("user_service_outbox_saves") == 0, "the outbox is empty")
    expected = {"again", *first.ok, *kept.ok}
    eventually(lambda: expected <= inbox_and_effects(session.state.name)[0], "every success is handled")
    # What was refused may not arrive; the 504 may, and is the same message.
    ids, took_effect = inbox_and_effects(session.state.name)
    assert ids == expected and took_effect == len(ids)


def fill_queue(world):
    """A classic queue that is full already: a service is refused from its first save on."""
    world.broker.limit_queue(world.queue)
    world.declare(queue_type="classic")

    def is_refused():
        channel = world.channel()
        channel.confirm_delivery()
        try:
            channel.basic_publish("", world.queue, '{"name":"Ada"}')
        except pika.exceptions.NackError:
            return True
        finally:
            channel.connection.close()
        return False

    eventually(is_refused, "the queue is full")


def test_nack_is_never_success(world):
    """Nor proof of the contrary, after a lost connection: what was sent over that one may be in the queue, whatever
    the next says."""
    fill_queue(world)
    proxy = Proxy(world.broker.port)
    world.closers.append(proxy.close)
    user = world.user_service("--outbox", "off", "--queue-type", "classic", "--confirm-timeout", "600s",
        "--amqp-url", "amqp://guest:guest@127.0.0.1:%d/" % proxy.port).wait_ready()
    proxy.swallowing = True
    load = Load(user.port, 4, 4, "again").start()
    eventually(lambda: user.metric("user_service_saves_in_flight") == 4, "4 are sent")
    proxy.refusing = True  # no other connection is made before it can be used
    proxy.cut()
    proxy.swallowing = proxy.refusing = False
    load.join()
    assert user.metric("user_service_republished_total") == 4
    assert load.statuses == {504: 4}
    # All refused for a second, a connection is given up: then a save may find none.
    held = world.count()
    while (reply := user.save({"name": "Ada"})).json().get("reason") == "disconnected":
        time.sleep(0.05)
    assert (reply.status_code, reply.json()["reason"]) == (503, "nacked")
    assert "Retry-After" in reply.headers
    assert world.count() == held


def test_queue_deleted_under_load_is_declared_again(world):
    user = world.user_service("--outbox", "off").wait_ready()
    load = Load(user.port, 16, 1000000, "gone").start()
    eventually(lambda: len(load.ok) > 500, "some saves")
    world.delete()
    # RabbitMQ 3.10 returns or refuses what comes next, or closes the connection with an internal error.
    eventually(lambda: user.events("queue.missing") or user.events("broker.disconnected"), "the deletion is noticed")
    after_deletion = len(load.ok)
    eventually(lambda: len(load.ok) > after_deletion + 300, "saves after the deletion")
    load.stop()
    load.join()
    # An ack that was under way when its queue went may never come: then the outcome is unknown.
    assert set(load.statuses) <= {200, 503, 504}, load.statuses
    unroutable = user.metric('user_service_saves_total{outcome="unroutable"}')
    disconnected = user.metric('user_service_saves_total{outcome="disconnected"}')
    nacked = user.metric('user_service_saves_total{outcome="nacked"}')
    assert load.statuses.get(503, 0) == unroutable + disconnected + nacked
    # What was confirmed before the deletion went with the queue; all that came after is there.
    session = world.session_service().wait_ready()
    late = set(load.ok[after_deletion + 32:])
    assert len(late) > 100
    eventually(lambda: late <= set(session.handled_ids()), "every later 200 is in the log")


def test_unroutable_is_never_success(world):
    user = world.user_service("--outbox", "off", "--confirm-timeout", "60s").wait_ready()
    world.delete()
    reply = user.save({"name": "Ada"})
    assert (reply.status_code, reply.json()["reason"]) == (503, "unroutable")
    assert len(user.events("queue.missing")) == 1
    assert user.save({"name": "Ada"}).status_code == 200
    assert world.count() == 1


def test_queue_deleted_under_the_consumer(world):
    session = world.session_service().wait_ready()
    world.delete()
    eventually(lambda: session.events("consumer.cancelled"), "the cancel is noticed")
    session.wait_ready()
    eventually(lambda: len(session.events("consumer.consuming")) >= 2, "it consumes again")
    world.publish('{"name":"Ada"}', message_id="m1")
    eventually(lambda: "m1" in session.handled_ids(), "a message is handled")


def test_queue_of_another_type(world):
    """Both ways at once: a service tries again after 15 s, and finds the queue gone."""
    services = []
    for there, wanted in (("classic", "quorum"), ("quorum", "classic")):
        queue = "%s.%s" % (world.queue, there)
        world.declare(queue, there)
        world.closers.append(functools.partial(world.delete, queue))
        services += [(name, queue, wanted, world.service(
            name, *arguments, "--queue", queue, "--queue-type", wanted)) for name, arguments in (
                ("user-service", ("--outbox", "off")), ("session-service", ()))]
    for name, queue, wanted, service in services:
        detail = eventually(lambda: "--queue-type" in service.get("/readyz").json()["detail"] and
                            service.get("/readyz").json()["detail"], "the error is shown")
        assert "quorum" in detail and wanted in detail and queue in detail
        errors = [e["error"] for e in service.events("broker.connecting_failed")]
        assert len([e for e in errors if "--queue-type" in e]) == 1, errors
        if name == "user-service":
            assert service.save({"name": "Ada"}).status_code == 503
    for queue in {one[1] for one in services}:
        world.delete(queue)
    for *_, service in services:
        service.wait_ready()


def test_first_hosts_dead_or_unresolvable(world):
    urls = "amqp://guest:guest@nowhere.invalid:5672/,amqp://guest:guest@127.0.0.1:1/," + world.url
    user = world.user_service("--outbox", "off", "--confirm-timeout", "60s", "--amqp-url", urls)
    assert user.get("/healthz").status_code == 200
    user.wait_ready()
    assert user.save({"name": "Ada"}).status_code == 200


def connected_ports(service, name):
    return [e["port"] for e in service.events("broker.connected") if e["name"] == name]


@pytest.mark.parametrize("name, connection", [("user", "publisher"), ("session", "consumer")])
def test_a_lost_connection_is_followed_by_one_to_the_next_host(world, broker, name, connection):
    """The host that did not keep the last one may take the next and do no better."""
    proxies = [Proxy(broker.port) for _ in range(3)]
    world.closers += [proxy.close for proxy in proxies]
    urls = ",".join("amqp://guest:guest@127.0.0.1:%d/" % proxy.port for proxy in proxies)
    service = world.service(name + "-service", "--amqp-url", urls).wait_ready()
    expected = [proxy.port for proxy in proxies]
    for count in range(1, 3):
        proxies[count - 1].cut()
        eventually(lambda: len(connected_ports(service, connection)) > count, "connected again")
    assert connected_ports(service, connection) == expected
    proxies[0].refusing = True
    proxies[2].refusing = True
    proxies[2].cut()
    eventually(lambda: len(connected_ports(service, connection)) > 3, "connected again")
    assert connected_ports(service, connection) == [*expected, expected[1]]


def test_password_is_read_again(world, broker, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("wrong-secret\n")
    name = "user-" + world.queue
    broker.add_user(name, "right-secret")
    user = world.user_service("--outbox", "off", "--amqp-url", broker.url(user=name, password="in-the-url"),
                              "--amqp-password-file", str(secret))
    eventually(lambda: user.events("broker.connecting_failed"), "the refusal is logged")
    eventually(lambda: "refused" in user.get("/readyz").json()["detail"].lower(), "it is shown")
    secret.write_text("right-secret\n")
    user.wait_ready()
    text = user.log_text() + user.get("/metrics").text
    for password in ("wrong-secret", "right-secret", "in-the-url"):
        assert password not in text
    with open("/proc/%d/cmdline" % user.process.pid) as file:
        assert "in-the-url" not in file.read()


def test_no_broker_at_the_start(away):
    user = away.user_service("--outbox", "off", "--confirm-timeout", "60s")
    session = away.session_service()
    assert user.save({"name": "Ada"}).status_code == 503
    assert session.get("/readyz").status_code == 503
    away.appear()
    user.wait_ready()
    session.wait_ready()
    assert user.save({"name": "Ada"}, Idempotency_Key="m1").status_code == 200
    eventually(lambda: "m1" in session.handled_ids(), "the save arrives")
