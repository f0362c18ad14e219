"""Short fixed sequences of faults, each made to show one kind of lie; for the builds with planted faults."""

import os
import random

from support.wait import eventually

import checker
import table
from attempts import DELETED
from clients import Client, Clients, compact

SCENARIOS = {}
# What the checker cannot see. A scenario that returns a function asks it after the end, and it returns
# {rule: where it is broken}.
MORE_RULES = {
    "deadlocked": "PostgreSQL had to end a transaction that waited for another one, and that for it",
    "counted-twice": "users have more saves than were sent",
    "repeated": "took effect, and no line in the log says handled, although no process was killed",
}


def scenario(**options):
    """Options of the Stage; `alone`: it needs the broker for itself; `store="postgresql"`: a shared store."""
    def add(function):
        SCENARIOS[function.__name__] = (function, options)
        return function
    return add


def seconds(fault_name, stage, *more):
    """A fault of the table: first call harms, second makes good."""
    return table.FAULTS[fault_name][0](stage, random.Random(1), *more)


def start_clients(stage, **options):
    return Clients(stage.user.port, stage.attempts, stage.queue, plain=True, **options).start()


def save(stage, count, with_keys=True):
    """One after the other."""
    clients = Clients(stage.user.port, stage.attempts, stage.queue, plain=True)
    client = Client(clients)
    for _ in range(count):
        name = "single%d" % next(stage.numbers)
        payload = compact({"id": name, "name": "Ada"})
        if with_keys:
            client.save(name, payload)
        else:
            client.save_without_key(payload)
    client.close()


@scenario()
def store_fails_and_the_process_is_killed(stage):
    save(stage, 5)
    fault = seconds("session-writes-fail", stage)
    next(fault)
    save(stage, 20)
    eventually(lambda: stage.session.get("/readyz").status_code == 503, "the store fails")
    stage.session.kill()
    next(fault, None)
    stage.session.start()


@scenario()
def nothing_reaches_the_broker(stage):
    save(stage, 5)
    stage.paths["user"].swallowing = True
    clients = start_clients(stage, pause_s=0.2)
    eventually(lambda: clients.ok() > 16, "their confirms are late")
    stage.paths["user"].cut()
    stage.paths["user"].swallowing = False
    clients.stop()


@scenario()
def connection_ends_with_saves_in_flight(stage):
    save(stage, 5)
    stage.paths["user"].swallowing = True
    clients = start_clients(stage, pause_s=0.2)
    eventually(lambda: stage.user.metric("user_service_saves_in_flight") >= 6, "saves are sent")
    stage.paths["user"].cut()
    stage.paths["user"].swallowing = False
    eventually(lambda: clients.ok() > 20, "it goes on")
    clients.stop()


@scenario()
def queue_is_gone(stage):
    """It is empty when it is deleted, so nothing is lost with it."""
    stage.session.stop()
    eventually(lambda: stage.count() == 0, "it is empty")
    channel = stage.channel()
    channel.queue_delete(stage.queue)
    channel.connection.close()
    save(stage, 10)
    stage.session.start()


@scenario()
def strangers_on_the_queue(stage):
    rng = random.Random(1)
    stage.session.stop()
    save(stage, 20)
    stage.strangers.publish_all([
        ("newer", compact({"id": "aged", "n": 2}), True, [], 2000),
        ("older", compact({"id": "aged", "n": 1}), True, [], 1000)])
    stage.strangers.duplicates(rng, 10)
    stage.strangers.conflicts(rng, 5)
    stage.strangers.poison(rng, 5)
    stage.strangers.bare(rng, 5)
    stage.session.start()


@scenario()
def two_session_services(stage):
    """Each has a store of its own, and only that of the first one is looked at."""
    second = stage.second_session(own_store=True)
    eventually(lambda: second.get("/readyz").status_code == 200, "it is there")
    save(stage, 40)
    second.stop()


@scenario()
def killed_around_deletions(stage):
    """A save is there again after its user was deleted, and an older deletion comes after a newer save."""
    gone, back = compact({"id": "gone"}), compact({"id": "back"})
    stage.strangers.publish_all([("first", gone, True, [], 1000), ("newer", back, True, [], 3000),
                                 ("deletion", gone, True, [], 2000, DELETED)])
    eventually(lambda: stage.session.events(DELETED), "it is deleted")
    # Over HTTP: who asked is answered, and then both services are killed.
    client = Client(Clients(stage.user.port, stage.attempts, stage.queue, plain=True))
    for message_id, user in (("erase-1", "erased"), ("erase-2", "erased-and-new")):
        client.save("save-" + message_id, compact({"id": user}))
        client.erase(message_id, user)
    client.save("save-again", compact({"id": "erased-and-new", "n": 2}))
    client.close()
    stage.user.kill()
    stage.session.kill()
    stage.user.start()
    stage.strangers.publish_all([("erased-late", compact({"id": "erased"}), True, [], 1500)])
    stage.strangers.publish_all([("first", gone, True, [], 1000), ("late", gone, True, [], 1500),
                                 ("older", back, True, [], 2000, DELETED)])
    stage.strangers.deletions(random.Random(1), 40)
    save(stage, 5)
    stage.session.start()
    eventually(lambda: stage.session.events(DELETED), "deletions are handled")
    stage.session.kill()
    stage.session.start()


@scenario()
def keys_come_with_other_users_after_a_kill(stage):
    for end in (stage.user.kill, stage.user.stop):
        keys = ["key%d" % next(stage.numbers) for _ in range(10)]
        table.use_keys(stage, keys, 1)
        end()
        stage.user.start().wait_ready()
        table.use_keys(stage, keys, 2)


@scenario()
def publishes_are_refused(stage):
    stage.session.stop()
    table.set_length(stage, stage.queue, 1)
    save(stage, 30)
    # What is in the outbox is forwarded and refused again, until that connection is given up. A build that
    # takes a refusal for a confirm has nothing left in it.
    eventually(lambda: stage.stored() == 0 or stage.user.events("broker.disconnected"), "they are forwarded")
    table.unset_length(stage, stage.queue)
    stage.session.start()


@scenario()
def outbox_cannot_be_written(stage):
    stage.paths["user"].refusing = True
    stage.paths["user"].cut()
    eventually(lambda: "not connected" in stage.user.get("/readyz").text, "the broker is away")
    save(stage, 5)
    fault = seconds("user-writes-fail", stage)
    next(fault)
    save(stage, 10)
    save(stage, 10, with_keys=False)  # which the file of the keys does not hold up
    next(fault, None)
    stage.user.kill()
    stage.user.start()
    stage.paths["user"].refusing = False


@scenario()
def outbox_is_removed(stage):
    """What is answered then must be in a file that the next start finds."""
    stage.paths["user"].refusing = True
    stage.paths["user"].cut()
    eventually(lambda: "not connected" in stage.user.get("/readyz").text, "the broker is away")
    for name in os.listdir(stage.state("user")):
        os.unlink(os.path.join(stage.state("user"), name))
    save(stage, 10)
    save(stage, 10, with_keys=False)  # which the file of the keys does not hold up
    stage.user.kill()
    stage.user.start()
    stage.paths["user"].refusing = False


@scenario()
def dead_letters_are_refused_and_the_process_is_killed(stage):
    rng = random.Random(1)
    table.set_length(stage, stage.dead, 1)
    # The broker tells a channel that the queue is full by refusing what comes after.
    eventually(lambda: stage.strangers.poison(rng, 2) or stage.session.events("dead_letters.refused"),
               "copies are refused")
    stage.strangers.poison(rng, 10)
    save(stage, 10)
    eventually(lambda: len(stage.session.handled_ids()) >= 10, "the good ones are handled")
    stage.session.kill()
    table.unset_length(stage, stage.dead)
    stage.session.start()


@scenario(queue_type="classic", alone=True)
def broker_is_restarted(stage):
    stage.session.stop()
    save(stage, 20)
    stage.broker.stop()
    stage.broker.start()
    stage.session.start()


def ended_for_deadlocks(stage):
    return int(stage.store.server.sql(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = '%s'" % stage.store.name)[0][0])


def await_ids(stage, count):
    """That many have taken effect; what one deadlock has shown needs no more of them."""
    eventually(lambda: int(stage.store.one("SELECT count(*) FROM inbox")) >= count or ended_for_deadlocks(stage),
               "all have taken effect")


def deadlocks_after_the_end(stage):
    """The server's counter has all of a session when the session is over."""
    eventually(lambda: not int(stage.store.server.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '%s'" % stage.store.name)[0][0]),
        "nobody is connected")
    count = ended_for_deadlocks(stage)
    return {"deadlocked": [count]} if count else {}


def start_more(stage, count):
    more = [stage.second_session(own_store=False) for _ in range(count)]
    for one in more:
        one.wait_ready()
    return more


@scenario(store="postgresql")
def services_save_the_same_few_users(stage):
    rng = random.Random(1)
    more = start_more(stage, 3)
    stage.strangers.publish_at_once([
        ("few%d" % number, compact({"id": "few%d" % rng.randrange(8), "n": number})) for number in range(1500)])
    await_ids(stage, 1500)
    for one in more:
        one.stop()
    return lambda: deadlocks_after_the_end(stage)


@scenario(store="postgresql")
def copies_meet_in_another_order(stage):
    """Two services get the same ids at the same time, and each of them has them in an order of its own."""
    rng = random.Random(1)
    stage.store.sql("""CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
                       $$ BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END $$;
                       CREATE TRIGGER wait BEFORE INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION wait()""")
    more = start_more(stage, 1)
    for part in range(6):
        one = [("copy%d-%d" % (part, number), compact({"id": "copy%d-%d" % (part, number)}))
               for number in range(50)]
        other = rng.sample(one, len(one))
        stage.strangers.publish_at_once([message for pair in zip(one, other) for message in pair])
        await_ids(stage, (part + 1) * 50)
    more[0].stop()
    return lambda: deadlocks_after_the_end(stage)


@scenario(store="postgresql")
def commits_are_not_answered(stage):
    """What each save and each bare message does is counted: all come within the time of one session."""
    rng = random.Random(1)
    path = stage.paths["store"]
    sends = [lambda: save(stage, 1), lambda: stage.strangers.bare(rng, 1)] * 3
    for number, send in enumerate(sends, 1):
        path.cuts_behind = b"COMMIT\0"  # which is sent when a connection is made, too: so each is awaited
        send()
        eventually(lambda told=number: len(stage.session.events("user.saved")) == told, "it is told")
        assert path.cuts_behind is None, "the connection was cut"
    save(stage, 5)

    def counted():
        broken = {}
        saves = int(stage.store.one("SELECT sum(session_saves) FROM users"))
        if saves > stage.attempts.count:
            broken["counted-twice"] = ["%d of %d" % (saves, stage.attempts.count)]
        ids = {row["message_id"] for row in stage.store.rows("SELECT message_id FROM inbox")}
        repeated = {one for one in ids if not one.startswith(checker.EVIDENCE)}
        repeated -= checker.Log(stage.session.logs).handled
        if repeated:
            broken["repeated"] = sorted(repeated)
        return broken
    return counted


@scenario(store="postgresql")
def strangers_on_a_shared_store(stage):
    strangers_on_the_queue(stage)
