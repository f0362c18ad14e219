"""--store postgresql:// where the server stands still, is killed, or does not answer COMMIT: nothing is lost, nothing
counts twice, and the service lives meanwhile."""

import signal
import subprocess
import time

import pytest

from support.postgres import MISSING, Postgres
from support.proxy import Proxy
from support.wait import PATIENCE_S, eventually
from test_postgres import messages_of, outcomes, publish, stored_in, user, why_not_ready

pytestmark = pytest.mark.xdist_group("postgres-faults")
FROZEN_S = 15
HEARTBEAT_S = 1


def test_a_server_that_stands_still(world, postgres, database):
    """For many heartbeats: the broker's connection lives, HTTP answers, and it goes on by itself."""
    one = stored_in(world, database, "--heartbeat", "%ds" % HEARTBEAT_S).wait_ready()
    publish(world, messages_of(20))
    eventually(lambda: len(one.events("user.saved")) == 20, "the first are told")
    slowest = 0
    postgres.freeze()
    try:
        publish(world, messages_of(20, first=20))
        end = time.monotonic() + FROZEN_S
        said = ""
        while time.monotonic() < end:
            begin = time.monotonic()
            assert one.get("/healthz").status_code == 200
            slowest = max(slowest, time.monotonic() - begin)
            said = why_not_ready(one) or said
            time.sleep(0.1)
        assert "PostgreSQL" in said or "server" in said
        assert "progress" not in said
        assert one.get("/users/u1").status_code == 503
    finally:
        postgres.thaw()
    one.wait_ready()
    eventually(lambda: len(outcomes(one)) == 40, "all are told")
    assert all(told == ["handled"] for told in outcomes(one).values())
    assert not one.events("broker.disconnected"), "the broker has not given it up"
    assert len(one.events("consumer.paused")) == len(one.events("consumer.resumed")) == 1
    assert slowest < PATIENCE_S / 10
    assert database.one("SELECT sum(saves) FROM users") == "40"


@pytest.mark.parametrize("partitions", ["off", "day"])
def test_a_commit_that_is_not_answered(world, database, partitions):
    """It is told as handled, not as a duplicate of itself; and a bare message counts once."""
    proxy = Proxy(database.server.port)
    world.closers.append(proxy.close)
    one = stored_in(world, database, "--inbox-partitions", partitions, url=database.url(port=proxy.port)).wait_ready()
    publish(world, [("first", user(1)), (None, '{"id":"bare"}')])
    eventually(lambda: len(one.events("user.saved")) == 2, "the first are told")
    # The user is new, or is there already.
    for step, (name, messages) in enumerate(((b"INSERT_USERS\0", [("with", user(2))]),
                                             (b"UPDATE_USERS\0", [(None, '{"id":"bare"}')]))):
        proxy.cuts_behind = name
        publish(world, messages)
        eventually(lambda told=3 + step: len(one.events("user.saved")) == told, "it is told")
        assert proxy.cuts_behind is None, "the connection was cut"
        world.all_acked()
    assert [event["outcome"] for event in one.events("user.saved")] == ["handled", "bare", "handled", "bare"]
    assert len(one.events("consumer.paused")) == 2
    assert database.one("SELECT session_saves FROM users WHERE user_id = 'bare'") == "2"
    assert database.one("SELECT saves FROM users WHERE user_id = 'u2'") == "1"


def test_a_commit_that_was_not_reached(world, database):
    """The server gets nothing of what was sent last: it is done again, once."""
    proxy = Proxy(database.server.port)
    world.closers.append(proxy.close)
    one = stored_in(world, database, url=database.url(port=proxy.port)).wait_ready()
    proxy.swallows_from = b"INSERT_USERS\0"
    publish(world, [("one", user(1)), (None, '{"id":"bare"}')])
    eventually(lambda: proxy.swallowing, "it is swallowed")
    proxy.cut()
    proxy.swallows_from, proxy.swallowing = None, False
    eventually(lambda: len(one.events("user.saved")) == 2, "they are told")
    assert [event["outcome"] for event in one.events("user.saved")] == ["handled", "bare"]
    assert database.one("SELECT sum(session_saves) FROM users") == "2"


@pytest.fixture
def own_postgres():
    if MISSING:
        pytest.skip(MISSING)
    server = Postgres()
    try:
        yield server.start()
    finally:
        server.close()


def test_a_server_that_is_killed_under_load(world, own_postgres):
    """Again and again, under two services: each id has one effect, and is told."""
    database = own_postgres.database()
    both = [stored_in(world, database, "--prefetch", "100").wait_ready() for _ in range(2)]
    channel = world.declare()
    sent = []
    for life in range(4):
        for _ in range(10):
            some = messages_of(50, first=len(sent))
            sent += some
            publish(world, some + some[:5], channel)
        eventually(lambda: len(outcomes(*both)) > len(sent) - 500, "some of them are told")
        own_postgres.kill()
        own_postgres.start()
    for one in both:
        one.wait_ready()
    eventually(lambda: len(outcomes(*both)) == len(sent), "all are told")
    world.all_acked()
    assert {message_id for message_id, _ in sent} == set(outcomes(*both))
    assert database.one("SELECT count(*) FROM inbox WHERE message_id NOT LIKE 'batch%'") == str(len(sent))
    assert database.one("SELECT sum(saves) FROM users") == str(len(sent))
    assert database.one("SELECT max(saves) FROM users") == "1"


def test_a_service_that_is_killed(world, database):
    """What it has committed and not acked comes again, and is a duplicate for whoever gets it."""
    both = [stored_in(world, database, "--prefetch", "100").wait_ready() for _ in range(2)]
    sent = messages_of(1500)
    publish(world, sent)
    eventually(lambda: len(outcomes(both[0])) > 100, "the one works")
    both[0].kill()
    world.all_acked()
    assert database.one("SELECT count(*) FROM inbox") == database.one("SELECT sum(saves) FROM users") == "1500"


def hold(database, statement):
    """A session that has run the statement, in a transaction, and goes on holding what it has locked."""
    holder = subprocess.Popen([database.server.program("psql"), "-X", "-q", "-h", database.server.directory, "-p",
                               str(database.server.port), "-U", "postgres", "-d", database.name],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    holder.stdin.write("SET search_path = session_service; BEGIN; %s; SELECT 'all is held';\n" % statement)
    holder.stdin.flush()
    while "all is held" not in holder.stdout.readline():
        pass
    return holder


# As store_postgres_statements.h has it, of a user who is not there.
USER_LOCK = "pg_advisory_xact_lock(('x' || left(encode(sha256('u2'), 'hex'), 16))::bit(64)::int8)"


@pytest.mark.parametrize("statement", ["SELECT * FROM users FOR UPDATE", "SELECT " + USER_LOCK])
def test_locks_that_others_hold(world, database, statement):
    """The wait has an end, and so has the pause. A user has a lock also where he has no row."""
    one = stored_in(world, database).wait_ready()
    publish(world, [("one", user(1))])
    eventually(lambda: len(one.events("user.saved")) == 1, "the user is there")
    holder = hold(database, statement)
    try:
        publish(world, [("two", user(2)), ("three", user(1))])
        eventually(lambda: "55P03" in why_not_ready(one), "it says that others hold the rows")
    finally:
        holder.kill()
        holder.wait()
    eventually(lambda: outcomes(one).get("three") == ["handled"], "it goes on")
    assert outcomes(one)["two"] == ["handled"]


def test_a_server_that_has_become_slow(world, database):
    """Too slow for a call, and for the next: each has more time than the one before. What comes then is less at once."""
    one = stored_in(world, database).wait_ready()
    database.sql("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN PERFORM pg_sleep(8); RETURN NULL; END';"
                 " CREATE TRIGGER slow AFTER INSERT ON session_service.users FOR EACH STATEMENT EXECUTE FUNCTION slow()")
    one.signal(signal.SIGSTOP)
    sent = messages_of(300)
    publish(world, sent)
    one.signal(signal.SIGCONT)
    eventually(lambda: outcomes(one), "some are told")
    database.sql("DROP TRIGGER slow ON session_service.users")
    eventually(lambda: len(outcomes(one)) == 300, "all are told")
    assert all(told == ["handled"] for told in outcomes(one).values())
    assert one.events("consumer.paused"), "a batch took too long"
    sizes = [row["size"] for row in database.rows("SELECT count(*) AS size FROM session_service.inbox"
                                                  " GROUP BY handled_at_ms ORDER BY handled_at_ms")]
    assert sizes[0] > 1 and sizes[1] <= sizes[0] / 2


def test_a_commit_that_waits_for_a_standby(world, own_postgres):
    """It is not taken for done before the standby has it, and is told once when it has."""
    database = own_postgres.database()
    one = stored_in(world, database).wait_ready()
    own_postgres.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    own_postgres.sql("SELECT pg_reload_conf()")
    publish(world, [("one", user(1)), (None, '{"id":"bare"}')])
    eventually(lambda: "has not finished the last COMMIT" in why_not_ready(one), "it says what it waits for")
    eventually(lambda: database.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' "
                                    "AND clock_timestamp() > state_change + interval '8s'"),
               "it waits for longer than a statement may take")
    assert not one.events("user.saved")
    own_postgres.sql("ALTER SYSTEM RESET synchronous_standby_names")
    own_postgres.sql("SELECT pg_reload_conf()")
    eventually(lambda: len(one.events("user.saved")) == 2, "they are told")
    assert sorted(event["outcome"] for event in one.events("user.saved")) == ["bare", "handled"]
    assert database.one("SELECT sum(session_saves) FROM users") == "2"


def test_a_first_group_whose_commit_is_not_answered(world, database):
    """Groups grow, but the one in doubt is given again as it was: it is told once, and counts once."""
    proxy = Proxy(database.server.port)
    world.closers.append(proxy.close)
    one = stored_in(world, database, url=database.url(port=proxy.port)).wait_ready()
    one.signal(signal.SIGSTOP)
    publish(world, messages_of(20) + [(None, '{"id":"bare%d"}' % number) for number in range(4)] +
            messages_of(100, first=20))
    proxy.cuts_behind = b"INSERT_USERS\0"
    one.signal(signal.SIGCONT)
    eventually(lambda: len(one.events("user.saved")) >= 124, "all are told")
    assert proxy.cuts_behind is None, "the connection was cut"
    assert sorted(event["outcome"] for event in one.events("user.saved")) == 4 * ["bare"] + 120 * ["handled"]
    assert database.one("SELECT max(session_saves) FROM users") == "1"


def test_an_end_while_the_server_stands_still(world, own_postgres):
    """With messages in hand, and users asked for: it ends in time, and another one has them."""
    database = own_postgres.database()
    one = stored_in(world, database, "--drain-timeout", "5s").wait_ready()
    own_postgres.freeze()
    try:
        publish(world, messages_of(300))
        eventually(lambda: why_not_ready(one), "it pauses")
        one.signal(signal.SIGTERM)
        assert one.process.wait(PATIENCE_S) == 0
    finally:
        own_postgres.thaw()
    other = stored_in(world, database).wait_ready()
    eventually(lambda: len(outcomes(one, other)) == 300, "all are told")
    assert all(told == ["handled"] for told in outcomes(one, other).values())


def test_what_another_one_has_of_a_shard_is_not_applied_here_too(world, database):
    """It waits for the store with a message, and loses the broker. By then another one is at later messages."""
    shards = ("--shards", "2")
    world.closers.insert(0, lambda: world.delete(world.queue + ".0", world.queue + ".1"))
    to_store, to_broker = Proxy(database.server.port), Proxy(world.broker.port)
    world.closers.extend([to_store.close, to_broker.close])
    first = stored_in(world, database, *shards, "--amqp-url", world.broker.url().replace(
        str(world.broker.port), str(to_broker.port)), url=database.url(port=to_store.port)).wait_ready()
    to_store.swallows_from = b"INSERT_USERS\0"
    world.publish('{"id":"u1","name":"old"}', world.queue + ".0")
    eventually(lambda: why_not_ready(first), "it pauses")
    assert to_store.swallowing
    to_broker.refusing = True
    to_broker.cut()
    eventually(lambda: first.events("broker.disconnected"), "it has lost the broker")
    other = stored_in(world, database, *shards).wait_ready()
    world.publish('{"id":"u1","name":"new"}', world.queue + ".0")
    eventually(lambda: len(other.events("user.saved")) == 2, "the other one has both")
    to_store.swallows_from, to_store.swallowing = None, False
    eventually(lambda: first.events("consumer.resumed"), "the store is there again")
    assert database.one("SELECT body FROM users") == '{"id":"u1","name":"new"}'
    assert not first.events("user.saved")


def test_one_that_alone_does_not_reach_the_store(world, database):
    """What it has is left to the others, and it comes back when it reaches the store."""
    to_store = Proxy(database.server.port)
    world.closers.append(to_store.close)
    first = stored_in(world, database, "--give-back-after", "1s", url=database.url(port=to_store.port)).wait_ready()
    to_store.stall()
    publish(world, messages_of(300))
    eventually(lambda: why_not_ready(first), "it pauses")
    other = stored_in(world, database).wait_ready()
    eventually(lambda: len(outcomes(other)) == 300, "the other one has all")
    assert all(told == ["handled"] for told in outcomes(other).values())
    world.all_acked()
    assert "left to another session-service" in first.events("broker.disconnected")[0]["error"]
    other.stop()
    to_store.resume()
    first.wait_ready()
    publish(world, messages_of(20, first=300))
    eventually(lambda: len(outcomes(first)) == 20, "it goes on")
    assert database.one("SELECT sum(saves) FROM users") == "320"


def test_a_store_that_refuses_all_messages_is_given_up_once(world, database):
    """It lets rows be removed, and looks whole again by that: what is delivered then is not given back again."""
    first = stored_in(world, database, "--give-back-after", "1s").wait_ready()
    database.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN RAISE EXCEPTION ''not now''; END';"
                 " CREATE TRIGGER refuse BEFORE INSERT ON session_service.users FOR EACH ROW EXECUTE FUNCTION refuse()")
    publish(world, messages_of(20))
    eventually(lambda: len(first.events("consumer.paused")) == 2, "it was given back, and has come again")
    end = time.monotonic() + 5  # in which it would be given back more than once
    while time.monotonic() < end:
        assert "not now" in why_not_ready(first)
        assert len(first.events("broker.disconnected")) == 1
        time.sleep(0.1)
    database.sql("DROP TRIGGER refuse ON session_service.users")
    eventually(lambda: len(outcomes(first)) == 20, "all are told")
    assert all(told == ["handled"] for told in outcomes(first).values())


def test_what_another_one_has_committed_is_no_evidence(world, own_postgres):
    """A copy of a message, handled elsewhere in the same millisecond, does not stand for the rest of the batch."""
    database = own_postgres.database()
    proxy = Proxy(own_postgres.port)
    world.closers.append(proxy.close)
    one = stored_in(world, database, url=database.url(port=proxy.port)).wait_ready()
    database.sql("CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS "
                 "$$ BEGIN RAISE WARNING 'handled at %', NEW.handled_at_ms; RETURN NEW; END $$;"
                 "CREATE TRIGGER tell BEFORE INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION tell()")
    one.signal(signal.SIGSTOP)
    publish(world, [("a", user(1)), ("b", user(2))])
    proxy.swallows_from = b"INSERT_USERS\0"
    one.signal(signal.SIGCONT)
    eventually(lambda: why_not_ready(one), "it pauses")
    told = own_postgres.log_text().partition("handled at ")[2].split()[0]
    database.sql("DROP TRIGGER tell ON inbox; INSERT INTO inbox VALUES ('a', sha256('%s'), %s)" % (user(1), told))
    proxy.swallows_from, proxy.swallowing = None, False
    eventually(lambda: len(outcomes(one)) == 2, "both are told")
    assert outcomes(one) == {"a": ["duplicate"], "b": ["handled"]}
    assert database.one("SELECT count(*) FROM users WHERE user_id = 'u2'") == "1"
