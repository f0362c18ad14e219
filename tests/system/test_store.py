"""The session-service's store: one effect for each id, whatever ends the process or fills the disk."""

import collections
import json
import os
import random
import signal
import sqlite3
import subprocess
import tempfile
import time

import pika
import pytest
import requests

from support.proxy import Proxy
from support.services import Service
from support.store import FILE, effects, inbox_ids, rows
from support.tracing import count_failed, inject, trace
from support.wait import PATIENCE_S, eventually, wait_until

MARKER = "abort-the-process"


@pytest.fixture
def service(world):
    return world.session_service().wait_ready()


def logged(service, **fields):
    return [e for e in service.events() if all(e.get(k) == v for k, v in fields.items())]


def copies_confirmed(service, reason, count=1):
    """Only then an impossible message is acked; a service that stops waits two seconds for it, no longer."""
    name = 'session_service_dead_letters_total{reason="%s"}' % reason
    eventually(lambda: service.metric(name) == count, "%d confirmed as %s" % (count, reason))


def publish_all(world, messages):
    """(message id or None, body), persistent and confirmed."""
    channel = world.declare()
    channel.confirm_delivery()
    for message_id, body in messages:
        channel.basic_publish("", world.queue, body,
                              pika.BasicProperties(message_id=message_id, delivery_mode=2,
                                                   headers={"saved_at_ms": 1000}))
    channel.connection.close()


def publish_unconfirmed(world, messages, time_of=lambda message_id: 1000):
    """The same for many, with nobody who consumes: that the queue has them all is seen at the end."""
    channel = world.declare()
    before = channel.queue_declare(world.queue, passive=True).method.message_count
    for message_id, body in messages:
        channel.basic_publish("", world.queue, body,
                              pika.BasicProperties(message_id=message_id, delivery_mode=2,
                                                   headers={"saved_at_ms": time_of(message_id)}))
    eventually(lambda: world.count() >= before + len(messages), "the queue has them all")
    channel.connection.close()


def user(number, **members):
    return json.dumps(dict({"id": number, "name": "Ada"}, **members))


def test_an_id_takes_effect_once(world, service):
    publish_all(world, [("m1", user(1)), ("m1", user(1)), ("m1", user(1, name="Eve"))])
    eventually(lambda: logged(service, event="user.dead_lettered", reason="id-conflict"), "the conflict is put aside")
    assert len(logged(service, event="user.saved", outcome="handled", message_id="m1")) == 1
    assert len(logged(service, event="user.saved", outcome="duplicate", message_id="m1")) == 1
    _, properties, body = world.get(world.dead)
    assert json.loads(body)["name"] == "Eve" and properties.message_id == "m1"
    assert properties.headers["dead-letter-reason"] == "id-conflict"
    data = service.get("/users/1").json()
    assert data["data"]["name"] == "Ada" and data["message_id"] == "m1"
    assert effects(service.state.name) == 1
    # A line is written before it is counted.
    eventually(lambda: service.metric('session_service_deliveries_total{outcome="duplicate"}') == 1, "it is counted")
    copies_confirmed(service, "id-conflict")
    service.stop()
    assert world.is_empty()


def test_an_older_save_never_overwrites_a_newer_one(world, service):
    for message_id, name, saved_at, outcome in (("m1", "new", 2000, "handled"), ("m2", "old", 1000, "outdated")):
        world.publish(user(1, name=name), message_id=message_id, headers={"saved_at_ms": saved_at})
        eventually(lambda: logged(service, message_id=message_id, outcome=outcome), message_id)
    assert service.get("/users/1").json()["data"]["name"] == "new"
    assert effects(service.state.name) == 2


def test_bare_users_are_known_by_id_or_email_or_body(world, service):
    for body in ('{"id":"u1"}', '{"email":"a@example.org"}', '{"x":1}', '{"x":1}'):
        world.publish(body)
    eventually(lambda: len(logged(service, outcome="bare")) == 4, "all are handled")
    keys = [row[0] for row in rows(service.state.name, "SELECT user_id FROM users ORDER BY user_id")]
    assert keys[0] == "email:a@example.org" and keys[1].startswith("sha256:") and keys[2] == "u1"
    assert len(keys) == 3 and effects(service.state.name) == 0
    world.publish(json.dumps({"id": "i" * 600}))
    eventually(lambda: len(logged(service, outcome="bare")) == 5, "a long id too")
    keys = [row[0] for row in rows(service.state.name, "SELECT user_id FROM users ORDER BY user_id")]
    assert len(keys) == 4 and keys[1].startswith("id-sha256:") and len(keys[1]) == 74


def newest_of_each(messages):
    """{user: (his messages that must take effect, the body that must stay)}; saved in the order of their ids."""
    users = {}
    for message_id, body in sorted(set(messages)):
        count, _ = users.get(str(json.loads(body)["id"]), (0, None))
        users[str(json.loads(body)["id"])] = (count + 1, body)
    return users


def time_of(message_id):
    return 1000 + int(message_id[1:])


def take_all(world, queue):
    """Everything that is in a queue: (properties, body)."""
    channel = world.channel()
    taken = []
    while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
        taken.append(got[1:])
    channel.connection.close()
    return taken


def test_killed_at_any_moment(world, deadline):
    """Duplicates, poison, and kill -9: one effect for each id, all poison aside, every id in the log.

    STORE_TEST_MESSAGES valid ids (4000), a tenth of them sent twice, a hundredth of poison beside
    them; STORE_TEST_KILLS kills (10); STORE_TEST_SEED repeats a run.
    """
    count = int(os.environ.get("STORE_TEST_MESSAGES", "4000"))
    kills = int(os.environ.get("STORE_TEST_KILLS", "10"))
    seed = int(os.environ.get("STORE_TEST_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    deadline(240 + count // 50 + 4 * kills)
    begin = time.monotonic()
    rng = random.Random(seed)
    valid = ["m%06d" % i for i in range(count)]
    messages = [(m, user(rng.randrange(count // 8), n=m)) for m in valid]
    expected = newest_of_each(messages)
    messages += [rng.choice(messages) for _ in range(count // 10)]
    poison = ["p%05d" % i for i in range(count // 100)]
    messages += [(p, "not JSON") for p in poison]
    rng.shuffle(messages)
    outcomes = collections.Counter()
    seen = set()

    def read_log(service):
        events = service.events("user.saved")
        outcomes.update(e["outcome"] for e in events)
        seen.update(e["message_id"] for e in events)
        return len(events)

    def handled_of(part):
        return {m for m, body in part if body != "not JSON"}

    with tempfile.TemporaryDirectory(prefix="session-service-") as state:
        lives, expected_ids, done = [], set(), 0
        for life in range(kills):
            # Each life has work of its own, however far the one before has come. The kill lies anywhere in three
            # quarters of it, and anywhere in what follows a batch.
            part = messages[done:done + len(messages) // (kills + 1)]
            done += len(part)
            expected_ids |= handled_of(part)
            publish_unconfirmed(world, part, time_of)
            service = world.session_service("--state-dir", state, "--prefetch", "20")
            work = 2 + 0.75 * len(part) * rng.random()
            eventually(lambda: service.log_text().count('"event":"user.saved"') >= work or
                       expected_ids <= inbox_ids(state), "so much is logged, or there is no more")
            time.sleep(rng.uniform(0, 0.01))
            service.kill()
            lives.append(read_log(service))
        publish_unconfirmed(world, messages[done:], time_of)
        left = len(set(valid) - inbox_ids(state))
        assert all(n > 0 for n in lives), lives
        service = world.session_service("--state-dir", state)
        service.wait_ready()
        wait_until(lambda: len(inbox_ids(state)) == len(valid), PATIENCE_S + count // 200,
                   "each valid id is in the inbox")
        world.all_acked()
        service.stop()
        read_log(service)
        assert world.is_empty()
        assert inbox_ids(state) == set(valid) == seen
        assert effects(state) == len(valid)
        stored = rows(state, "SELECT user_id, saves, body FROM users")
        assert {row[0]: row[1:] for row in stored} == expected
        assert rows(state, "PRAGMA integrity_check") == [("ok",)]
    dead = take_all(world, world.dead)
    assert {(p.message_id, p.headers["dead-letter-reason"], body) for p, body in dead} == {
        (p, "not-json", b"not JSON") for p in poison}
    print("%d messages, %d kills, logged in each life: %s, %d ids left at the last, "
          "logged: %s, copies of poison more than once: %d; all in %.0f s" %
          (len(messages), kills, lives, left, dict(outcomes), len(dead) - len(poison), time.monotonic() - begin))


def test_a_message_that_ends_the_process_is_put_aside(world, tmp_path):
    library = str(tmp_path / "abort.so")
    source = os.path.join(os.path.dirname(__file__), "..", "support", "abort_on_marker.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    environment = {"LD_PRELOAD": library, "ASAN_OPTIONS": "verify_asan_link_order=0"}
    good = ["g%d" % i for i in range(20)]
    publish_all(world, [(g, user(g)) for g in good[:10]] + [("bad", user(1, x=MARKER))] +
                [(g, user(g)) for g in good[10:]])
    state = str(tmp_path / "state")
    for crashes in range(12):
        service = Service("session-service", "--queue", world.queue, "--state-dir", state,
                          "--redelivery-limit", "3",
                          environment=dict(environment, AMQP_URL=world.url))
        service.process = subprocess.Popen(service.arguments, stdin=subprocess.DEVNULL,
                                           stdout=subprocess.DEVNULL, stderr=service.log,
                                           env=service.environment)
        eventually(lambda: service.process.poll() is not None or
                   logged(service, event="user.dead_lettered"), "it ends, or puts it aside")
        if service.process.poll() is None:
            break
        assert service.process.returncode == -signal.SIGABRT
        service.log.close()
    assert 2 <= crashes <= 5
    eventually(lambda: inbox_ids(state) == set(good), "the rest is handled")
    _, properties, _ = world.get(world.dead)
    assert properties.message_id == "bad"
    assert properties.headers["dead-letter-reason"] == "too-many-redeliveries"
    copies_confirmed(service, "too-many-redeliveries")
    service.stop()
    service.close()
    assert world.is_empty()


def test_a_second_process_waits_for_the_directory(world, service):
    """It leaves the file alone, says so, and takes over with all that is in it."""
    publish_all(world, [("m%d" % i, user(i)) for i in range(20)])
    eventually(lambda: len(inbox_ids(service.state.name)) == 20, "all are handled")
    second = world.session_service("--state-dir", service.state.name)
    reply = eventually(lambda: second.get("/readyz").json()["status"] == "standby" and second.get("/readyz"), "it waits")
    assert reply.status_code == 200 and "in use by process %d" % service.process.pid in reply.json()["detail"]
    assert [second.metric("session_service_" + name) for name in ("standby", "active", "broker_connected")] == [1, 0, 0]
    for path in ("/sessions", "/sessions/x", "/users/u1"):
        refused = second.get(path)
        assert refused.status_code == 503 and "another process has the store" in refused.text
    service.kill()
    second.wait_ready()
    publish_all(world, [("m1", user(1)), ("new", user(1000))])
    eventually(lambda: "new" in second.handled_ids(), "it works")
    assert [e["outcome"] for e in second.events("user.saved") if e["message_id"] == "m1"] == ["duplicate"]
    assert len(second.events("consumer.standby")) == len(second.events("consumer.active")) == 1
    assert len(second.get("/sessions?limit=100").json()["data"]) == 21


def test_one_that_waits_for_the_directory_ends_when_asked(world, service):
    second = world.session_service("--state-dir", service.state.name)
    eventually(lambda: second.events("consumer.standby"), "it waits")
    second.stop()
    service.stop()


def test_a_damaged_store_is_refused_and_kept(world, service):
    publish_all(world, [("m%d" % i, user(i)) for i in range(300)])
    eventually(lambda: len(inbox_ids(service.state.name)) == 300, "all are handled")
    service.stop()
    for _ in range(2):  # the start brings the log into the file
        service.start().stop()
    path = os.path.join(service.state.name, FILE)
    with open(path, "r+b") as file:
        for page in (1, 3, 5):
            file.seek(4096 * page)
            file.write(b"\x5a" * 3000)
    with open(path, "rb") as file:
        damaged = file.read()
    refused = subprocess.run(service.arguments, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             text=True, timeout=PATIENCE_S, env=service.environment)
    assert refused.returncode == 2 and "is damaged" in refused.stderr
    with open(path, "rb") as file:
        assert file.read() == damaged


FIRST_VERSION = """
PRAGMA application_id = 0x53535631; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;
CREATE TABLE inbox (message_id TEXT NOT NULL PRIMARY KEY, payload_hash BLOB NOT NULL,
 handled_at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE users (user_id TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL, saved_at_ms INTEGER NOT NULL,
 message_id TEXT NOT NULL, saves INTEGER NOT NULL, session_id TEXT, opened_at_ms INTEGER,
 extended_at_ms INTEGER, expires_at_ms INTEGER, session_saves INTEGER) WITHOUT ROWID;
CREATE UNIQUE INDEX users_by_session ON users (session_id) WHERE session_id IS NOT NULL;
CREATE VIEW sessions AS SELECT session_id AS id, user_id, opened_at_ms, extended_at_ms,
 expires_at_ms, session_saves AS saves FROM users WHERE session_id IS NOT NULL;
CREATE TABLE attempts (key TEXT NOT NULL PRIMARY KEY, count INTEGER NOT NULL,
 at_ms INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO users VALUES ('u1', '{"id":"u1","name":"Ada"}', 1000, 'm1', 3, 's1', 5, 6, 9000000000000, 2);
INSERT INTO users VALUES ('u2', '{"id":"u2"}', 1000, 'm2', 1, NULL, NULL, NULL, NULL, NULL);
"""


def test_a_store_of_the_first_version_is_brought_up_to_date(world, tmp_path):
    connection = sqlite3.connect(str(tmp_path / FILE))
    connection.executescript(FIRST_VERSION)
    connection.close()
    service = world.session_service("--state-dir", str(tmp_path)).wait_ready()
    assert service.get("/users/u1").json()["data"] == {"id": "u1", "name": "Ada"}
    assert service.get("/users/u2").json()["data"] == {"id": "u2"}
    session = service.get("/sessions").json()["data"][0]
    assert (session["id"], session["user_id"], session["saves"]) == ("s1", "u1", 2)
    world.publish('{"id":"u1","name":"Eve"}', message_id="m3", headers={"saved_at_ms": 2000})
    eventually(lambda: "m3" in service.handled_ids(), "it can be written to")
    assert service.get("/users/u1").json()["data"]["name"] == "Eve"
    assert service.get("/sessions").json()["data"][0]["saves"] == 3
    assert effects(str(tmp_path)) == 5


def is_paused(service, text):
    reply = service.get("/readyz")
    return reply is not None and reply.status_code == 503 and text in reply.text


def as_root(*command):
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run(prefix + list(command), check=True, stdin=subprocess.DEVNULL)


def test_a_full_disk_pauses_and_loses_nothing(world, broker, tmp_path):
    """Nothing is read then: that the connection has ended is seen all the same, long before a heartbeat is due."""
    proxy = Proxy(broker.port)
    world.closers.append(proxy.close)
    state = str(tmp_path / "state")
    os.mkdir(state)
    as_root("mount", "-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs", state)
    try:
        messages = [("m%04d" % i, user(i, text="x" * 600)) for i in range(3000)]
        publish_unconfirmed(world, messages)
        service = world.session_service(
            # Few at once: an end that comes behind more than the socket holds does not arrive.
            "--state-dir", state, "--heartbeat", "60s", "--prefetch", "50", "--amqp-url",
            "amqp://guest:guest@127.0.0.1:%d/" % proxy.port)
        eventually(lambda: is_paused(service, "full"), "it pauses and says why")
        assert service.metric("session_service_store_paused") == 1
        assert len(service.events("consumer.paused")) == 1
        assert service.get("/healthz").status_code == 200
        proxy.cut()
        eventually(lambda: service.metric("session_service_broker_connected") == 0, "the connection is lost")
        attempts = str(tmp_path / "attempts")
        tracer = trace(service.process.pid, "pwrite64", attempts)
        try:
            eventually(lambda: count_failed(attempts, "ENOSPC") >= 3, "the store is tried again and again")
        finally:
            tracer.terminate()
            tracer.wait(PATIENCE_S)
        assert is_paused(service, "full")
        as_root("mount", "-o", "remount,size=64m", state)
        # Asked of the log: who reads the file meanwhile may be in the way of a commit.
        eventually(lambda: len(set(service.handled_ids())) == len(messages), "it goes on by itself")
        service.wait_ready()
        assert effects(state) == len(messages)
        assert set(m for m, _ in messages) <= set(service.handled_ids())
        order = [e["event"] for e in service.events() if e.get("name", "consumer") == "consumer" and e["event"] in (
            "consumer.paused", "consumer.resumed", "broker.disconnected", "consumer.consuming")]
        # What cannot be stored is not delivered again.
        assert order == ["consumer.consuming", "consumer.paused", "broker.disconnected", "consumer.resumed",
                         "consumer.consuming"], service.events("consumer.paused")
        world.all_acked()
        service.stop()
        assert world.is_empty()
        assert not service.events("user.dead_lettered")
    finally:
        as_root("umount", "--lazy", state)


def test_a_failed_fsync_acks_nothing_that_is_not_on_disk(world, service):
    publish_all(world, [("before", user(1))])
    eventually(lambda: "before" in service.handled_ids(), "the store works")
    tracer = inject(service.process.pid, "fsync,fdatasync", "error=EIO")
    try:
        publish_all(world, [("during", user(2))])
        eventually(lambda: is_paused(service, "Input/output error"), "it pauses and says why")
        assert "during" not in service.handled_ids()
        assert service.metric("session_service_store_paused") == 1
    finally:
        tracer.terminate()
        tracer.wait(PATIENCE_S)
    eventually(lambda: "during" in service.handled_ids(), "it goes on by itself")
    assert effects(service.state.name) == 2
    service.stop()
    assert world.is_empty()


ROUTES = [
    ("GET", "/sessions", 200), ("HEAD", "/sessions", 200), ("POST", "/sessions", 405),
    ("DELETE", "/sessions", 405), ("GET", "/sessions?limit=1", 200), ("GET", "/sessions?limit=0", 400),
    ("GET", "/sessions?limit=1001", 400), ("GET", "/sessions?limit=x", 400),
    ("GET", "/sessions?cursor=x", 400), ("GET", "/sessions?cursor=" + "0" * 36, 200),
    ("GET", "/sessions/unknown", 404), ("DELETE", "/sessions/unknown", 404),
    ("PUT", "/sessions/unknown", 405), ("GET", "/sessions/", 404), ("GET", "/users/unknown", 404),
    ("GET", "/users/", 404), ("GET", "/users", 404), ("DELETE", "/users/1", 405),
    ("GET", "/users/%27%20OR%201=1", 404), ("GET", "/users/a%2Fb%40c", 200),
    ("GET", "/users/1", 200),
]


@pytest.fixture(scope="module")
def stored(shared_world):
    service = shared_world.session_service().wait_ready()
    publish_all(shared_world, [("m1", user(1)), ("m2", user("a/b@c"))])
    eventually(lambda: len(inbox_ids(service.state.name)) == 2, "both are handled")
    return service


@pytest.mark.parametrize("method, path, status", ROUTES,
                         ids=[m + p.replace("/", "_")[:30] for m, p, _ in ROUTES])
def test_routes(stored, method, path, status):
    reply = requests.request(method, stored.base + path, timeout=PATIENCE_S)
    assert reply.status_code == status, reply.text
    if status >= 400:
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert reply.json()["status"] == status
    elif method == "GET":
        assert reply.json()["success"] is True


def test_a_session_opens_extends_and_ends(world, tmp_path):
    """Each step has the time to live that it needs: none ends by itself before it was looked at."""

    def life(time_to_live):
        return world.session_service("--state-dir", str(tmp_path), "--session-ttl", time_to_live).wait_ready()

    def session_of(user_id):
        reply = service.get("/users/" + user_id)
        return reply.json()["session_id"] if reply.status_code == 200 else None

    service = life("1h")
    publish_all(world, [("m1", user(1))])
    first = eventually(lambda: session_of("1"), "a session is open")
    session = service.get("/sessions/" + first).json()["data"]
    assert session["user_id"] == "1" and session["saves"] == 1
    assert session["expires_at_ms"] == session["extended_at_ms"] + 3600 * 1000
    publish_all(world, [("m2", user(1))])
    eventually(lambda: service.get("/sessions/" + first).json()["data"]["saves"] == 2, "it is extended")
    service.stop()

    service = life("1s")
    publish_all(world, [("m3", user(1))])
    eventually(lambda: "m3" in service.handled_ids(), "it ends in a second from now")
    eventually(lambda: service.get("/sessions/" + first).status_code == 404, "it expires")
    assert session_of("1") is None
    eventually(lambda: rows(str(tmp_path), "SELECT count(*) FROM sessions") == [(0,)], "it is swept")
    service.stop()

    service = life("1h")
    publish_all(world, [("m4", user(1))])
    second = eventually(lambda: session_of("1"), "another opens")
    assert second != first
    assert requests.delete(service.base + "/sessions/" + second, timeout=PATIENCE_S).status_code == 204
    assert requests.delete(service.base + "/sessions/" + second, timeout=PATIENCE_S).status_code == 404


def test_pages_are_stable_while_users_arrive(world, service):
    publish_all(world, [("m%d" % i, user("old%d" % i)) for i in range(300)])
    eventually(lambda: len(inbox_ids(service.state.name)) == 300, "they are there")
    channel = world.channel()
    seen, cursor = [], ""
    for batch in range(100):
        for i in range(10):
            channel.basic_publish("", world.queue, user("new%d-%d" % (batch, i)),
                                  pika.BasicProperties(message_id="n%d-%d" % (batch, i)))
        page = service.get("/sessions?limit=7" + cursor).json()
        seen += [s["user_id"] for s in page["data"]]
        if page["next"] is None:
            break
        if batch % 8 == 0:
            eventually(lambda: len(inbox_ids(service.state.name)) == 310 + 10 * batch, "they have arrived")
        cursor = "&cursor=" + page["next"]
    old = [u for u in seen if u.startswith("old")]
    assert len(seen) == len(set(seen))
    assert sorted(old) == sorted("old%d" % i for i in range(300))


def test_a_save_after_the_clock_was_set_back_is_the_newer_one(world, service, tmp_path):
    library, back = str(tmp_path / "clock_back.so"), tmp_path / "back"
    source = os.path.join(os.path.dirname(__file__), "..", "support", "clock_back.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    environment = {"LD_PRELOAD": library, "ASAN_OPTIONS": "verify_asan_link_order=0",
                   "CLOCK_BACK_FILE": str(back)}
    user_service = world.patient_user_service(environment=environment).wait_ready()
    assert user_service.save({"id": 1, "name": "before"}).status_code == 200
    back.touch()
    for number in range(8):
        assert user_service.save({"id": 1, "name": "after%d" % number}).status_code == 200
    eventually(lambda: effects(service.state.name) == 9, "all are handled")
    assert service.get("/users/1").json()["data"]["name"] == "after7"
    # The clock stands still for what happens now, and the ids say the opposite of what came first.
    gone = requests.delete(user_service.base + "/users/1", headers={"Idempotency-Key": "+"}, timeout=PATIENCE_S)
    assert gone.status_code == 200
    eventually(lambda: service.get("/users/1").status_code == 404, "the user is deleted")
    assert user_service.save({"id": 1, "name": "again"}, Idempotency_Key="!").status_code == 200
    eventually(lambda: service.get("/users/1").status_code == 200, "there is a new one")
