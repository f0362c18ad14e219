"""The session-service's contract: what becomes of each delivery."""

import json

import pika
import pytest

from support.wait import eventually


@pytest.fixture
def service(world):
    return world.session_service().wait_ready()


def event(service, name, **fields):
    def find():
        for found in service.events(name):
            if all(found.get(key) == value for key, value in fields.items()):
                return found
        return None

    return eventually(find, "%s %s in the log" % (name, fields))


def test_a_user_is_handled_logged_masked_and_acked(world, service):
    world.publish('{"id":7,"name":"Ada Lovelace","email":"ada@example.org","city":"London"}',
                  message_id="m1", headers={"saved_at_ms": 1234}, delivery_mode=2)
    line = event(service, "user.saved", message_id="m1")
    assert line["outcome"] == "handled"
    assert line["user_id"] == "7"
    assert line["redelivered"] is False
    assert line["saved_at_ms"] == 1234
    assert line["user"] == {"id": 7, "name": "A***", "email": "a***@e***", "city": "***"}
    for personal in ("Lovelace", "example.org", "London"):
        assert personal not in service.log_text()
    service.stop()
    assert world.count() == 0


@pytest.mark.parametrize("mode, shown", [("full", {"id": 7, "name": "Ada"}), ("none", None)])
def test_payload_modes(world, mode, shown):
    service = world.session_service("--log-payload", mode).wait_ready()
    world.publish('{"id":7,"name":"Ada"}', message_id="m1")
    assert event(service, "user.saved", message_id="m1").get("user") == shown


def test_a_bare_message_of_the_old_demo(world, service):
    world.publish('{"anything":"goes"}')
    assert "message_id" not in event(service, "user.saved", outcome="bare")
    service.stop()
    assert world.count() == 0


POISON = [
    (b"this is not JSON", {"message_id": "p"}, "not-json"),
    (b"this is not JSON", {}, "not-json"),
    (b"[1,2]", {}, "not-an-object"),
    (b"null", {"message_id": "p"}, "not-an-object"),
    (b'{"id":1,"n":1e400}', {"message_id": "p"}, "number-out-of-range"),
    (b'{"id":9223372036854775808}', {}, "number-out-of-range"),
    (b'{"id":1,"n":1e400,}', {"message_id": "p"}, "not-json"),
    (b'{"id":1,"id":2}', {"message_id": "p"}, "invalid-user"),
    (b'{"name":5}', {"message_id": "p"}, "invalid-user"),
    (b'{"name":"\xff"}', {"message_id": "p"}, "not-json"),
    (b'{"a":' * 100 + b"1" + b"}" * 100, {"message_id": "p"}, "invalid-user"),
    (b'{"name":"' + b"x" * 2000000 + b'"}', {"message_id": "p"}, "too-large"),
    (b'{"name":"Ada"}', {"message_id": "x" * 129}, "invalid-message-id"),
    (b"", {"message_id": "p"}, "not-json"),
    ('{"id":1}'.encode("utf-16-le"), {"message_id": "p", "content_type": "application/json; charset=utf-16le"},
     "unsupported-content"),
    (b'{"id":', {"message_id": "p", "content_type": "application/json; charset=UTF-8"}, "not-json"),
]


@pytest.mark.parametrize("body, properties, reason", POISON,
                         ids=["%d-%s" % (i, p[2]) for i, p in enumerate(POISON)])
def test_an_impossible_message_is_put_aside_and_the_next_is_handled(world, service, body,
                                                                    properties, reason):
    properties = dict(properties)
    content_type = properties.pop("content_type", "text/plain; odd=yes")
    world.publish(body, content_type=content_type, correlation_id="c1", expiration="600000",
                  user_id="guest",
                  headers={"mine": "kept", "CC": [world.queue],
                           "dead-letter-reason": "of a copy before"}, **properties)
    world.publish('{"name":"Ada"}', message_id="after")
    event(service, "user.saved", message_id="after")
    line = event(service, "user.dead_lettered", reason=reason)
    assert line["body_bytes"] == len(body)
    assert line["level"] == "warning"
    _, kept, dead_body = world.get(world.dead)
    assert dead_body == body
    assert kept.content_type == content_type and kept.correlation_id == "c1"
    assert kept.delivery_mode == 2 and kept.expiration is None and kept.user_id is None
    assert kept.message_id == properties.get("message_id")
    headers = kept.headers
    assert headers["mine"] == "kept" and headers["original-CC"] == [world.queue]
    assert headers["original-expiration"] == "600000" and headers["original-user-id"] == "guest"
    assert headers["dead-letter-reason"] == reason and headers["dead-letter-detail"]
    assert headers["dead-letter-queue"] == world.queue
    assert headers["dead-letter-first-at-ms"] > 1600000000000
    # Only then the message is acked; a service that stops waits two seconds for it, no longer.
    eventually(lambda: service.metric('session_service_dead_letters_total{reason="%s"}' % reason) == 1, "it is counted")
    service.stop()
    assert world.count() == 0


def test_routes(world, service):
    assert service.get("/healthz").json() == {"status": "ok"}
    assert service.get("/readyz").json() == {"status": "ready"}
    assert service.get("/nothing").status_code == 404
    world.publish('{"name":"Ada"}', message_id="m1")
    event(service, "user.saved", message_id="m1")
    eventually(lambda: service.metric(
        'session_service_deliveries_total{outcome="handled"}') == 1, "the metric counts")
    assert service.metric("session_service_consuming") == 1


def test_hostile_text_stays_one_line(world):
    service = world.session_service("--log-payload", "full").wait_ready()
    hostile = "a\u202e\u2028\u0085\u009b\\n\u00e9"
    world.publish(json.dumps({"x\r\n": hostile + "\r\n\x1b[2J"}))
    line = event(service, "user.saved", outcome="bare")
    assert line["user"] == {"x\r\n": hostile + "\r\n\x1b[2J"}
    text = service.log_text()
    for unsafe in "\r\x1b\u202e\u2028\u0085\u009b":
        assert unsafe not in text


def test_acked_only_after_the_line_is_written(world):
    """Killed in mid-stream, it may handle again what it had not acked, but it never skips."""
    channel = world.declare()
    for number in range(2000):
        channel.basic_publish("", world.queue, '{"id":%d}' % number,
                              pika.BasicProperties(message_id=str(number)))
    eventually(lambda: world.count() == 2000, "the queue has them all")
    channel.connection.close()
    seen = set()
    for _ in range(3):
        service = world.session_service("--prefetch", "50")
        eventually(lambda: len(service.handled_ids()) > 100 or world.count() == 0, "some")
        service.kill()
        seen.update(i for i in
                    (line.split('"message_id":"')[1].split('"')[0] for line in
                     service.log_text().split("\n")[:-1] if '"message_id"' in line))
    service = world.session_service().wait_ready()
    eventually(lambda: seen | set(service.handled_ids()) == {str(n) for n in range(2000)}, "every message is in a log")
    world.all_acked()
    service.stop()
    assert world.count() == 0
