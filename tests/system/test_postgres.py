"""--store postgresql://: what several session-services share, who may do what there, and what a start says."""

import concurrent.futures
import json
import os
import subprocess
import tempfile
import uuid

import pika
import pytest

from support.services import binary
from support.wait import PATIENCE_S, eventually

pytestmark = pytest.mark.xdist_group("postgres")


def stored_in(world, database, *arguments, url=None, **options):
    return world.session_service("--store", url or database.url(), *arguments, **options)


def publish(world, messages, channel=None):
    """(id, body) each; an id of None is none. The last one is confirmed, and with it all: a quorum queue may lose what
    is on its way to it when the channel is closed."""
    own = channel or world.declare()
    for number, (message_id, body) in enumerate(messages, 1):
        if number == len(messages):
            own.confirm_delivery()
        own.basic_publish("", world.queue, body, pika.BasicProperties(
            message_id=message_id, delivery_mode=2, type="user.saved" if message_id else None,
            headers={"saved_at_ms": 1000} if message_id else None))
    if channel is None:
        own.connection.close()


def user(number, **members):
    return json.dumps(dict({"id": "u%d" % number, "name": "Ada", "username": "ada", "email": "ada@example.org"},
                           **members))


def messages_of(count, first=0):
    return [(str(uuid.uuid4()), user(number)) for number in range(first, first + count)]


def outcomes(*services):
    """With which outcomes each id was told."""
    found = {}
    for one in services:
        for event in one.events("user.saved"):
            found.setdefault(event.get("message_id"), []).append(event["outcome"])
    return found


def why_not_ready(one):
    reply = one.get("/readyz")
    return reply.json().get("detail", "") if reply is not None and reply.status_code == 503 else ""


def test_what_was_saved_can_be_read(world, database):
    one = stored_in(world, database).wait_ready()
    publish(world, messages_of(3) + [("again", user(7)), ("again", user(7)), ("again", user(8))])
    eventually(lambda: len(outcomes(one).get("again", ())) == 2, "the copy is told")
    assert outcomes(one)["again"] == ["handled", "duplicate"]
    assert world.get(world.dead)[1].headers["dead-letter-reason"] == "id-conflict"
    shown = one.get("/users/u7").json()["data"]
    assert shown["user"]["id"] == "u7" if "user" in shown else shown["id"] == "u7"
    found = one.get("/sessions?limit=2").json()
    assert len(found["data"]) == 2 and found["next"]
    rest = one.get("/sessions?limit=10&cursor=" + found["next"]).json()
    assert len(rest["data"]) == 2 and rest["next"] is None
    assert one.get("/users/nobody").status_code == one.get("/users/%ff").status_code == 404
    assert database.one("SELECT count(*) FROM users") == "4"
    assert not os.path.exists(os.path.join(one.state.name, "session-service.db"))


def test_a_session_can_be_ended_and_a_user_deleted(world, database):
    import requests
    one = stored_in(world, database).wait_ready()
    user_service = world.user_service().wait_ready()
    assert user_service.save(json.loads(user(1))).status_code == 200
    eventually(lambda: one.get("/users/u1").status_code == 200, "the user is there")
    session = one.get("/sessions").json()["data"][0]["id"]
    assert requests.delete(one.base + "/sessions/" + session, timeout=PATIENCE_S).status_code == 204
    assert requests.delete(one.base + "/sessions/" + session, timeout=PATIENCE_S).status_code == 404
    assert one.get("/sessions").json()["data"] == []
    assert requests.delete(user_service.base + "/users/u1", timeout=PATIENCE_S).status_code == 200
    eventually(lambda: one.get("/users/u1").status_code == 404, "the user is gone")
    assert database.one("SELECT count(*) FROM tombstones") == "1"


def test_two_share_one_store(world, database):
    """Copies of one message reach both at about the same time."""
    both = [stored_in(world, database, "--prefetch", "50").wait_ready() for _ in range(2)]
    messages = messages_of(2000)
    copies = messages[::10]
    channel = world.declare()
    for begin in range(0, len(messages), 50):
        publish(world, messages[begin:begin + 50] + copies[begin // 10:begin // 10 + 5], channel)
    eventually(lambda: sum(len(told) for told in outcomes(*both).values()) == len(messages) + len(copies),
               "all are told")
    world.all_acked()
    told = outcomes(*both)
    assert all(one.count("handled") == 1 for one in told.values())
    assert sum(one.count("duplicate") for one in told.values()) == len(copies)
    assert all(len(one.events("user.saved")) > 100 for one in both), "both have worked"
    assert database.one("SELECT sum(saves) FROM users") == database.one("SELECT count(*) FROM inbox") == "2000"


def test_two_save_and_delete_the_same_users(world, database):
    """What is there in the end is what the latest change says, whoever has applied it."""
    both = [stored_in(world, database, "--prefetch", "20").wait_ready() for _ in range(2)]
    channel = world.declare()
    last = {}
    for step in range(1500):
        number = step % 7
        deletes = (step // 7) % 3 == 2
        channel.basic_publish("", world.queue, user(number, step=step) if not deletes else '{"id":"u%d"}' % number,
                              pika.BasicProperties(message_id=str(uuid.uuid4()), delivery_mode=2,
                                                   type="user.deleted" if deletes else "user.saved",
                                                   headers={"saved_at_ms": 1000 + step}))
        last[number] = None if deletes else step
    eventually(lambda: sum(len(one.events("user.saved")) + len(one.events("user.deleted")) for one in both) == 1500,
               "all are told")
    world.all_acked()
    there = {row["user_id"]: row["step"] for row in database.rows("SELECT user_id, (body::jsonb->>'step')::int AS step "
                                                                  "FROM users")}
    assert there == {"u%d" % number: step for number, step in last.items() if step is not None}
    assert int(database.one("SELECT count(*) FROM tombstones")) == sum(step is None for step in last.values())
    for one in both:
        assert not one.events("consumer.paused"), "no deadlock"


def test_who_starts_at_once_makes_the_tables_once(world, postgres):
    for _ in range(3):
        database = postgres.database()
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            several = list(threads.map(lambda _, one=database: stored_in(world, one), range(4)))
        for one in several:
            one.wait_ready().stop()
            assert not one.events("store.unavailable") and not one.events("consumer.paused")
        assert database.one("SELECT version FROM version") == "2"


def roles(database):
    """An owner of the tables, and one who may only use them."""
    name = database.name
    database.sql("CREATE ROLE owner_%s LOGIN; CREATE ROLE user_%s LOGIN;" % (name, name) +
                 "GRANT CREATE ON DATABASE %s TO owner_%s" % (name, name))
    return "owner_" + name, "user_" + name


def test_a_role_with_no_more_rights_than_it_needs(world, database):
    owner, role = roles(database)
    refused = subprocess.run([binary("session-service"), "--store", database.url(role), "--listen", "127.0.0.1:0",
                              "--state-dir", tempfile.mkdtemp()], check=False, stderr=subprocess.PIPE, text=True,
                             timeout=PATIENCE_S)
    assert refused.returncode != 0 and "session-service schema --print" in refused.stderr
    script = subprocess.run([binary("session-service"), "schema", "--print"], check=True, stdout=subprocess.PIPE,
                            text=True, timeout=PATIENCE_S).stdout
    database.server.sql(script, database.name, owner)
    grants = "\n".join(line[3:] for line in script.splitlines() if line.startswith("-- GRANT") or
                       line.startswith("--     ")).replace("TO role", "TO " + role)
    assert grants.count("GRANT") == 4
    database.server.sql(grants, database.name, owner)
    one = stored_in(world, database, url=database.url(role)).wait_ready()
    publish(world, messages_of(10) + [(None, '{"name":"bare"}')])
    eventually(lambda: len(one.events("user.saved")) == 11, "all are told")
    assert one.get("/sessions").status_code == 200
    assert database.one("SELECT count(*) FROM users") == "11"
    database.sql("REVOKE INSERT ON inbox FROM " + role, owner)
    publish(world, messages_of(1, first=50))
    eventually(lambda: "docs/postgresql.md" in why_not_ready(one), "it says which right is missing")
    database.sql("GRANT INSERT ON inbox TO " + role, owner)
    one.wait_ready()
    eventually(lambda: len(one.events("user.saved")) == 12, "it goes on")


def test_a_password_file_and_a_wrong_password(world, postgres, database):
    owner, _ = roles(database)
    database.sql("ALTER ROLE %s PASSWORD 'right'" % owner)
    rules = os.path.join(postgres.data, "pg_hba.conf")
    with open(rules) as file:
        before = file.read()
    with open(rules, "w") as file:
        file.write("host all %s 127.0.0.1/32 scram-sha-256\n" % owner + before)
    postgres.sql("SELECT pg_reload_conf()")
    with tempfile.NamedTemporaryFile("w", suffix=".password") as password:
        password.write("wrong\n")
        password.flush()
        one = stored_in(world, database, "--store-password-file", password.name, url=database.url(owner))
        eventually(lambda: "password authentication failed" in why_not_ready(one), "it says why")
        assert "wrong" not in one.log_text()
        password.seek(0)
        password.write("right\n")
        password.flush()
        one.wait_ready()
    with open(rules, "w") as file:
        file.write(before)
    postgres.sql("SELECT pg_reload_conf()")


def test_no_server_at_the_start(world, database):
    server = type(database.server)()
    one = stored_in(world, database, url="postgresql://postgres@127.0.0.1:%d/postgres" % server.port)
    try:
        eventually(lambda: "Connection refused" in why_not_ready(one), "it says why")
        assert one.get("/healthz").status_code == 200
        assert one.get("/users/u1").status_code == 503
        server.start()
        one.wait_ready()
    finally:
        server.close()


@pytest.mark.parametrize("value, said", [
    ("mysql://db/x", "neither"), ("postgresql://db/x?nonsense=1", 'there is no parameter "nonsense"'),
    ("postgresql://db:port/x", "neither"), ("postgresql://a,b:1,c:70000/x", "neither"), ("", "neither")])
def test_a_url_that_is_none(value, said):
    done = subprocess.run([binary("session-service"), "--store", value, "--check-config"], check=False,
                          stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2 and "store" in done.stderr and said in done.stderr


def test_a_database_with_another_encoding(postgres):
    other = postgres.database("LATIN1")
    try:
        done = subprocess.run([binary("session-service"), "--store", other.url(), "--listen", "127.0.0.1:0",
                               "--state-dir", tempfile.mkdtemp()], check=False, stderr=subprocess.PIPE, text=True,
                              timeout=PATIENCE_S)
        assert done.returncode == 2 and "UTF8" in done.stderr
    finally:
        other.drop()


def test_a_newer_schema(world, database):
    stored_in(world, database).wait_ready().stop()
    database.sql("UPDATE version SET version = 99")
    done = subprocess.run([binary("session-service"), "--store", database.url(), "--listen", "127.0.0.1:0",
                           "--state-dir", tempfile.mkdtemp()], check=False, stderr=subprocess.PIPE, text=True,
                          timeout=PATIENCE_S)
    assert done.returncode == 2 and "version 99" in done.stderr


def test_a_server_that_forgets_is_warned_of(world, database):
    database.server.sql("ALTER DATABASE %s SET synchronous_commit = off" % database.name)
    one = stored_in(world, database)
    eventually(lambda: one.events("store.warning"), "the log warns")
    reply = eventually(lambda: one.is_ready() and one.get("/readyz").json(), "it works all the same")
    assert "synchronous_commit" in reply["warning"]


def test_the_password_is_not_shown(world, database):
    one = stored_in(world, database, url=database.url().replace("postgres@", "postgres:secret@")).wait_ready()
    with open("/proc/%d/cmdline" % one.process.pid) as file:
        assert "secret" not in file.read()
    assert "secret" not in one.log_text()


def test_old_rows_are_removed(world, database):
    one = stored_in(world, database, "--inbox-retention", "1m", "--session-ttl", "1s").wait_ready()
    publish(world, messages_of(5))
    eventually(lambda: len(one.events("user.saved")) == 5, "all are told")
    eventually(lambda: database.one("SELECT count(*) FROM sessions") == "0", "the sessions are swept")
    database.sql("UPDATE inbox SET handled_at_ms = handled_at_ms - 3600000 WHERE message_id IN "
                 "(SELECT message_id FROM inbox LIMIT 3)")
    eventually(lambda: database.one("SELECT count(*) FROM inbox") == "2", "the old ids are gone")
    assert database.one("SELECT count(*) FROM users") == "5"


def test_a_server_that_takes_no_writes(world, database):
    server = database.server
    server.sql("ALTER DATABASE %s SET default_transaction_read_only = on" % database.name)
    one = stored_in(world, database)
    eventually(lambda: "session is read-only" in why_not_ready(one), "it says so")
    server.sql("ALTER DATABASE %s RESET default_transaction_read_only" % database.name)
    one.wait_ready()


def test_several_hosts_and_the_one_that_takes_writes(world, database):
    hosts = "127.0.0.1:1,127.0.0.1:%d" % database.server.port
    one = stored_in(world, database, url="postgresql://postgres@%s/%s" % (hosts, database.name)).wait_ready()
    assert one.is_ready()


def test_pruning_reads_a_few_rows_at_a_time(world, database):
    """Also where the statistics make a join with the whole table look good."""
    stored_in(world, database).wait_ready().stop()
    database.sql("INSERT INTO inbox SELECT 'key' || lpad(n::text, 7, '0'), '',"
                 " (extract(epoch FROM now()) * 1000)::bigint FROM generate_series(1, 100000) n; ANALYZE inbox")
    one = stored_in(world, database).wait_ready()

    def read():
        return [int(value) for value in database.sql("SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes"
                                                     " WHERE indexrelname = 'inbox_pkey'")[0]]

    eventually(lambda: read()[0] >= 10, "it was pruned some times")
    scans, rows = read()
    assert rows <= 1000 * scans
    one.stop()
