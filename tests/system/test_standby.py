"""Two session-services on one queue, each with a store of its own: one works, the other stands by and takes over."""

import concurrent.futures
import os
import signal

import pika
import pytest

from support.preload import preload
from support.proxy import Proxy
from support.store import FILE, inbox_ids
from support.wait import eventually
from test_dead_letters import command, dead, put

PREFETCH = 50
BATCH = 256
BOTH_TYPES = pytest.mark.parametrize("queue_type", ["quorum", "classic"])


def status(service):
    reply = service.get("/readyz")
    return None if reply is None else (reply.status_code, reply.json().get("status"))


def stands_by(service):
    return status(service) == (200, "standby")


def session(world, *options, **more):
    options = ("--prefetch", str(PREFETCH), *options)
    return world.session_service(*options, **more)


def pair(world, *options, **more):
    """The active one, and the one that stands by."""
    first = session(world, *options, **more).wait_ready()
    second = session(world, *options, **more)
    eventually(lambda: stands_by(second), "the second one stands by")
    return first, second


def publish(world, *numbers):
    with world.one_channel() as channel:
        channel.confirm_delivery()
        for number in numbers:
            channel.basic_publish("", world.queue, '{"id":"u%d","name":"Ada"}' % number,
                                  pika.BasicProperties(message_id="m%d" % number, type="user.saved", delivery_mode=2))
    return {"m%d" % number for number in numbers}


def handled(service):
    return set(service.handled_ids())


def stored(service):
    return inbox_ids(service.state.name)


def slow(tmp_path):
    """The environment of one whose disk is so slow that a test has seconds before a backlog is done."""
    return preload(tmp_path, "slow_disk", FSYNC_MS="50")


def backlog_of(world, service, count):
    """It has so many messages before it when it goes on."""
    service.signal(signal.SIGSTOP)
    with world.one_channel() as channel:
        for number in range(count):
            channel.basic_publish("", world.queue, '{"id":"u%d","name":"Ada"}' % number,
                                  pika.BasicProperties(message_id="m%d" % number, type="user.saved", delivery_mode=2))
        ready = lambda: channel.queue_declare(world.queue, passive=True).method.message_count
        eventually(lambda: ready() >= count - PREFETCH, "the queue has them")
    service.signal(signal.SIGCONT)
    return {"m%d" % number for number in range(count)}


def handles(service, ids):
    eventually(lambda: ids <= handled(service), "they are handled")


@BOTH_TYPES
def test_one_works_and_the_other_stands_by(world, queue_type):
    active, other = pair(world, "--queue-type", queue_type)
    ids = publish(world, *range(200))
    handles(active, ids)
    assert handled(other) == set() and stored(other) == set() and stored(active) == ids
    for service, is_active in ((active, 1), (other, 0)):
        assert service.metric("session_service_active") == is_active
        assert service.metric("session_service_consuming") == is_active
        assert service.metric("session_service_standby") == 1 - is_active
        assert service.metric("session_service_broker_connected") == 1
    told = other.events("consumer.standby")
    assert len(told) == 1 and told[0]["queue"] == world.queue and world.queue + ".lock" in told[0]["reason"], told
    assert world.queue + ".lock" in other.get("/readyz").json()["detail"]
    assert not other.events("consumer.consuming") and not active.events("consumer.standby")
    assert other.get("/healthz").status_code == 200 and other.get("/sessions").json()["data"] == []


@BOTH_TYPES
def test_one_that_ends_hands_over(world, queue_type, tmp_path):
    """As a rolling restart does: what it has handled it has acknowledged, so nothing is handled twice."""
    first, second = pair(world, "--queue-type", queue_type, "--heartbeat", "60s", environment=slow(tmp_path))
    ids = backlog_of(world, first, 3000)
    eventually(lambda: len(handled(first)) > 100, "it works")
    first.stop()
    assert len(stored(first)) < 3000, "there was nothing left to hand over"
    handles(second, ids - stored(first))
    second.wait_ready()
    assert stored(first) | stored(second) == ids
    assert not stored(first) & stored(second), "handled twice"
    assert len(second.events("consumer.active")) == 1
    third = session(world, "--queue-type", queue_type)
    eventually(lambda: stands_by(third), "the next one stands by")
    second.stop()
    handles(third, publish(world, 1000))


@BOTH_TYPES
def test_one_that_is_killed_is_replaced(world, queue_type, tmp_path):
    first, second = pair(world, "--queue-type", queue_type, "--heartbeat", "60s", environment=slow(tmp_path))
    ids = backlog_of(world, first, 3000)
    eventually(lambda: len(handled(first)) > 100, "it works")
    first.kill()
    assert len(stored(first)) < 3000, "there was nothing left to hand over"
    handles(second, ids - stored(first))
    world.is_empty()
    # What it had not acknowledged: this is promised with stores of their own, and no more.
    assert len(stored(first) & stored(second)) <= PREFETCH
    assert stored(first) | stored(second) == ids


def test_one_that_was_stopped_applies_nothing_afterwards(world):
    """What was delivered to it before the other one took over is still in its socket when it goes on."""
    first, second = pair(world, "--heartbeat", "1s")
    first.signal(signal.SIGSTOP)
    ids = publish(world, *range(PREFETCH))
    handles(second, ids)
    first.signal(signal.SIGCONT)
    eventually(lambda: stands_by(first), "it stands by")
    assert "held up" in first.events("broker.disconnected")[-1]["error"]
    assert not handled(first) and not stored(first)
    handles(second, publish(world, 1000))


def test_one_whose_disk_hangs_applies_only_what_it_has_begun(world, broker, tmp_path):
    """All was delivered to it before the broker gave it up, and nobody tells it: its acks still find a socket."""
    path = Proxy(broker.port)
    world.closers.append(path.close)
    hangs = tmp_path / "hangs"
    options = ("--heartbeat", "2s", "--prefetch", "500")
    first = session(world, *options, "--amqp-url", "amqp://guest:guest@127.0.0.1:%d/" % path.port,
                    environment=preload(tmp_path, "slow_disk", FSYNC_HANGS_FILE=str(hangs))).wait_ready()
    second = session(world, *options)
    eventually(lambda: stands_by(second), "the second one stands by")
    hangs.touch()
    ids = publish(world, *range(500))
    eventually(lambda: world.count() == 0, "they are delivered")
    path.stall()
    handles(second, ids)
    hangs.unlink()
    eventually(lambda: first.events("broker.disconnected"), "it gives its connection up")
    assert 0 < len(stored(first)) <= BATCH


def test_one_whose_connection_is_lost_hands_over(world, broker):
    """Stalled: neither end is told."""
    path = Proxy(broker.port)
    world.closers.append(path.close)
    first = session(world, "--heartbeat", "1s", "--amqp-url", "amqp://guest:guest@127.0.0.1:%d/" % path.port).wait_ready()
    second = session(world, "--heartbeat", "1s")
    eventually(lambda: stands_by(second), "the second one stands by")
    before = publish(world, *range(100))
    handles(first, before)
    path.stall()
    ids = publish(world, *range(100, 200))
    handles(second, ids)
    second.wait_ready()
    eventually(lambda: status(first)[0] == 503, "it says that it is not connected")
    path.cut()
    path.resume()
    eventually(lambda: stands_by(first), "it stands by when the broker can be reached again")
    assert not ids & stored(first) and len(before & stored(second)) <= PREFETCH


def test_a_cut_connection_leaves_one_active(world, broker):
    path = Proxy(broker.port)
    world.closers.append(path.close)
    first = session(world, "--amqp-url", "amqp://guest:guest@127.0.0.1:%d/" % path.port).wait_ready()
    second = session(world)
    eventually(lambda: stands_by(second), "the second one stands by")
    for number in range(3):
        path.cut()
        ids = publish(world, *range(100 * number, 100 * number + 100))
        eventually(lambda ids=ids: ids <= handled(first) | handled(second), "they are handled")
        eventually(lambda: sorted([status(first), status(second)]) == [(200, "ready"), (200, "standby")],
                   "one works, the other stands by")


def test_both_survive_a_restart_of_the_broker(world, broker):
    first, second = pair(world)
    handles(first, publish(world, 1))
    broker.stop()
    eventually(lambda: status(first)[0] == status(second)[0] == 503, "both say that they are not connected")
    broker.start()
    eventually(lambda: sorted([status(first), status(second)]) == [(200, "ready"), (200, "standby")],
               "one works, the other stands by")
    ids = publish(world, *range(2, 100))
    eventually(lambda: ids <= handled(first) | handled(second), "they are handled")
    assert not handled(first) & handled(second)


def test_one_on_a_queue_that_was_there_before(world):
    """Of an earlier release, with arguments that an operator has chosen."""
    for arguments in (None, {"x-single-active-consumer": True}):
        with world.one_channel() as channel:
            channel.queue_declare(world.queue, durable=True, arguments=arguments)
        first, second = pair(world, "--queue-type", "classic")
        handles(first, publish(world, 1))
        first.stop()
        handles(second, publish(world, 2))
        second.stop()
        world.delete()


def test_a_consumer_of_another_kind_is_told_of(world):
    active = session(world).wait_ready()
    channel = world.channel()
    channel.basic_consume(world.queue, lambda *_: None)
    told = eventually(lambda: active.events("consumer.not_alone"), "it is told")
    assert told[0]["others"] == 1 and told[0]["queue"] == world.queue
    assert active.metric("session_service_other_consumers") == 1
    assert status(active) == (200, "ready")


def test_shared_consumption_is_for_who_asks_for_it(world):
    both = [session(world, "--consumer", "shared", "--prefetch", "1").wait_ready() for _ in range(2)]
    ids = publish(world, *range(400))
    eventually(lambda: ids <= handled(both[0]) | handled(both[1]), "they are handled")
    assert all(handled(one) for one in both)
    assert not any(one.events("consumer.standby") or one.events("consumer.not_alone") for one in both)
    # One that asks for more is not held up by them, and says that it is not alone.
    third = session(world).wait_ready()
    eventually(lambda: third.events("consumer.not_alone"), "it is told")


def test_without_the_right_to_the_lock_it_works_as_before(world, broker):
    name = "user-of-" + world.queue
    broker.add_user(name, "secret", configure=r"^%s(\.dead)?$" % world.queue)
    options = ("--amqp-url", broker.url(user=name, password="secret"))
    service = session(world, *options).wait_ready()
    told = service.events("queue.not_locked")
    assert len(told) == 1 and told[0]["lock"] == world.queue + ".lock", told
    assert "configure" in told[0]["error"] and name in told[0]["error"]
    handles(service, publish(world, 1))
    assert not service.events("consumer.not_alone")
    # Nothing keeps a second one away: both say so.
    for one in (service, session(world, *options)):
        told = eventually(lambda one=one: one.events("consumer.not_alone"), "it is told")
        assert told[0]["others"] == 1 and one.metric("session_service_other_consumers") == 1


def test_an_ordinary_queue_in_place_of_the_lock_is_named(world):
    lock = world.queue + ".lock"
    with world.one_channel() as channel:
        channel.queue_declare(lock, durable=True)
    service = session(world)
    eventually(lambda: "ordinary queue" in service.get("/readyz").json().get("detail", ""), "it says what is there")
    reply = service.get("/readyz")
    assert reply.status_code == 503 and lock in reply.text and "--consumer shared" in reply.text
    world.delete(lock)
    service.wait_ready()


def test_one_that_cannot_use_the_directory_does_not_stand_by(world, tmp_path):
    """It could not take over, so it is no stand-by; it goes on trying."""
    service = session(world).wait_ready()
    path = tmp_path / "state"
    path.symlink_to(service.state.name)
    second = session(world, "--state-dir", str(path))
    verdict = lambda: second.get("/readyz").status_code
    eventually(lambda: verdict() == 200, "it waits")
    path.unlink()
    path.touch()
    eventually(lambda: verdict() == 503, "it says that it cannot")
    assert "--state-dir: open" in second.get("/readyz").json()["detail"]
    assert second.get("/sessions").status_code == 503
    assert "--state-dir: open" in second.events("store.unavailable")[-1]["error"]
    path.unlink()
    path.symlink_to(service.state.name)
    eventually(lambda: verdict() == 200, "it waits again")
    service.stop()
    second.wait_ready()


def test_who_shows_no_token_is_told_the_verdict_alone(world, tmp_path):
    session(world).wait_ready()
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-a-test\n")
    other = session(world, "--auth-token-file", str(tokens))
    eventually(lambda: stands_by(other), "it stands by")
    assert other.get("/readyz").json() == {"status": "standby"}


def test_two_redrives_at_once_send_each_letter_once(world):
    """Beside the daemon, which only publishes to that queue."""
    put(world, [dead(number) for number in range(600)])
    active = session(world).wait_ready()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: command(world, "redrive", "--all"), range(2)))
    handles(active, {"m%d" % number for number in range(600)})
    assert sum(int(out.split()[0]) for out, _ in done) == 600, done
    assert world.count(world.dead) == 0
    assert len(active.handled_ids()) == 600


def test_a_lock_that_was_deleted_is_taken_again(world, broker):
    """By a policy for all queues, of an operator who did not think of this one."""
    first, second = pair(world)
    lock = world.queue + ".lock"
    locks = lambda: broker.ctl("list_queues", "name").split().count(lock)
    broker.ctl("set_policy", "--apply-to", "queues", world.queue, "^%s$" % lock.replace(".", r"\."), '{"expires":500}')
    eventually(lambda: locks() == 0, "it has expired")
    broker.ctl("clear_policy", world.queue)
    eventually(lambda: locks() == 1, "it is there again")
    eventually(lambda: sorted([status(first), status(second)]) == [(200, "ready"), (200, "standby")],
               "one works, the other stands by")
    ids = publish(world, *range(100))
    eventually(lambda: ids <= handled(first) | handled(second), "they are handled")
    assert not handled(first) & handled(second)


def test_one_whose_store_is_displaced_leaves_the_queue(world):
    """It has the queue no longer than it can work on it, and asks for it again when it can."""
    first, second = pair(world)
    handles(first, publish(world, 1))
    path = os.path.join(first.state.name, FILE)
    os.rename(path, path + ".away")
    handles(second, publish(world, 2))
    assert first.get("/readyz").status_code == 503 and "restart" in first.get("/readyz").json()["detail"]
    os.rename(path + ".away", path)
    eventually(lambda: stands_by(first), "it asks for the lock again")
    handles(second, publish(world, 3))
    world.all_acked()
    assert handled(first) == {"m1"} and handled(second) == {"m2", "m3"}
    assert stored(second) == {"m2", "m3"}  # what the first one had in hand is applied by the second one only
    assert stored(first) == {"m1"}
