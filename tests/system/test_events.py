"""The type of a message decides what becomes of it, and its content says that it is plain JSON: nothing is guessed."""

import json

import pytest

from support.wait import eventually

USER = '{"id":"ada","name":"Ada"}'


@pytest.fixture
def service(world):
    return world.session_service().wait_ready()


def lines(service, event, **fields):
    return [e for e in service.events(event) if all(e.get(k) == v for k, v in fields.items())]


def wait_line(service, event, **fields):
    return eventually(lambda: lines(service, event, **fields), "%s %s in the log" % (event, fields))[0]


def reply(service, path):
    """The status, and the parsed body."""
    got = service.get(path)
    return got.status_code, got.json()


TAKEN = {
    "no properties": {},
    "an empty type": {"type": "", "content_type": "", "content_encoding": ""},
    "user.saved": {"type": "user.saved", "content_type": "application/json; charset=utf-8", "message_id": "m"},
    "an id and no type": {"message_id": "m"},
    "a charset as the encoding": {"content_type": "text/plain", "content_encoding": "utf-8"},
    "a type in a header": {"headers": {"type": "order.created", "x-type": "user.deleted"}},
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_saved_user_is_taken(world, service, name):
    world.publish(USER, **TAKEN[name])
    line = wait_line(service, "user.saved", user_id="ada")
    assert line["outcome"] == ("handled" if "message_id" in TAKEN[name] else "bare")
    assert reply(service, "/users/ada")[1]["data"] == json.loads(USER)
    service.stop()
    assert world.count() == 0


CLOUD_EVENT = json.dumps({"specversion": "1.0", "id": "1", "source": "/users", "type": "user.saved",
                          "data": json.loads(USER)})
REFUSED = {
    "another type": (USER, {"type": "order.created", "message_id": "m"},
                     "unknown-type", 'the type "order.created" has no handler'),
    "another type without an id": (USER, {"type": "order.created"},
                                   "unknown-type", 'the type "order.created" has no handler'),
    "a type in another case": (USER, {"type": "USER.SAVED"}, "unknown-type", 'the type "USER.SAVED" has no handler'),
    "a type for a terminal": (USER, {"type": "x\x1b[2J\n\u202e"},
                              "unknown-type", 'the type "x\\x1b[2J\\n\\u202e" has no handler'),
    "a long type": (USER, {"type": "x" * 255}, "unknown-type", 'the type "%s..." has no handler' % ("x" * 128)),
    "a structured CloudEvent": (
        CLOUD_EVENT, {"content_type": "application/cloudevents+json"}, "unsupported-content",
        'the content type "application/cloudevents+json" names something else than plain JSON'),
    "a binary CloudEvent": (
        USER, {"content_type": "application/json", "type": "user.saved",
               "headers": {"cloudEvents:specversion": "1.0", "cloudEvents:id": "1"}}, "unsupported-content",
        'the header "cloudEvents:specversion" names something else than plain JSON'),
    "a compressed body": (
        b"\x1f\x8b\x08\x00", {"content_encoding": "gzip", "message_id": "m"}, "unsupported-content",
        'the content encoding "gzip" names something else than plain JSON'),
    "JSON that is said to be compressed": (
        USER, {"content_encoding": "gzip", "type": "user.saved"}, "unsupported-content",
        'the content encoding "gzip" names something else than plain JSON'),
    "another media type": (
        USER, {"content_type": "application/x-protobuf"}, "unsupported-content",
        'the content type "application/x-protobuf" names something else than plain JSON'),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_nobody_handles_is_put_aside(world, service, name):
    body, properties, reason, detail = REFUSED[name]
    world.publish(body, **properties)
    line = wait_line(service, "user.dead_lettered", reason=reason)
    assert line["detail"] == detail
    _, kept, dead_body = world.get(world.dead)
    assert dead_body == (body if isinstance(body, bytes) else body.encode())
    for property_name, value in properties.items():
        if property_name != "headers":
            assert getattr(kept, property_name) == value
    assert kept.headers["dead-letter-reason"] == reason and kept.headers["dead-letter-detail"] == detail
    eventually(lambda: service.metric('session_service_dead_letters_total{reason="%s"}' % reason) == 1, "it is counted")
    assert service.get("/users/ada").status_code == 404
    service.stop()
    assert world.count() == 0
