"""A user who is erased over HTTP is gone from the session-service, whoever is killed meanwhile."""

import signal

import pytest
import requests

from support.wait import PATIENCE_S, eventually


def delete(user, user_id, **headers):
    return requests.delete("%s/users/%s" % (user.base, user_id), timeout=PATIENCE_S,
                           headers={name.replace("_", "-"): value for name, value in headers.items()})


def status_of(session, user_id):
    return session.get("/users/" + user_id).status_code


def has(session, message_id, outcome="handled"):
    return any(line.get("message_id") == message_id and line["outcome"] == outcome
               for event in ("user.saved", "user.deleted") for line in session.events(event))


def save(user, message_id):
    assert user.save({"id": "ada", "name": "Ada"}, Idempotency_Key=message_id).status_code in (200, 202)


@pytest.mark.parametrize("user_id", ["ada", "7", "a%2Fb", "%22"])
def test_it_is_gone_and_a_newer_save_makes_a_new_one(world, user_id):
    user, session = world.user_service().wait_ready(), world.session_service().wait_ready()
    plain = requests.utils.unquote(user_id)
    saved = int(plain) if plain.isdigit() else plain
    assert user.save({"id": saved, "name": "Ada"}, Idempotency_Key="save-1").status_code in (200, 202)
    eventually(lambda: status_of(session, user_id) == 200, "the user is there")
    reply = delete(user, user_id, Idempotency_Key="delete-1")
    assert reply.status_code in (200, 202) and reply.json()["data"] == {"id": plain}
    eventually(lambda: status_of(session, user_id) == 404, "the user is gone")
    assert session.get("/sessions").json()["data"] == []
    assert user.save({"id": saved, "name": "Ada"}, Idempotency_Key="save-2").status_code in (200, 202)
    eventually(lambda: status_of(session, user_id) == 200, "there is a new user")
    assert len(session.get("/sessions").json()["data"]) == 1


def test_killed_between_the_reply_and_the_effect(away, tmp_path):
    """The save and the deletion wait in the outbox when the user-service is killed, the session-service is
    killed when it has handled both, and the save is delivered once more after that."""
    user = away.user_service()
    save(user, "save-1")
    assert delete(user, "ada", Idempotency_Key="delete-1").status_code == 202
    user.signal(signal.SIGKILL)
    user.process.wait(PATIENCE_S)
    user = away.user_service()
    session = away.session_service("--state-dir", str(tmp_path))
    away.appear()
    eventually(lambda: has(session, "delete-1"), "both are handled")
    assert has(session, "save-1") and status_of(session, "ada") == 404
    first = [line for line in session.events("user.saved") if line["message_id"] == "save-1"][0]
    session.kill()
    session = away.session_service("--state-dir", str(tmp_path)).wait_ready()
    # Once as the broker would deliver it again, and once as another message of the same time.
    for message_id in ("save-1", "save-0"):
        away.publish('{"id":"ada","name":"Ada"}', message_id=message_id, type="user.saved",
                     headers={"saved_at_ms": first["saved_at_ms"]})
    eventually(lambda: has(session, "save-1", "duplicate") and has(session, "save-0", "outdated"),
               "the late saves are handled")
    assert status_of(session, "ada") == 404
    eventually(user.is_ready, "the user-service is connected")
    save(user, "save-2")
    eventually(lambda: status_of(session, "ada") == 200, "a newer save makes a new user")
