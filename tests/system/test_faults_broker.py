"""What the broker can do to us. Every 200 must be in the session-service's log."""

import time

import pytest
import requests

from support.load import Load
from support.proxy import Proxy
from support.wait import PATIENCE_S, eventually

DEADLINE_S = 5 + 1  # the confirm timeout, and what a busy machine may add


def assert_nothing_lost(load, session):
    ok = set(load.ok)
    try:
        eventually(lambda: ok <= set(session.handled_ids()), "every 200 is in the log")
    except AssertionError:
        lost = ok - set(session.handled_ids())
        raise AssertionError("lost %d of %d: %s" % (len(lost), len(ok), sorted(lost)[:10]))
    unexpected = set(filter(None, session.handled_ids())) - set(load.attempted)
    assert not unexpected, sorted(unexpected)[:10]


def test_killed_and_restarted_three_times_under_load(world, broker):
    # RabbitMQ 3.10 writes down which quorum queues live on a node only now and then: one killed just
    # after the declaration comes back with a queue that nobody serves. A clean stop writes it.
    world.declare()
    broker.stop()
    broker.start()
    user = world.user_service("--outbox", "off", "--confirm-timeout", "5s").wait_ready()
    session = world.session_service().wait_ready()
    load = Load(user.port, 64, 10000, "kill").start()
    # The third kill comes after 4,500 successes, so there must be at least as many.
    for round_number in (1, 2, 3):
        enough = round_number * 1500
        eventually(lambda: len(load.ok) >= enough or not any(
            t.is_alive() for t in load.threads), "%d saves" % enough)
        broker.kill()
        broker.start()
        begin = time.monotonic()
        user.wait_ready()
        session.wait_ready()
        print("ready %.1f s after the broker" % (time.monotonic() - begin))
    load.join()
    assert len(load.ok) + len(load.failed) + len(load.unknown) == 10000
    assert set(load.statuses) <= {200, 503, 504}, load.statuses
    assert load.longest_s < DEADLINE_S
    assert len(load.ok) >= 4500, load.statuses
    assert_nothing_lost(load, session)


def test_frozen(world, broker):
    user = world.user_service("--outbox", "off", "--confirm-timeout", "1s", "--heartbeat", "5s").wait_ready()
    broker.freeze()
    try:
        load = Load(user.port, 16, 16, "frozen").start()
        # What is timed shares this process only with threads that wait for their replies.
        eventually(lambda: len(load.attempted) == 16, "all are sent")
        for _ in range(10):
            begin = time.monotonic()
            assert requests.get(user.base + "/healthz", timeout=PATIENCE_S).status_code == 200
            assert time.monotonic() - begin < 0.1
        load.join()
        assert load.statuses == {504: 16}
        assert 1 <= load.longest_s < 2
        eventually(lambda: not user.is_ready(), "the freeze is noticed by the heartbeat")
        assert user.save({"name": "Ada"}).status_code == 503
    finally:
        broker.thaw()
    user.wait_ready()
    assert user.save({"name": "Ada"}).status_code == 200


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
    user = world.user_service("--outbox", "off", "--confirm-timeout", "1s").wait_ready()
    session = world.session_service().wait_ready()
    load = None
    broker.ctl("set_vm_memory_high_watermark", "0.0000001")
    try:
        load = Load(user.port, 16, 100, "alarm").start()
        load.join()
        assert set(load.statuses) <= {503, 504}, load.statuses
        assert load.statuses[503] > 50
        assert load.longest_s < 2
        ready = user.get("/readyz")
        assert ready.status_code == 503 and "blocked" in ready.json()["detail"]
        assert user.metric("user_service_broker_blocked") == 1
        reply = user.save({"name": "Ada"})
        assert (reply.status_code, reply.json()["reason"]) == (503, "blocked")
    finally:
        broker.ctl("set_vm_memory_high_watermark", "0.4")
    user.wait_ready()
    assert user.save({"name": "Ada alarm-0"}, Idempotency_Key="alarm-0").status_code == 200
    assert user.metric("user_service_broker_blocked_seconds_total") > 0.5
    assert_nothing_lost(load, session)


def test_nack_is_never_success(world, broker):
    user = world.user_service("--outbox", "off", "--queue-type", "classic").wait_ready()
    broker.ctl("set_policy", "tiny", "^%s$" % world.queue,
               '{"max-length":1,"overflow":"reject-publish"}', "--apply-to", "queues")
    try:
        eventually(lambda: user.save({"name": "Ada"}).status_code == 503, "the queue is full")
        reply = user.save({"name": "Ada"})
        assert (reply.status_code, reply.json()["reason"]) == (503, "nacked")
        assert "Retry-After" in reply.headers
        confirmed = user.metric('user_service_saves_total{outcome="confirmed"}')
        assert world.count() == confirmed
    finally:
        broker.ctl("clear_policy", "tiny")


def test_a_refusal_after_a_lost_connection_is_no_proof(world, broker):
    """What was sent over a connection that is lost may be in the queue, whatever the next says."""
    proxy = Proxy(broker.port)
    world.closers.append(proxy.close)
    user = world.user_service("--outbox", "off", "--queue-type", "classic", "--confirm-timeout", "30s",
        "--amqp-url", "amqp://guest:guest@127.0.0.1:%d/" % proxy.port).wait_ready()
    broker.ctl("set_policy", "tiny", "^%s$" % world.queue,
               '{"max-length":1,"overflow":"reject-publish"}', "--apply-to", "queues")
    try:
        eventually(lambda: user.save({"name": "Ada"}).status_code == 503, "the queue is full")
        proxy.swallowing = True
        load = Load(user.port, 4, 4, "again", timeout=PATIENCE_S).start()
        eventually(lambda: user.metric("user_service_saves_in_flight") == 4, "4 are sent")
        proxy.swallowing = False
        proxy.cut()
        load.join()
        assert user.metric("user_service_republished_total") == 4
        assert load.statuses == {504: 4}
    finally:
        broker.ctl("clear_policy", "tiny")


def test_queue_deleted_under_load_is_declared_again(world):
    user = world.user_service("--outbox", "off").wait_ready()
    load = Load(user.port, 16, 1000000, "gone").start()
    eventually(lambda: len(load.ok) > 500, "some saves")
    world.delete()
    # RabbitMQ 3.10 returns or refuses what comes next, or closes the connection with an internal error.
    eventually(lambda: user.events("queue.missing") or user.events("broker.disconnected"), "the deletion is noticed")
    after_deletion = len(load.ok)
    eventually(lambda: len(load.ok) > after_deletion + 1000, "saves after the deletion")
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
    user = world.user_service("--outbox", "off").wait_ready()
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


@pytest.mark.parametrize("there, wanted", [("classic", "quorum"), ("quorum", "classic")])
def test_queue_of_another_type(world, there, wanted):
    world.declare(queue_type=there)
    user = world.user_service("--outbox", "off", "--queue-type", wanted)
    session = world.session_service("--queue-type", wanted)
    for service in (user, session):
        detail = eventually(lambda: "--queue-type" in service.get("/readyz").json()["detail"] and
                            service.get("/readyz").json()["detail"], "the error is shown")
        assert "quorum" in detail and wanted in detail and world.queue in detail
        errors = service.events("broker.connecting_failed")
        assert len(errors) == 1 and "--queue-type" in errors[0]["error"]
    assert user.save({"name": "Ada"}).status_code == 503
    world.delete()
    user.wait_ready()
    session.wait_ready()


def test_first_hosts_dead_or_unresolvable(world):
    urls = "amqp://guest:guest@nowhere.invalid:5672/,amqp://guest:guest@127.0.0.1:1/," + world.url
    user = world.user_service("--outbox", "off", "--amqp-url", urls)
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
    broker.ctl("add_user", name, "right-secret")
    broker.ctl("set_permissions", name, ".*", ".*", ".*")
    try:
        user = world.user_service("--outbox", "off", "--amqp-url", broker.url(user=name, password="in-the-url"),
                                  "--amqp-password-file", str(secret))
        eventually(lambda: user.events("broker.connecting_failed"), "the refusal is logged")
        assert "refused" in user.get("/readyz").json()["detail"].lower()
        secret.write_text("right-secret\n")
        user.wait_ready()
        text = user.log_text() + user.get("/metrics").text
        for password in ("wrong-secret", "right-secret", "in-the-url"):
            assert password not in text
        with open("/proc/%d/cmdline" % user.process.pid) as file:
            assert "in-the-url" not in file.read()
    finally:
        broker.ctl("delete_user", name)


def test_no_broker_at_the_start(world, broker):
    broker.stop()
    try:
        user = world.user_service("--outbox", "off")
        session = world.session_service()
        assert user.save({"name": "Ada"}).status_code == 503
        assert session.get("/readyz").status_code == 503
    finally:
        broker.start()
    user.wait_ready()
    session.wait_ready()
    assert user.save({"name": "Ada"}, Idempotency_Key="m1").status_code == 200
    eventually(lambda: "m1" in session.handled_ids(), "the save arrives")


def test_dead_letters_that_were_refused_are_taken_when_there_is_room_again(world, broker):
    """RabbitMQ 3.10 goes on refusing a channel after the limit has gone: it needs another one."""
    session = world.session_service().wait_ready()
    broker.ctl("set_policy", "tiny", "^%s$" % world.dead,
               '{"max-length":1,"overflow":"reject-publish"}', "--apply-to", "queues")
    try:
        sent = 0
        while not session.events("dead_letters.refused"):
            world.publish("not JSON", message_id="dead-%d" % sent)
            sent += 1
            eventually(lambda: world.count() == 0, "it is taken")
    finally:
        broker.ctl("clear_policy", "tiny")
    eventually(lambda: world.count(world.dead) == sent, "all are put aside")
    eventually(lambda: session.metric("session_service_dead_letters_pending") == 0, "acked")
