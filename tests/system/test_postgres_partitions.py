"""--inbox-partitions day: each id takes effect once whichever partitions there are, and old ones are dropped."""

import contextlib
import datetime
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from support.services import binary
from support.wait import PATIENCE_S, eventually
from test_migrate_store import assert_same, fill, migrate
from test_postgres import outcomes, publish, roles, stored_in, user

pytestmark = pytest.mark.xdist_group("postgres-partitions")

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DAY_MS = 24 * 3600 * 1000
HOUR_MS = 3600 * 1000
LOCK_REFUSED = "canceling statement due to lock timeout"


def now_ms():
    return int(time.time() * 1000)


def midnight(days):
    """Of today, or of so many days later."""
    return (now_ms() // DAY_MS + days) * DAY_MS


def bound(days):
    text = "%012x" % midnight(days)
    return text[:8] + "-" + text[8:]


def name_of(days):
    return datetime.datetime.fromtimestamp(midnight(days) / 1000, datetime.timezone.utc).strftime("inbox_%Y%m%d")


def id_at(ms, number=0):
    text = "%012x" % ms
    return "%s-%s-7000-8000-%012x" % (text[:8], text[8:], number)


def in_days(database, *arguments):
    """The tables as the command prints them."""
    script = subprocess.run([binary("session-service"), "schema", "--print", "--inbox-partitions", "day", *arguments],
                            check=True, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S).stdout
    database.server.sql(script, database.name)
    return script


def add_days(database, *days):
    """Partitions of days that are over, which were made in their time."""
    first = bound(min(days))
    database.sql("ALTER TABLE inbox DETACH PARTITION inbox_low;"
                 "ALTER TABLE inbox ATTACH PARTITION inbox_low FOR VALUES FROM (MINVALUE) TO ('%s');" % first +
                 "".join("CREATE TABLE %s PARTITION OF inbox FOR VALUES FROM ('%s') TO ('%s');"
                         % (name_of(day), bound(day), bound(day + 1)) for day in days))


def partitions(database):
    return {row[0] for row in database.sql("SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'inbox'::regclass")}


def days_of(database):
    return {name for name in partitions(database) if re.match(r"inbox_\d{8}$", name)}


def add_ids(database, handled_at_ms, *ids):
    database.sql("".join("INSERT INTO inbox VALUES ('%s', '', %d);" % (one, handled_at_ms) for one in ids))


def place_of(database, message_id):
    found = database.sql("SELECT tableoid::regclass FROM inbox WHERE message_id = '%s'" % message_id)
    return found[0][0] if found else None


def partitioned(world, database, *arguments, **options):
    return stored_in(world, database, "--inbox-partitions", "day", *arguments, **options)


def assert_undisturbed(*services):
    for one in services:
        assert not one.events("consumer.paused") and not one.events("store.warning")


def send(world, messages):
    """Confirmed: the queue may lose what is on its way to it when the channel is closed."""
    with world.one_channel() as channel:
        channel.confirm_delivery()
        publish(world, messages, channel)


def handles(world, one, message_id, outcome="handled", number=1):
    before = len(outcomes(one).get(message_id, ()))
    send(world, [(message_id, user(number))])
    told = eventually(lambda: outcomes(one).get(message_id, ())[before:], "it is told")
    assert told == [outcome]


AHEAD = range(8)


@pytest.mark.parametrize("made_by", ["service", "script"])
def test_the_partitions_of_today_and_of_the_next_days(world, database, made_by):
    if made_by == "script":
        in_days(database)
    one = partitioned(world, database).wait_ready()
    expected = {"inbox_low", "inbox_high", "inbox_default"} | {name_of(day) for day in AHEAD}
    assert partitions(database) == expected
    assert_undisturbed(one)


def test_copies_on_both_sides_of_midnight_at_two_services(world, database):
    both = [partitioned(world, database, "--prefetch", "20").wait_ready() for _ in range(2)]
    places = {}
    for number in range(100):
        places[id_at(midnight(1) - 1 - number, number)] = name_of(0)
        places[id_at(midnight(1) + number, number)] = name_of(1)
        places[id_at(midnight(-3) + number, number)] = "inbox_low"
        places[id_at(midnight(30) + number, number)] = "inbox_default"
        places["key-%d" % number] = "inbox_high"
    messages = [(message_id, user(number)) for number, message_id in enumerate(places)]
    channel = world.declare()
    for begin in range(0, len(messages), 25):
        publish(world, messages[begin:begin + 25] * 2, channel)
    eventually(lambda: sum(len(told) for told in outcomes(*both).values()) == 2 * len(messages), "all are told")
    world.all_acked()
    assert all(sorted(told) == ["duplicate", "handled"] for told in outcomes(*both).values())
    assert database.one("SELECT sum(saves) FROM users") == str(len(messages))
    assert dict(database.sql("SELECT message_id, tableoid::regclass FROM inbox")) == places
    assert all(one.events("user.saved") for one in both)
    assert_undisturbed(*both)


def test_who_starts_at_once_makes_each_partition_once(world, database):
    in_days(database)
    database.sql("".join("DROP TABLE %s;" % name for name in days_of(database)))
    several = [partitioned(world, database) for _ in range(4)]
    eventually(lambda: days_of(database) == {name_of(day) for day in AHEAD}, "all are made")
    for one in several:
        one.wait_ready()
    send(world, [(id_at(now_ms(), number), user(number)) for number in range(50)])
    eventually(lambda: len(outcomes(*several)) == 50, "all are told")
    assert_undisturbed(*several)


def test_a_partition_goes_when_all_of_it_is_old(world, database):
    """What has waited in the queue for days is known for as long as any other."""
    in_days(database)
    add_days(database, -10, -9, -8, -7)
    old, late, kept = (id_at(midnight(day) + 5) for day in (-10, -9, -8))
    add_ids(database, midnight(-10), old, id_at(midnight(-9)), id_at(midnight(-7)))
    add_ids(database, now_ms(), id_at(midnight(-9) + 1), id_at(midnight(-8) + 1))
    one = partitioned(world, database).wait_ready()
    handles(world, one, late)
    handles(world, one, kept)
    # They are looked at from the oldest on.
    eventually(lambda: not {name_of(-10), name_of(-7)} & partitions(database), "what is old is dropped")
    handles(world, one, late, "duplicate")
    handles(world, one, kept, "duplicate")
    assert place_of(database, id_at(midnight(-9))) == name_of(-9), "no row is deleted where all are dropped"
    handles(world, one, old, "handled")
    assert place_of(database, old) == "inbox_default"
    database.sql("UPDATE %s SET handled_at_ms = %d" % (name_of(-9), midnight(-8)))
    eventually(lambda: name_of(-9) not in partitions(database), "it is dropped when all is old")
    handles(world, one, kept, "duplicate")
    assert_undisturbed(one)


def test_a_partition_of_today_stays_however_short_the_retention(world, database):
    in_days(database)
    add_days(database, -1)
    add_ids(database, now_ms(), id_at(midnight(-1)))
    add_ids(database, 1000, id_at(midnight(0)))
    one = partitioned(world, database, "--inbox-retention", "1h")
    eventually(lambda: database.one("SELECT seq_scan + idx_scan > 0 FROM pg_stat_user_tables WHERE relname = '%s'"
                                    % name_of(-1)) == "t", "it was looked for old ones")
    assert place_of(database, id_at(midnight(0))) == name_of(0)
    assert_undisturbed(one.wait_ready())


def test_old_rows_that_are_in_no_day_are_deleted(world, database):
    in_days(database)
    gone = ["key", id_at(midnight(-20)), id_at(midnight(20))]
    add_ids(database, midnight(-8), *gone)
    add_ids(database, midnight(0), "other key")
    one = partitioned(world, database)
    eventually(lambda: not any(place_of(database, message_id) for message_id in gone), "they are gone")
    assert place_of(database, "other key") == "inbox_high"
    assert_undisturbed(one.wait_ready())


def test_rows_of_the_default_partition_move_when_they_are_settled(world, database):
    """A row that has just been written may be asked for by who has lost the answer to its COMMIT."""
    in_days(database)
    database.sql("DROP TABLE %s, %s, %s" % (name_of(2), name_of(3), name_of(4)))
    settled, first, last, fresh = (id_at(ms) for ms in (midnight(2) + 9, midnight(3), midnight(4) - 1, midnight(4) + 9))
    other = id_at(midnight(9))
    add_ids(database, now_ms() - 2 * HOUR_MS, settled, first, last, other)
    add_ids(database, now_ms(), fresh)
    one = partitioned(world, database).wait_ready()
    eventually(lambda: name_of(3) in partitions(database), "the partitions are made")
    assert place_of(database, settled) == name_of(2)
    assert place_of(database, first) == place_of(database, last) == name_of(3)
    assert place_of(database, fresh) == place_of(database, other) == "inbox_default"
    assert name_of(4) not in partitions(database)
    send(world, [(id_at(midnight(4) + 10), user(1))])
    eventually(lambda: place_of(database, id_at(midnight(4) + 10)) == "inbox_default", "others of its day are taken")
    assert_undisturbed(one)


@contextlib.contextmanager
def transaction(database, statement):
    """Of another program, which goes on until the end."""
    server = database.server
    psql = subprocess.Popen([server.program("psql"), "-X", "-q", "-h", server.directory, "-p", str(server.port), "-U",
                             "postgres", "-d", database.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        psql.stdin.write("BEGIN; SET search_path = session_service; %s; \\echo begun\n" % statement)
        psql.stdin.flush()
        assert any("begun" in line for line in iter(psql.stdout.readline, ""))
        yield
    finally:
        psql.stdin.close()
        psql.stdout.close()
        psql.wait(PATIENCE_S)


@pytest.mark.parametrize("statement", ["SELECT count(*) FROM inbox", "LOCK TABLE inbox IN ROW EXCLUSIVE MODE"])
def test_who_holds_the_inbox_for_long_holds_up_no_batch(world, database, statement):
    in_days(database)
    add_days(database, -10)
    database.sql("DROP TABLE " + name_of(5))

    def refused():
        return database.server.log_text().count(LOCK_REFUSED)

    with transaction(database, statement):
        before = refused()
        one = partitioned(world, database).wait_ready()
        for number in range(2):
            eventually(lambda least=before + number: refused() > least, "it was tried")
            handles(world, one, id_at(now_ms(), number), number=number)
        assert name_of(-10) in partitions(database) and name_of(5) not in partitions(database)
    eventually(lambda: name_of(-10) not in partitions(database) and name_of(5) in partitions(database),
               "it is done when the inbox is free")
    assert_undisturbed(one)


def test_a_row_that_comes_between_the_look_and_the_drop(world, database):
    """What is not committed at the look is there when the lock has been waited for."""
    in_days(database)
    add_days(database, -10)
    late = id_at(midnight(-10))
    waiting = "EXISTS (SELECT FROM pg_locks WHERE relation = 'session_service.inbox'::regclass AND NOT granted)"
    writer = threading.Thread(target=database.sql, args=(
        "BEGIN; INSERT INTO inbox VALUES ('%s', '', %d); DO $$ BEGIN WHILE NOT %s LOOP PERFORM pg_sleep(0.01);"
        " END LOOP; END $$; COMMIT" % (late, now_ms(), waiting),))
    writer.start()
    eventually(lambda: database.one("SELECT count(*) FROM pg_locks WHERE mode = 'RowExclusiveLock'"
                                    " AND relation = 'session_service.inbox'::regclass") == "1", "it is written")
    one = partitioned(world, database)
    writer.join()
    assert place_of(database, late) == name_of(-10)
    assert_undisturbed(one.wait_ready())


def test_a_role_that_does_not_own_the_inbox(world, database):
    owner, role = roles(database)
    script = subprocess.run([binary("session-service"), "schema", "--print", "--inbox-partitions", "day"], check=True,
                            stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S).stdout
    database.server.sql(script, database.name, owner)
    grants = "\n".join(line[3:] for line in script.splitlines() if line.startswith("-- GRANT") or
                       line.startswith("--     ")).replace("TO role", "TO " + role)
    database.server.sql(grants, database.name, owner)
    database.sql("SET ROLE %s; DROP TABLE %s" % (owner, name_of(1)))
    add_days(database, -10)
    database.sql("ALTER TABLE %s OWNER TO %s" % (name_of(-10), owner))
    young, old = id_at(midnight(-10)), id_at(midnight(-10) + 1)
    add_ids(database, midnight(-8), young)
    add_ids(database, midnight(-10), old, "key")
    one = partitioned(world, database, url=database.url(role)).wait_ready()
    assert "left to their owner" in one.get("/readyz").json()["warning"]
    eventually(lambda: not place_of(database, old) and not place_of(database, "key"), "old ids are deleted all the same")
    assert place_of(database, young) == name_of(-10), "the owner is given the time to drop it"
    handles(world, one, id_at(midnight(1)))
    assert name_of(-10) in partitions(database) and place_of(database, id_at(midnight(1))) == "inbox_default"
    upkeep = subprocess.run([binary("session-service"), "schema", "--upkeep"], check=True, stdout=subprocess.PIPE,
                            text=True, timeout=PATIENCE_S).stdout
    database.sql("UPDATE inbox SET handled_at_ms = handled_at_ms - %d" % (2 * HOUR_MS))

    def see_to_it():
        try:
            database.server.sql(upkeep, database.name, owner)
        except AssertionError as refused:  # a batch or a pruning was under way
            assert "lock" in str(refused)
        return name_of(-10) not in partitions(database) and name_of(1) in partitions(database)

    eventually(see_to_it, "the owner's cron job makes and drops them")
    assert place_of(database, id_at(midnight(1))) == name_of(1)
    handles(world, one, id_at(midnight(1)), "duplicate")
    assert len(one.events("store.warning")) == 1 and not one.events("consumer.paused")


def test_the_database_has_no_partitions_and_the_option_asks_for_them(world, database):
    stored_in(world, database).wait_ready().stop()
    one = partitioned(world, database).wait_ready()
    assert "no partitions although --inbox-partitions is day" in one.get("/readyz").json()["warning"]
    assert len(one.events("store.warning")) == 1
    handles(world, one, id_at(now_ms()))
    assert database.one("SELECT count(*) FROM pg_inherits") == "0" and not one.events("consumer.paused")


def test_the_database_has_partitions_and_the_option_does_not_ask_for_them(world, database):
    in_days(database)
    add_days(database, -10)
    one = stored_in(world, database).wait_ready()
    assert "although --inbox-partitions is off" in one.get("/readyz").json()["warning"]
    handles(world, one, id_at(now_ms()))
    eventually(lambda: name_of(-10) not in partitions(database), "they are seen to all the same")
    assert len(one.events("store.warning")) == 1 and not one.events("consumer.paused")


def test_a_large_default_partition_gets_no_partition_beside_it(world, database):
    """It would be read from end to end while all batches wait."""
    in_days(database)
    database.sql("DROP TABLE " + name_of(1))
    database.sql("ALTER TABLE inbox_default ALTER payload_hash SET STORAGE PLAIN;"
                 "INSERT INTO inbox SELECT '%s' || n, convert_to(repeat('x', 7000), 'UTF8'), %d"
                 " FROM generate_series(1, 9000) n" % (bound(40) + "-", now_ms()))
    one = partitioned(world, database).wait_ready()
    warned = eventually(lambda: one.get("/readyz").json().get("warning"), "it warns")
    assert "inbox_default is too large" in warned and name_of(1) not in partitions(database)
    handles(world, one, id_at(midnight(1)))
    assert not one.events("consumer.paused")


def test_killed_while_a_partition_is_made(world, database):
    in_days(database)
    database.sql("DROP TABLE %s; DROP TABLE %s" % (name_of(2), name_of(3)))
    database.sql("CREATE FUNCTION public.linger() RETURNS event_trigger LANGUAGE plpgsql AS"
                 " $$ BEGIN PERFORM pg_sleep(600); END $$;"
                 "CREATE EVENT TRIGGER linger ON ddl_command_end WHEN TAG IN ('CREATE TABLE')"
                 " EXECUTE FUNCTION public.linger()")
    one = partitioned(world, database)

    def lingers():
        return database.server.sql("SELECT pid FROM pg_stat_activity WHERE datname = '%s' AND wait_event = 'PgSleep'"
                                   % database.name)

    eventually(lingers, "it makes one")
    one.process.send_signal(signal.SIGKILL)
    one.process.wait(PATIENCE_S)
    eventually(lambda: not lingers(), "PostgreSQL has seen it")
    assert name_of(2) not in partitions(database)
    database.sql("DROP EVENT TRIGGER linger")
    again = partitioned(world, database).wait_ready()
    eventually(lambda: days_of(database) == {name_of(day) for day in AHEAD}, "the next one makes them")
    handles(world, again, id_at(midnight(2)))
    assert place_of(database, id_at(midnight(2))) == name_of(2)
    assert_undisturbed(again)


def sql_of_the_page():
    """What docs/postgresql.md has an existing inbox turned with."""
    with open(os.path.join(ROOT, "docs", "postgresql.md")) as page:
        blocks = re.findall(r"^ *```sql\n(.*?)^ *```", page.read(), re.MULTILINE | re.DOTALL)
    return next(block for block in blocks if "PARTITION BY RANGE" in block)


def test_an_inbox_that_is_turned_into_partitions(world, database):
    one = stored_in(world, database).wait_ready()
    known = [id_at(ms) for ms in (midnight(-2), now_ms(), midnight(3))] + ["key"]
    send(world, [(message_id, user(number)) for number, message_id in enumerate(known)])
    eventually(lambda: len(outcomes(one)) == len(known), "they are known")
    one.stop()
    before = database.sql("SELECT message_id, payload_hash, handled_at_ms FROM inbox ORDER BY 1")
    database.server.sql(sql_of_the_page(), database.name)
    assert database.sql("SELECT message_id, payload_hash, handled_at_ms FROM inbox ORDER BY 1") == before
    again = partitioned(world, database).wait_ready()
    for number, message_id in enumerate(known):
        handles(world, again, message_id, "duplicate", number)
    handles(world, again, id_at(midnight(1)))
    assert place_of(database, id_at(midnight(1))) == name_of(1)
    assert days_of(database) >= {name_of(day) for day in (1, 2, 4, 5, 6, 7)}
    assert place_of(database, known[1]) == "inbox_low"
    assert_undisturbed(again)


def test_a_turned_inbox_is_what_is_made_anew(database, postgres):
    stored = postgres.database()
    try:
        stored.server.sql(subprocess.run([binary("session-service"), "schema", "--print"], check=True,
                                         stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S).stdout, stored.name)
        for _ in range(2):
            stored.server.sql(sql_of_the_page(), stored.name)
        in_days(database)
        shape = ("SELECT column_name, data_type, collation_name, is_nullable FROM information_schema.columns"
                 " WHERE table_name = 'inbox' ORDER BY 1")
        indexes = "SELECT indexdef FROM pg_indexes WHERE tablename IN ('inbox', 'inbox_low') ORDER BY 1"
        assert stored.sql(shape) == database.sql(shape) and stored.sql(indexes) == database.sql(indexes)
    finally:
        stored.drop()


def test_an_embedded_store_goes_over_into_partitions(tmp_path, world, database):
    state = str(tmp_path / "state")
    world.session_service("--state-dir", state).wait_ready().stop()
    fill(state, 3000, 50, ["UPDATE inbox SET message_id = '%s' WHERE message_id = 'm%07d'" % (id_at(ms), number)
                           for number, ms in enumerate((midnight(-9), now_ms(), midnight(20)))])
    done = migrate(state, database, "--inbox-partitions", "day")
    assert done.returncode == 0, done.stderr
    assert_same(state, database)
    assert dict(database.sql("SELECT tableoid::regclass, count(*) FROM inbox GROUP BY 1")) == {
        "inbox_low": "1", name_of(0): "1", "inbox_default": "1", "inbox_high": "2997"}
    assert_undisturbed(partitioned(world, database).wait_ready())
