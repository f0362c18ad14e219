"""session-service migrate-store: the embedded store goes over to PostgreSQL whole, whatever ends it on the way."""

import fcntl
import hashlib
import json
import os
import sqlite3
import subprocess

import pytest

from support.services import binary
from support.store import FILE, rows
from support.wait import PATIENCE_S, eventually

pytestmark = pytest.mark.xdist_group("migrate-store")

FAR_MS = 9000000000000
BODY = '{"id":"u1","name":"Ada","username":"ada","email":"ada@example.org"}'
COLUMNS = {
    "inbox": "message_id, %s, handled_at_ms",
    "users": "user_id, saved_at_ms, floor_ms, message_id, saves, session_id, opened_at_ms, extended_at_ms, "
             "expires_at_ms, session_saves, body",
    "tombstones": "user_hash, deleted_at_ms, message_id, handled_at_ms",
    "attempts": "key, count, at_ms",
}


@pytest.fixture
def state(tmp_path, world):
    """A directory whose store has the tables of this version, and no rows."""
    directory = str(tmp_path / "state")
    world.session_service("--state-dir", directory).wait_ready().stop()
    return directory


def fill(directory, messages, users, statements=()):
    connection = sqlite3.connect(os.path.join(directory, FILE))
    with connection:
        connection.executemany("INSERT INTO inbox VALUES (?, ?, ?)", (
            ("m%07d" % n, hashlib.sha256(b"%d" % n).digest(), 1700000000000 + n) for n in range(messages)))
        names = "user_id, saved_at_ms, message_id, saves, session_id, opened_at_ms, extended_at_ms, expires_at_ms, " \
                "session_saves, body, floor_ms"
        connection.executemany("INSERT INTO users (%s) VALUES (?,?,?,?,?,?,?,?,?,?,?)" % names, (user_row(n)
                               for n in range(users)))
        connection.executemany("INSERT INTO tombstones VALUES (?, ?, ?, ?)", (
            (hashlib.sha256(b"t%d" % n).hexdigest(), 5 + n, "m%07d" % n, 6 + n) for n in range(30)))
        connection.executemany("INSERT INTO attempts VALUES (?, ?, ?)", (("k%d" % n, n, 7 + n) for n in range(20)))
        for statement in statements:
            connection.execute(statement)
    connection.close()


def user_row(n):
    """With and without a session, a floor, an id of the message, and with texts that are not ASCII."""
    key = ("u%d", "email:%d@example.org", "ü\t\\%d'\"", "\U0001f600%d")[n % 4] % n
    session = ("%036d" % n, 1000 + n, 2000 + n, FAR_MS + n, 1 + n % 3) if n % 3 else (None,) * 5
    body = json.dumps({"id": key, "name": "Zoë\\" + "x" * (n % 50)}, ensure_ascii=n % 2 == 0)
    return (key, n - 1, "" if n % 5 == 0 else "m%07d" % n, n % 7, *session, body, None if n % 2 else n)


def arguments(directory, database, *more):
    return [binary("session-service"), "migrate-store", "--from", directory, "--to", database.url(), *more]


def migrate(directory, database, *more):
    return subprocess.run(arguments(directory, database, *more), check=False, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S)


def assert_same(directory, database):
    for table, columns in COLUMNS.items():
        key = columns.partition(",")[0]
        of_file = columns % "lower(hex(payload_hash)) AS payload_hash" if table == "inbox" else columns
        shared = columns % "encode(payload_hash, 'hex') AS payload_hash" if table == "inbox" else columns
        expected = rows(directory, "SELECT %s FROM %s ORDER BY %s" % (of_file, table, key))
        found = [tuple(row.values()) for row in database.rows("SELECT %s FROM %s ORDER BY %s" % (shared, table, key))]
        assert len(found) == len(expected) and found == expected, table


def copied(database):
    """Rows that are committed; None before the import has begun."""
    if database.one("SELECT to_regclass('session_service.import') IS NOT NULL") != "t":
        return None
    found = database.sql("SELECT copied FROM import")
    return int(found[0][0]) if found else None


def test_all_is_copied_as_it_is(state, database):
    fill(state, 5001, 2500)
    with open(os.path.join(state, FILE), "rb") as file:
        before = file.read()
    done = migrate(state, database)
    assert done.returncode == 0, done.stderr
    assert "5001 message ids, 2500 users, 30 tombstones, 20 attempts" in done.stdout
    assert "same rows and sums" in done.stdout
    assert "7551 of 7551 rows" in done.stderr and "\r" not in done.stderr
    assert_same(state, database)
    with open(os.path.join(state, FILE), "rb") as file:
        assert file.read() == before
    again = migrate(state, database)
    assert again.returncode == 0 and "imported before" in again.stdout, again.stderr


def test_an_empty_store_and_large_bodies(state, tmp_path, postgres, database):
    assert migrate(state, database).returncode == 0
    large = "x" * (3 * 1024 * 1024)
    fill(state, 1, 0, ["INSERT INTO users (user_id, saved_at_ms, message_id, saves, body) VALUES "
                       "('%s%d', 1, 'm', 1, '%s')" % (text, n, large) for n in range(5) for text in "ab"])
    changed = migrate(state, database)
    assert changed.returncode == 2 and "has changed" in changed.stderr
    other = postgres.database()
    try:
        done = migrate(state, other)
        assert done.returncode == 0, done.stderr
        assert_same(state, other)
    finally:
        other.drop()


def test_killed_again_and_again_it_goes_on(state, database):
    fill(state, 150000, 30000)
    kills = 0
    before = -1
    while kills < 5:
        process = subprocess.Popen(arguments(state, database), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        now = eventually(lambda last=before: (copied(database) or 0) > last and copied(database), "pages are committed")
        process.kill()
        assert process.wait(PATIENCE_S) == -9, "it was killed on the way"
        assert now >= before
        before = max(now, copied(database))
        kills += 1
    assert 0 < before < 180050
    done = migrate(state, database)
    assert done.returncode == 0, done.stderr
    first = [line for line in done.stderr.splitlines() if "rows are copied" in line][0]
    assert int(first.split()[1]) >= before, "it has gone on from where it was"
    assert copied(database) == 180050, "no page was copied again"
    assert_same(state, database)


def test_a_directory_in_use_is_refused(state, world, database):
    one = world.session_service("--state-dir", state).wait_ready()
    refused = migrate(state, database)
    assert refused.returncode == 2 and "in use by process %d" % one.process.pid in refused.stderr
    one.stop()
    with open(os.path.join(state, "lock"), "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert migrate(state, database).returncode == 2
    assert copied(database) is None, "nothing was begun"


def test_a_target_with_rows_of_its_own_is_refused(state, world, database):
    fill(state, 10, 10)
    world.session_service("--store", database.url()).wait_ready().stop()
    for statement, undo in (("INSERT INTO inbox VALUES ('x', '', 1)", "DELETE FROM inbox"),
                            ("INSERT INTO attempts VALUES ('x', 1, 1)", "DELETE FROM attempts")):
        database.sql(statement)
        refused = migrate(state, database)
        assert refused.returncode == 2 and "rows of its own" in refused.stderr
        database.sql(undo)
    assert migrate(state, database).returncode == 0
    assert_same(state, database)


def begin_only(state, database):
    """An import that has come to no end."""
    process = subprocess.Popen(arguments(state, database), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: copied(database), "it has begun")
    process.kill()
    process.wait(PATIENCE_S)
    assert database.one("SELECT is_finished FROM import") == "f"


def test_rows_of_others_amid_the_import_are_found(state, database):
    fill(state, 100000, 10)
    begin_only(state, database)
    database.sql("INSERT INTO inbox VALUES ('m0099999', '', 1)")
    refused = migrate(state, database)
    assert refused.returncode == 2 and "not of this import" in refused.stderr
    database.sql("DELETE FROM inbox WHERE message_id = 'm0099999'; INSERT INTO tombstones VALUES ('x', 1, '', 1)")
    differs = migrate(state, database)
    assert differs.returncode == 2 and "differ" in differs.stderr and "tombstones 31" in differs.stderr
    database.sql("DELETE FROM tombstones WHERE user_hash = 'x'")
    assert migrate(state, database).returncode == 0
    assert_same(state, database)


def test_another_store_is_not_mixed_in(state, database):
    fill(state, 100000, 10)
    begin_only(state, database)
    connection = sqlite3.connect(os.path.join(state, FILE))
    with connection:
        connection.execute("UPDATE users SET saves = saves + 1 WHERE user_id = 'u0'")
    connection.close()
    refused = migrate(state, database)
    assert refused.returncode == 2 and "has changed" in refused.stderr


def test_a_service_waits_for_the_end_of_an_import(state, world, database):
    fill(state, 100000, 10)
    begin_only(state, database)
    one = world.session_service("--store", database.url())
    eventually(lambda: "run session-service migrate-store again" in one.get("/readyz").text, "it says why")
    assert one.get("/users/u0").status_code == 503
    assert migrate(state, database).returncode == 0
    one.wait_ready()
    eventually(lambda: one.get("/users/u0").status_code == 200, "its connection for requests is made too")


def test_a_target_that_a_service_uses_is_refused(state, world, database):
    fill(state, 10, 10)
    one = world.session_service("--store", database.url()).wait_ready()
    refused = migrate(state, database)
    assert refused.returncode == 2 and "in use by session-service at 127.0.0.1" in refused.stderr
    assert copied(database) is None and one.is_ready()
    one.stop()
    assert migrate(state, database).returncode == 0


def test_a_store_of_the_first_version(tmp_path, database):
    from test_store import FIRST_VERSION
    directory = str(tmp_path)
    connection = sqlite3.connect(os.path.join(directory, FILE))
    connection.executescript(FIRST_VERSION)
    connection.close()
    done = migrate(directory, database)
    assert done.returncode == 0, done.stderr
    assert [row["session_id"] for row in database.rows("SELECT * FROM users ORDER BY user_id")] == ["s1", None]
    assert_same(directory, database)


def test_the_service_goes_on_where_the_embedded_store_was(state, world, database):
    before = world.session_service("--state-dir", state).wait_ready()
    properties = {"type": "user.saved", "headers": {"saved_at_ms": 1000}}
    world.publish(BODY, message_id="first", **properties)
    eventually(lambda: before.handled_ids() == ["first"], "it is handled")
    session = before.get("/sessions").json()["data"][0]
    before.stop()
    assert migrate(state, database).returncode == 0
    after = world.session_service("--state-dir", state, "--store", database.url()).wait_ready()
    world.publish(BODY, message_id="first", **properties)
    eventually(lambda: [e["outcome"] for e in after.events("user.saved")] == ["duplicate"], "the old id is known")
    world.publish(BODY, message_id="second", type="user.saved", headers={"saved_at_ms": 2000})
    eventually(lambda: len(after.events("user.saved")) == 2, "the next one is handled")
    extended = after.get("/sessions").json()["data"]
    assert len(extended) == 1 and extended[0]["id"] == session["id"]
    assert extended[0]["opened_at_ms"] == session["opened_at_ms"] and extended[0]["saves"] == session["saves"] + 1


@pytest.mark.parametrize("given, said", [
    ((), "--from DIR and --to URL are needed"), (("--from", "/nowhere", "--to", "postgresql://db/x"), "no store in"),
    (("--from", "/tmp", "--to", "sqlite"), "--to: "), (("--to", "postgresql://db/x"), "are needed"),
    (("--queue", "x"), "queue")])
def test_a_command_line_that_is_none(given, said):
    done = subprocess.run([binary("session-service"), "migrate-store", *given], check=False, stderr=subprocess.PIPE,
                          text=True, timeout=PATIENCE_S)
    assert done.returncode == 2 and said in done.stderr


def test_no_server_is_a_failure_that_can_be_repeated(state, database):
    server = type(database.server)()
    done = subprocess.run([binary("session-service"), "migrate-store", "--from", state, "--to",
                           "postgresql://postgres@127.0.0.1:%d/x" % server.port], check=False,
                          stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S)
    server.close()
    assert done.returncode == 1 and "Connection refused" in done.stderr
