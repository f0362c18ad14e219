"""Whose time counts: a later save stays, whatever time another program or a wrong clock has named before it."""

import collections
import json
import os
import sqlite3
import subprocess
import time
import uuid

import pika
import pytest
import requests
import test_clock

from support.store import FILE, rows
from support.wait import PATIENCE_S, eventually

clock = test_clock.clock  # a fixture
USERS, ROUNDS = 20, 50
FOREVER = 2 ** 63 - 1
HOUR_MS = 3600 * 1000


@pytest.fixture
def session(world):
    return world.session_service().wait_ready()


def body_of(user_id, name):
    return json.dumps({"id": user_id, "name": name})


def name_of(session, user_id):
    """None where he is not there."""
    reply = session.get("/users/%s" % user_id)
    return reply.json()["data"]["name"] if reply.status_code == 200 else None


def line_of(session, message_id):
    def find():
        return [line for event in ("user.saved", "user.deleted") for line in session.events(event)
                if line.get("message_id") == message_id]

    return eventually(find, "%s is in the log" % message_id)[0]


def counted(session, outcome):
    return session.metric('session_service_deliveries_total{outcome="%s"}' % outcome)


def save(user, session, user_id, name, outcome="handled"):
    """Over HTTP: waits until it is in the log."""
    key = str(uuid.uuid4())
    assert user.save({"id": user_id, "name": name}, Idempotency_Key=key).status_code in (200, 202)
    assert line_of(session, key)["outcome"] == outcome


def test_of_two_messages_in_one_second_the_later_one_stays(world):
    """Whole seconds and random ids, as other programs have them; a user of his own for each round."""
    session = world.session_service().wait_ready()
    session.stop()
    channel = world.declare()
    now = int(time.time())
    with_both = [(r, u, which) for r in range(ROUNDS) for which in ("first", "second") for u in range(USERS)]
    for turn, user, which in with_both:
        channel.basic_publish("", world.queue, body_of("r%d-u%d" % (turn, user), which), pika.BasicProperties(
            message_id=str(uuid.uuid4()), timestamp=now, type="user.saved", delivery_mode=2))
    eventually(lambda: world.count() == len(with_both), "the queue has them all")
    session.start()
    eventually(lambda: counted(session, "handled") + counted(session, "outdated") == len(with_both), "all are handled")
    names = collections.Counter(json.loads(body)["name"] for body, in rows(session.state.name, "SELECT body FROM users"))
    assert names == {"second": ROUNDS * USERS}
    assert counted(session, "outdated") == 0


STAMPS = {
    "a timestamp in milliseconds": {"timestamp": 1000 * int(time.time())},
    "a timestamp far ahead": {"timestamp": int(time.time()) + 10 ** 9},
    "our header, in microseconds": {"headers": {"saved_at_ms": int(time.time() * 10 ** 6)}},
    "our header, a day ahead": {"headers": {"saved_at_ms": int(time.time() * 1000) + 24 * HOUR_MS}},
    "our header, as large as can be": {"headers": {"saved_at_ms": FOREVER}},
}


@pytest.mark.parametrize("name", STAMPS)
@pytest.mark.parametrize("first", ["user.saved", "user.deleted"])
def test_no_stamp_freezes_a_user(world, session, name, first):
    user = world.patient_user_service().wait_ready()
    for turn in range(5):
        # The save is sent at once: what it follows may be handled later than it was accepted.
        world.publish(body_of("ada", "stranger"), message_id="~%d" % turn, type=first, **STAMPS[name])
        save(user, session, "ada", "over HTTP %d" % turn)
        assert name_of(session, "ada") == "over HTTP %d" % turn
    world.publish(body_of("ada", "stranger"), message_id="~~", type=first, **STAMPS[name])
    gone = requests.delete(user.base + "/users/ada", headers={"Idempotency-Key": "!"}, timeout=PATIENCE_S)
    assert gone.status_code == 200
    assert line_of(session, "!")["outcome"] == "handled" and name_of(session, "ada") is None


def test_in_the_same_second_over_http_and_over_amqp(world, session):
    user = world.patient_user_service().wait_ready()
    for turn in range(25):
        save(user, session, "ada", "over HTTP")
        message_id = "!%d" % turn
        world.publish(body_of("ada", "over AMQP"), message_id=message_id, timestamp=int(time.time()))
        if turn % 2:
            assert line_of(session, message_id)["outcome"] == "handled"
            assert name_of(session, "ada") == "over AMQP"
        save(user, session, "ada", "over HTTP again")
        assert name_of(session, "ada") == "over HTTP again"


def test_after_hours_in_the_queue_the_order_is_that_of_the_queue(world, session):
    """What has no time of ours is as late as it stands in the queue, and not as late as it is read."""
    session.stop()
    hour_ago = int(time.time() * 1000) - HOUR_MS
    world.publish(body_of("ada", "ours"), message_id="m1", headers={"saved_at_ms": hour_ago})
    world.publish(body_of("ada", "a stranger's"), message_id="s1")
    world.publish(body_of("ada", "ours, late"), message_id="m0", headers={"saved_at_ms": hour_ago - 1})
    world.publish(body_of("eve", "a stranger's"), message_id="s2")
    world.publish(body_of("eve", "ours"), message_id="m2", headers={"saved_at_ms": hour_ago})
    session.start()
    assert line_of(session, "m2")["outcome"] == "handled"
    assert name_of(session, "ada") == "a stranger's" and name_of(session, "eve") == "ours"
    # An older one of ours stays older, whatever has come between.
    assert line_of(session, "m0")["outcome"] == "outdated"


def test_what_was_frozen_before_is_healed_by_the_next_save(world, session):
    user = world.patient_user_service().wait_ready()
    for user_id in ("ada", "eve"):
        save(user, session, user_id, "before")
    assert requests.delete(user.base + "/users/eve", timeout=PATIENCE_S).status_code == 200
    eventually(lambda: name_of(session, "eve") is None, "she is deleted")
    session.stop()
    connection = sqlite3.connect(os.path.join(session.state.name, FILE))
    for at in (FOREVER, 1000 * int(time.time() * 1000), int(time.time() * 1000) + HOUR_MS):
        with connection:
            connection.execute("UPDATE users SET saved_at_ms = ?, message_id = '~'", (at,))
            connection.execute("UPDATE tombstones SET deleted_at_ms = ?, message_id = '~'", (at,))
        session.start()
        session.wait_ready()
        for user_id in ("ada", "eve"):
            save(user, session, user_id, "healed")
            assert name_of(session, user_id) == "healed"
            save(user, session, user_id, "and again")
            assert name_of(session, user_id) == "and again"
        assert requests.delete(user.base + "/users/eve", timeout=PATIENCE_S).status_code == 200
        eventually(lambda: name_of(session, "eve") is None, "she is deleted")
        session.stop()
    connection.close()


def test_a_host_whose_clock_is_an_hour_ahead_freezes_nobody(world, session, clock):
    clock.jump("+1h")
    ahead = world.patient_user_service(environment=clock.environment).wait_ready()
    right = world.patient_user_service().wait_ready()
    for turn in range(10):
        for name, user in (("ahead", ahead), ("right", right)):
            save(user, session, "ada", name)
            assert name_of(session, "ada") == name
            first, second = (ahead, right) if user is ahead else (right, ahead)
            assert requests.delete(first.base + "/users/ada", timeout=PATIENCE_S).status_code == 200
            eventually(lambda: name_of(session, "ada") is None, "he is deleted")
            save(second, session, "ada", "again")
            assert name_of(session, "ada") == "again"


def test_while_the_clock_is_behind_the_next_time_is_greater(world, session, tmp_path):
    library, back = str(tmp_path / "clock_back.so"), tmp_path / "back"
    source = os.path.join(os.path.dirname(__file__), "..", "support", "clock_back.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    user = world.patient_user_service(environment={
        "LD_PRELOAD": library, "ASAN_OPTIONS": "verify_asan_link_order=0", "CLOCK_BACK_FILE": str(back)}).wait_ready()
    save(user, session, "ada", "before")
    back.touch()
    for turn in range(20):
        save(user, session, "ada", "after")
    times = [line["saved_at_ms"] for line in session.events("user.saved")]
    assert times == sorted(set(times))


def test_what_changes_nothing_is_outdated(world, session):
    now = int(time.time() * 1000)
    for message_id, at, kind, outcome in (
            ("m1", now, "user.saved", "handled"), ("m2", now - 1, "user.saved", "outdated"),
            ("d1", now - 1, "user.deleted", "outdated"), ("d2", now + 1, "user.deleted", "handled"),
            ("m3", now, "user.saved", "outdated"), ("d3", now, "user.deleted", "outdated")):
        world.publish(body_of("ada", message_id), message_id=message_id, type=kind, headers={"saved_at_ms": at})
        line = line_of(session, message_id)
        assert line["outcome"] == outcome and line["saved_at_ms"] == at
    assert name_of(session, "ada") is None
    eventually(lambda: counted(session, "outdated") == 4 and counted(session, "handled") == 2, "they are counted")


def test_the_tolerance_is_an_option(world):
    """Of a day: a time that is an hour ahead is believed, and what says that it is older comes too late."""
    session = world.session_service("--clock-tolerance", "24h").wait_ready()
    ahead = int(time.time() * 1000) + HOUR_MS
    world.publish(body_of("ada", "ahead"), message_id="m1", headers={"saved_at_ms": ahead})
    world.publish(body_of("ada", "now"), message_id="m2", headers={"saved_at_ms": ahead - 1})
    assert line_of(session, "m2")["outcome"] == "outdated"
    assert name_of(session, "ada") == "ahead"


def test_of_messages_without_an_id_the_last_to_arrive_stays(world, session):
    now = int(time.time())
    for number, properties in enumerate((
            {"timestamp": now}, {"timestamp": 1}, {"headers": {"saved_at_ms": 1000 * now}}, {},
            {"headers": {"saved_at_ms": 1000}}, {"timestamp": 1000 * now}, {"timestamp": now - 5})):
        world.publish(body_of("ada", "name %d" % number), **properties)
        eventually(lambda: counted(session, "bare") == number + 1, "it is handled")
        assert name_of(session, "ada") == "name %d" % number
