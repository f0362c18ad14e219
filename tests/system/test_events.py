"""The type of a message decides what becomes of it, and its content says that it is plain JSON: nothing is guessed."""

import json
import os
import shutil
import tempfile

import pytest

from support.store import FILE, rows
from support.wait import eventually

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
EVERYTHING = "SELECT user_id, saves, saved_at_ms, message_id, body FROM users ORDER BY user_id"
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
               "headers": {"cloudEvents:specversion": "1.0"}}, "unsupported-content",
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


def delete(world, body, at, **properties):
    world.publish(body, type="user.deleted", content_type="application/json", headers={"saved_at_ms": at}, **properties)


def save(world, at, user=USER, **properties):
    world.publish(user, type="user.saved", content_type="application/json", headers={"saved_at_ms": at}, **properties)


def assert_away(service, user="ada"):
    assert service.get("/users/" + user).status_code == 404
    assert all(session["user_id"] != user for session in reply(service, "/sessions")[1]["data"])


def test_a_deleted_user_is_away_until_a_newer_save(world, service):
    save(world, 1000, message_id="m1")
    wait_line(service, "user.saved", message_id="m1")
    session = reply(service, "/users/ada")[1]["session_id"]
    assert reply(service, "/sessions/" + session)[0] == 200
    delete(world, '{"id":"ada"}', 2000, message_id="d1")
    line = wait_line(service, "user.deleted", message_id="d1")
    assert line["outcome"] == "handled" and line["user_id"] == "ada" and line["saved_at_ms"] == 2000
    assert "user" not in line
    assert_away(service)
    assert reply(service, "/sessions/" + session)[0] == 404

    save(world, 1500, message_id="late")
    assert wait_line(service, "user.saved", message_id="late")["outcome"] == "outdated"
    save(world, 1000, message_id="m1")
    wait_line(service, "user.saved", message_id="m1", outcome="duplicate")
    delete(world, '{"id":"ada"}', 2000, message_id="d1")
    wait_line(service, "user.deleted", message_id="d1", outcome="duplicate")
    assert_away(service)

    save(world, 2001, message_id="m2")
    wait_line(service, "user.saved", message_id="m2")
    status, body = reply(service, "/users/ada")
    assert status == 200 and body["message_id"] == "m2" and body["session_id"] != session
    assert rows(service.state.name, "SELECT saves FROM users WHERE user_id = 'ada'") == [(1,)]
    delete(world, '{"id":"ada"}', 1999, message_id="d0")
    wait_line(service, "user.deleted", message_id="d0", outcome="outdated")
    assert reply(service, "/users/ada")[0] == 200
    service.stop()
    assert world.is_empty()


def test_a_whole_user_as_the_body_of_a_deletion(world, service):
    """The type decides, and never the body."""
    save(world, 1000, message_id="m1")
    wait_line(service, "user.saved", message_id="m1")
    delete(world, '{"id":"ada","name":"Ada Lovelace","email":"ada@example.org"}', 2000, message_id="d1")
    wait_line(service, "user.deleted", message_id="d1")
    assert_away(service)
    assert "Lovelace" not in service.log_text() and not service.events("user.dead_lettered")


def test_a_deletion_of_an_unknown_user_and_one_without_a_message_id(world, service):
    delete(world, '{"id":7}', 2000)
    assert "message_id" not in wait_line(service, "user.deleted", outcome="bare", user_id="7")
    delete(world, '{"id":7}', 2000)
    eventually(lambda: len(lines(service, "user.deleted", outcome="bare")) == 2, "it is applied again")
    save(world, 1999, '{"id":7}', message_id="old")
    wait_line(service, "user.saved", message_id="old")
    assert_away(service, "7")
    assert rows(service.state.name, "SELECT count(*) FROM tombstones") == [(1,)]


@pytest.mark.parametrize("body", ["{}", '{"id":""}', '{"id":{}}', '{"email":"ada@example.org"}'])
@pytest.mark.parametrize("properties", [{"message_id": "d1"}, {}], ids=["identified", "bare"])
def test_a_deletion_without_a_valid_id_is_put_aside(world, service, body, properties):
    delete(world, body, 2000, **properties)
    wait_line(service, "user.dead_lettered", reason="invalid-user")
    assert world.get(world.dead)[1].type == "user.deleted"
    service.stop()
    assert world.is_empty()


def test_the_same_id_with_another_type_or_body_is_a_conflict(world, service):
    delete(world, '{"id":"ada"}', 2000, message_id="x")
    wait_line(service, "user.deleted", message_id="x")
    save(world, 3000, '{"id":"ada"}', message_id="x")
    wait_line(service, "user.dead_lettered", message_id="x", reason="id-conflict")
    delete(world, '{"id":"eve"}', 2000, message_id="x")
    eventually(lambda: len(lines(service, "user.dead_lettered", reason="id-conflict")) == 2, "both are put aside")
    assert_away(service)


def test_nothing_personal_is_left_of_a_deleted_user(world):
    """In the files, after a restart has written the log back; the log itself is masked."""
    with tempfile.TemporaryDirectory(prefix="session-service-") as state:
        service = world.session_service("--state-dir", state).wait_ready()
        world.publish('{"email":"lovelace@example.org","name":"Augusta"}', headers={"saved_at_ms": 1000})
        wait_line(service, "user.saved", outcome="bare")
        delete(world, '{"id":"email:lovelace@example.org"}', 2000, message_id="d1")
        wait_line(service, "user.deleted", message_id="d1")
        service.stop()
        service = world.session_service("--state-dir", state).wait_ready()
        service.stop()
        for name in os.listdir(state):
            with open(os.path.join(state, name), "rb") as file:
                content = file.read()
            assert b"lovelace" not in content and b"Augusta" not in content, name


def test_killed_around_a_deletion(world):
    """The save comes again after the deletion: the user stays away. A newer save brings a new one."""
    with tempfile.TemporaryDirectory(prefix="session-service-") as state:
        service = world.session_service("--state-dir", state).wait_ready()
        save(world, 1000, message_id="m1")
        wait_line(service, "user.saved", message_id="m1")
        delete(world, '{"id":"ada"}', 2000, message_id="d1")
        service.kill()  # before it is handled, meanwhile, or after that
        again = world.session_service("--state-dir", state).wait_ready()
        eventually(lambda: lines(service, "user.deleted") or lines(again, "user.deleted"), "it is handled")
        again.kill()
        save(world, 1000, message_id="m1")
        save(world, 1500, message_id="m2")
        service = world.session_service("--state-dir", state).wait_ready()
        wait_line(service, "user.saved", message_id="m2")
        assert_away(service)
        service.kill()
        save(world, 3000, message_id="m3")
        service = world.session_service("--state-dir", state).wait_ready()
        wait_line(service, "user.saved", message_id="m3")
        assert reply(service, "/users/ada")[1]["message_id"] == "m3"
        assert rows(state, "SELECT saves FROM users") == [(1,)]


def test_a_store_of_release_0_1_0_is_migrated_and_goes_on(world):
    """data/store-0.1.0.db was written by that release: saves with and without an id, and two of one user."""
    with tempfile.TemporaryDirectory(prefix="session-service-") as state:
        shutil.copy(os.path.join(DATA, "store-0.1.0.db"), os.path.join(state, FILE))
        before = rows(state, EVERYTHING)
        assert rows(state, "PRAGMA user_version") == [(2,)]
        service = world.session_service("--state-dir", state, "--inbox-retention", "87600h").wait_ready()
        assert rows(state, EVERYTHING) == before and len(before) == 5
        assert rows(state, "PRAGMA user_version") == [(4,)]
        status, body = reply(service, "/users/ada")
        assert status == 200 and body["data"]["name"] == "Ada Lovelace" and body["message_id"] == "m2"
        world.publish('{"id":7,"name":"Grace"}', message_id="m3", headers={"saved_at_ms": 1700000003000})
        wait_line(service, "user.saved", message_id="m3", outcome="duplicate")
        delete(world, '{"id":7}', 1700000009000, message_id="d1")
        wait_line(service, "user.deleted", message_id="d1")
        assert_away(service, "7")
        save(world, 1700000009000, '{"id":"ada","name":"Augusta"}', message_id="m5")
        wait_line(service, "user.saved", message_id="m5", outcome="handled")
        assert rows(state, "SELECT saves FROM users WHERE user_id = 'ada'") == [(3,)]
        assert reply(service, "/users/ada")[1]["data"]["name"] == "Augusta"
