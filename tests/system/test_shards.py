"""--shards: the users of a queue are divided between several, and the order of each user is kept."""

import itertools
import json
import signal

import pika
import pytest
import requests

from support.preload import preload
from support.sequences import (Sequences, check_effects, check_order, check_order_with_repetitions, lines, message_id,
                               seen, shard_of)
from support.wait import eventually
from test_dead_letters import command, count_dead, objects
from test_suspects import MARKER

SHARDS = 4
USERS = 40
BOTH_TYPES = pytest.mark.parametrize("queue_type", ["quorum", "classic"])


def queues(world, shards=SHARDS):
    return ["%s.%d" % (world.queue, number) for number in range(shards)]


@pytest.fixture
def shards(world):
    """Their queues go with the test."""
    world.closers.insert(0, lambda: world.delete(*queues(world)))
    return world


def consume(world, queue, prefetch, is_acked, taken):
    """A channel that gets messages; None where the queue is just being made, and has no process yet."""
    channel = world.channel()
    channel.basic_qos(prefetch_count=prefetch)
    try:
        channel.basic_consume(queue, lambda _, method, properties, body: taken.append((properties, body)),
                              auto_ack=is_acked)
    except pika.exceptions.AMQPError as error:
        if getattr(error, "reply_code", None) not in (404, 541):
            raise
        return None
    return channel


def take(world, queue, count, is_acked=True):
    """(properties, body) of so many messages. RabbitMQ gets nothing from a queue with a single active consumer."""
    taken = []
    channel = eventually(lambda: consume(world, queue, count, is_acked, taken), "a consumer of " + queue)
    eventually(lambda: channel.connection.process_data_events(0.1) or len(taken) >= count, "messages of " + queue)
    channel.connection.close()
    return taken


def pair(world, *options, shards=SHARDS, **more):
    options = ("--shards", str(shards), *options)
    return world.user_service(*options, **more), world.session_service(*options, **more)


def user_of(shard, shards=SHARDS, start=0):
    return next("u%d" % n for n in range(start, start + 10000) if shard_of("u%d" % n, shards) == shard)


def all_arrive(load, *services):
    eventually(lambda: set(load.accepted) <= seen(*services), "all arrive")


@BOTH_TYPES
def test_each_user_has_a_shard_and_his_order(shards, queue_type):
    world = shards
    user, session = pair(world, "--queue-type", queue_type)
    user.wait_ready(), session.wait_ready()
    load = Sequences([user.port], USERS).start()
    eventually(lambda: load.count() >= 1000, "saves")
    load.stop()
    all_arrive(load, session)
    check_order(session)
    assert session.events("consumer.consuming")[0]["queue"] == "%s, %s.0 to %s.3" % (3 * (world.queue,))
    session.stop()
    for shard in range(SHARDS):
        for number in range(5):
            assert user.save({"id": user_of(shard), "name": "Ada", "number": number}).status_code == 200
    assert [world.count(queue) for queue in queues(world)] == SHARDS * [5] and world.count() == 0


def test_dead_letters_go_back_to_the_shard_of_their_user(shards):
    """Whichever queue they came from, and however many shards there were then."""
    world = shards
    user, session = pair(world)
    session.wait_ready()
    users = [user_of(shard) for shard in range(SHARDS)]
    for shard, name in enumerate(users):
        # A body that is a user, and an id that was used with another one.
        for number in (1, 2):
            world.publish('{"id":"%s","name":"Ada","number":%d}' % (name, number), queues(world)[shard],
                          message_id="m%d" % shard, type="user.saved")
    eventually(lambda: count_dead(world) == SHARDS, "they are put aside")
    session.stop()
    with world.one_channel() as channel:
        letters = []
        for _ in users:
            _, properties, _ = channel.basic_get(world.dead)
            letters.append(properties.headers["dead-letter-queue"])
    assert sorted(letters) == queues(world)
    eventually(lambda: count_dead(world) == SHARDS, "they are back")
    done = objects(world, "redrive", "--all", "--force", "--shards", str(SHARDS))
    assert done[-1]["sent_back"] == SHARDS
    for shard, name in enumerate(users):
        (properties, body), = take(world, queues(world)[shard], 1)
        assert '"id":"%s"' % name in body.decode() and properties.message_id == "m%d" % shard


def test_letters_for_a_shard_that_is_not_there_stay(shards):
    world = shards
    world.declare(world.dead)
    world.declare()
    world.publish('{"id":"%s","name":"Ada"}' % user_of(3), world.dead, message_id="m1", type="user.saved",
                  headers={"dead-letter-reason": "too-many-redeliveries", "dead-letter-queue": "session.3"})
    eventually(lambda: count_dead(world) == 1, "it is there")
    _, told = command(world, "redrive", "--all", "--shards", str(SHARDS), check=1)
    assert "does not exist" in told
    eventually(lambda: count_dead(world) == 1, "it stays")
    # Without the option it goes to the queue itself, from which every session-service consumes.
    objects(world, "redrive", "--all")
    assert world.get()[1].message_id == "m1"


def test_a_poison_message_holds_up_no_other(shards, tmp_path):
    """It ends the process again and again; it is accused, and put aside with the name of its queue."""
    world = shards
    session = world.session_service("--shards", str(SHARDS), "--redelivery-limit", "2",
                                    environment=preload(tmp_path, "abort_on_marker"))
    session.wait_ready()
    poison = queues(world)[2]
    session.signal(signal.SIGSTOP)
    for n in range(20):
        for shard in range(SHARDS):
            world.publish('{"id":"%s","name":"Ada","n":%d}' % (user_of(shard), n), queues(world)[shard],
                          message_id="%d-%d" % (shard, n), type="user.saved")
    world.publish('{"id":"%s","name":"%s"}' % (user_of(2), MARKER), poison, message_id="poison", type="user.saved")
    session.signal(signal.SIGCONT)

    def is_put_aside():
        if session.process.poll() is not None:
            session.launch()  # it may end before it answers anything
        return count_dead(world) == 1

    eventually(is_put_aside, "it is put aside")
    _, properties, _ = world.get(world.dead)
    assert properties.message_id == "poison" and properties.headers["dead-letter-queue"] == poison
    wanted = {"%d-%d" % (shard, n) for shard in range(SHARDS) for n in range(20)}
    eventually(lambda: wanted <= set(session.handled_ids()), "all others are handled")


@pytest.mark.parametrize("is_full", [False, True])
def test_what_was_delivered_often_moves_to_the_end_of_its_own_shard(shards, is_full):
    """Where that takes nothing more, it moves nowhere, and is handled all the same."""
    world = shards
    options = ("--shards", str(SHARDS), "--prefetch", "1")
    world.session_service(*options).wait_ready().stop()
    queue = queues(world)[2]
    for number in range(5):
        world.publish('{"id":"%s","name":"Ada","n":%d}' % (user_of(2), number), queue, message_id="m%d" % number,
                      type="user.saved")
    for _ in range(8):
        (first, _), = take(world, queue, 1, is_acked=False)
        assert first.message_id == "m0"
        eventually(lambda: world.count(queue) == 5, "it is back")
    if is_full:
        world.broker.limit_queue(queue)
    try:
        session = world.session_service(*options)
        ids = {"m%d" % number for number in range(5)}
        eventually(lambda: set(session.handled_ids()) == ids, "all are handled")
    finally:
        if is_full:
            world.broker.lift_limit(queue)
    assert session.metric("session_service_moved_total") == (0 if is_full else 1)
    assert session.handled_ids()[0] == ("m0" if is_full else "m1")


def test_a_shard_that_is_deleted_is_made_again(shards):
    world = shards
    user, session = pair(world)
    user.wait_ready(), session.wait_ready()
    world.delete(queues(world)[1])
    eventually(lambda: session.events("consumer.cancelled"), "it was told")
    assert session.events("consumer.cancelled")[0]["queue"] == queues(world)[1]
    for shard in range(SHARDS):
        # 202: it was not made again yet, and the outbox has it.
        assert user.save({"id": user_of(shard), "name": "Ada"}).status_code in (200, 202)
    eventually(lambda: len(session.handled_ids()) == SHARDS, "all arrive")


def test_both_say_which_queue_is_refused(shards):
    """One shard is of another type; then one is no shard, and is used as it is, and what it discards is told."""
    world = shards
    world.declare(queues(world)[2], "classic")
    user, session = pair(world)
    for service, status in ((user, 200), (session, 503)):  # 200: saves go to the outbox
        eventually(lambda: "queue '%s'" % queues(world)[2] in service.get("/readyz").text, "it is told")
        told = service.get("/readyz")
        assert told.status_code == status and "x-queue-type is classic" in told.json()["detail"], told.json()
    world.delete(queues(world)[2])
    with world.one_channel() as channel:
        channel.queue_declare(queues(world)[2], durable=True,
                              arguments={"x-queue-type": "quorum", "x-max-length": 1000})
    user, session = pair(world)
    user.wait_ready(), session.wait_ready()
    for service in (user, session):
        told, = service.events("queue.other_arguments")
        assert told["queue"] == queues(world)[2] and "x-single-active-consumer is none" in told["difference"]
        told, = service.events("queue.discards")
        assert told["queue"] == queues(world)[2] and "x-max-length 1000" in told["discards"]
        assert queues(world)[2] in service.get("/readyz").json()["warning"]


def test_events_of_the_outbox_go_to_the_shards_of_now(away):
    """They were stored before there were shards; a deletion is one of them."""
    away.closers.insert(0, lambda: away.delete(*queues(away)))
    before = away.user_service()
    users = [user_of(shard) for shard in range(SHARDS)]
    for number in range(3):
        for name in users:
            assert before.save({"id": name, "name": "Ada", "number": number}).status_code == 202
    for name in users:
        assert requests.delete(before.base + "/users/" + name, timeout=60).status_code == 202
    before.stop()
    user = away.user_service("--shards", str(SHARDS))
    away.appear()
    user.wait_ready()
    eventually(lambda: not away.stored(), "all is forwarded")
    for shard, name in enumerate(users):
        assert away.count(queues(away)[shard]) == 4
        got = take(away, queues(away)[shard], 4)
        assert [properties.type for properties, _ in got] == 3 * ["user.saved"] + ["user.deleted"]
        assert all('"id":"%s"' % name in body.decode() for _, body in got)
        assert [json.loads(body).get("number") for _, body in got] == [0, 1, 2, None]


@pytest.mark.parametrize("bind", ["off", "on"])
def test_behind_an_exchange_the_routing_key_has_the_shard(shards, bind):
    world = shards
    exchange = world.queue + "-exchange"
    with world.one_channel() as channel:
        channel.exchange_declare(exchange, "topic", durable=True)
        if bind == "off":
            for shard, queue in enumerate(queues(world)):
                channel.queue_declare(queue, durable=True)
                channel.queue_bind(queue, exchange, "users.%d" % shard)
    try:
        user = world.user_service("--shards", str(SHARDS), "--exchange", exchange, "--routing-key", "users",
                                  "--bind", bind)
        user.wait_ready()
        for shard in range(SHARDS):
            assert user.save({"id": user_of(shard), "name": "Ada"}).status_code == 200
            assert world.count(queues(world)[shard]) == 1
            assert len(take(world, queues(world)[shard], 1)) == 1
            if bind == "on":  # what is returned has the queues declared and bound again
                world.delete(queues(world)[shard])
                assert user.save({"id": user_of(shard), "name": "Ada"}).status_code == 202
                assert len(take(world, queues(world)[shard], 1)) == 1
    finally:
        with world.one_channel() as channel:
            channel.exchange_delete(exchange)


@pytest.mark.parametrize("before", [1, 2])
def test_more_shards_under_load(shards, tmp_path, before):
    """As docs/operations.md says: first the session-service, then the user-services one after the other."""
    world = shards
    state = ("--state-dir", str(tmp_path))
    old = ("--shards", str(before))
    new = ("--shards", str(SHARDS))
    first = world.session_service(*old, *state).wait_ready()
    users = [world.user_service(*old).wait_ready() for _ in range(2)]
    load = Sequences([user.port for user in users], USERS).start()
    eventually(lambda: load.count() >= 300, "saves before")
    first.stop()
    second = world.session_service(*new, *state).wait_ready()
    for user in users:
        count = load.count()
        user.stop()
        user.arguments[user.arguments.index("--shards") + 1] = str(SHARDS)
        user.start().wait_ready()
        eventually(lambda: load.count() >= count + 300, "saves by both")
    load.stop()
    all_arrive(load, first, second)
    last = check_effects(first, second)
    for user, number in load.numbers.items():
        assert second.get("/users/" + user).json()["data"]["number"] == number == last[user]
    handled = [line for service in (first, second) for line in lines(service) if line[3] == "handled"]
    print("%d handled, %d accepted, %d outdated" % (
        len(handled), load.count(), sum(line[3] == "outdated" for line in lines(second))))
    assert all(world.count(queue) == 0 for queue in (world.queue, *queues(world)))


def test_fewer_shards_under_load(shards, tmp_path):
    """The user-services first; the session-service, when the queues that are to go are empty."""
    world = shards
    state = ("--state-dir", str(tmp_path))
    first = world.session_service("--shards", str(SHARDS), *state).wait_ready()
    users = [world.user_service("--shards", str(SHARDS)).wait_ready() for _ in range(2)]
    load = Sequences([user.port for user in users], USERS).start()
    for user in users:
        count = load.count()
        eventually(lambda: load.count() >= count + 300, "saves by both")
        user.stop()
        user.arguments[user.arguments.index("--shards") + 1] = "1"
        user.start().wait_ready()
    eventually(lambda: all(world.count(queue) == 0 for queue in queues(world)), "the shards are empty")
    first.stop()
    assert all(world.count(queue) == 0 for queue in queues(world))
    second = world.session_service(*state).wait_ready()
    count = load.count()
    eventually(lambda: load.count() >= count + 300, "saves with one queue")
    load.stop()
    all_arrive(load, first, second)
    assert check_effects(first, second) == load.numbers


def shared(world, *options, **more):
    return world.session_service("--shards", str(SHARDS), "--consumer", "shared", *options, **more)


def active_shards(*services):
    return [service.metric("session_service_active_shards") for service in services]


def test_two_share_the_shards_and_one_is_killed(shards):
    world = shards
    user = world.user_service("--shards", str(SHARDS)).wait_ready()
    first = shared(world).wait_ready()
    load = Sequences([user.port], USERS).start()
    eventually(lambda: active_shards(first) == [SHARDS], "the first has them all")
    second = shared(world).wait_ready()
    eventually(lambda: active_shards(first, second) == [2, 2], "they share")
    count = load.count()
    eventually(lambda: load.count() >= count + 300, "saves")
    given_up = first.events("consumer.shard_given_up")
    assert [event["others"] for event in given_up] == [1, 1] and len(seen(second)) > 0
    all_arrive(load, first, second)
    check_order_with_repetitions(first, second)
    first.kill()
    eventually(lambda: active_shards(second) == [SHARDS], "the other one has them all")
    count = load.count()
    eventually(lambda: load.count() >= count + 300, "saves")
    load.stop()
    all_arrive(load, first, second)
    assert check_order_with_repetitions(first, second) == load.numbers
    assert not second.events("consumer.shard_given_up")


def test_a_shard_with_a_backlog_is_given_up_in_order(shards, tmp_path):
    """Nothing is handled twice, and nothing before what was saved before it."""
    world = shards
    slow = preload(tmp_path, "slow_disk", FSYNC_MS="150")
    options = ("--prefetch", "50", "--heartbeat", "60s")
    first = shared(world, *options, environment=slow).wait_ready()
    numbers = range(1, 101)
    users = ["u%d" % number for number in range(USERS)]
    first.signal(signal.SIGSTOP)
    with world.one_channel() as channel:
        channel.confirm_delivery()
        for number, name in itertools.product(numbers, users):
            channel.basic_publish("", queues(world)[shard_of(name, SHARDS)],
                                  json.dumps({"id": name, "name": "Ada", "number": number}),
                                  pika.BasicProperties(message_id=message_id(name, number), type="user.saved",
                                                       delivery_mode=2, headers={"saved_at_ms": number}))
    second = shared(world, *options).wait_ready()  # fast: it would overtake what the first one has in hand
    first.signal(signal.SIGCONT)
    eventually(lambda: len(lines(first)) + len(lines(second)) >= len(users) * len(numbers), "all are handled")
    assert first.events("consumer.shard_given_up") and len(lines(second)) > 100
    assert check_order(first, second) == {name: numbers[-1] for name in users}


def test_two_that_stand_still_are_replaced(shards):
    """What was delivered to one that was stopped it does not apply afterwards: another one has the shards."""
    world = shards
    user = world.user_service("--shards", str(SHARDS)).wait_ready()
    first = shared(world, "--heartbeat", "1s").wait_ready()
    load = Sequences([user.port], USERS).start()
    eventually(lambda: active_shards(first) == [SHARDS], "the first has them all")
    second = shared(world, "--heartbeat", "1s").wait_ready()
    first.signal(signal.SIGSTOP)
    eventually(lambda: active_shards(second) == [SHARDS], "the other one has them")
    first.signal(signal.SIGCONT)
    eventually(lambda: first.events("broker.disconnected"), "it was given up")
    count = load.count()
    eventually(lambda: load.count() >= count + 300, "saves")
    load.stop()
    all_arrive(load, first, second)
    assert check_order_with_repetitions(first, second) == load.numbers
