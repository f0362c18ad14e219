"""Messages that were delivered before: the innocent are handled, poison is put aside, and slow is not silent."""

import json
import os
import random
import subprocess

import pika
import pytest

from support.preload import preload
from support.proxy import Proxy
from support.services import Service
from support.store import effects, inbox_ids
from support.wait import PATIENCE_S, eventually, wait_until

MARKER = "abort-the-process"
MARKER_IN_THE_STORE = "abort-in-the-store"
LIMIT = 3
PREFETCH_MAX = 2000  # of a quorum queue
FRESH = 700  # more than a batch, so that some are read while the copies of others are awaited


def user(number, **members):
    return json.dumps(dict({"id": number, "name": "Ada"}, **members))


def publish_all(world, messages):
    channel = world.declare()
    before = channel.queue_declare(world.queue, passive=True).method.message_count
    for message_id, body in messages:
        channel.basic_publish("", world.queue, body,
                              pika.BasicProperties(message_id=message_id, delivery_mode=2, type="user.saved",
                                                   headers={"saved_at_ms": 1000}))
    eventually(lambda: world.count() >= before + len(messages), "the queue has them all")
    channel.connection.close()


def deliver_in_vain(world, count, times=1):
    """Consumers take so many messages, and go without an ack."""
    for _ in range(times):
        taken, connections = [], []
        for prefetch in [PREFETCH_MAX] * (count // PREFETCH_MAX) + [count % PREFETCH_MAX or PREFETCH_MAX]:
            channel = world.channel()
            connections.append(channel.connection)
            channel.basic_qos(prefetch_count=prefetch)
            channel.basic_consume(world.queue, lambda *_: taken.append(1))
            wait_until(lambda: channel.connection.process_data_events(0.1) or len(taken) >= count or
                       len(taken) == PREFETCH_MAX * len(connections), PATIENCE_S, "delivered")
        for connection in connections:
            connection.close()
        eventually(lambda: world.count() >= count, "they are back")


def take_all(world, queue):
    channel = world.channel()
    taken = []
    while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
        taken.append(got[1])
    channel.connection.close()
    return taken


class Lives:
    """One service after the other on the same state; each may end by itself."""

    def __init__(self, world, state, environment, *arguments):
        self.world, self.environment = world, environment
        self.arguments = ("--queue", world.queue, "--state-dir", state, "--redelivery-limit", str(LIMIT)) + arguments
        self.logs, self.service, self.deaths = [], None, 0

    def begin(self):
        service = Service("session-service", *self.arguments,
                          environment=dict(self.environment, AMQP_URL=self.world.url))
        service.process = subprocess.Popen(service.arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                           stderr=service.log, env=service.environment)
        self.service = service
        self.world.closers.append(service.close)
        return service

    def end(self):
        """Kills it, unless it has ended."""
        if self.service.process.poll() is None:
            self.service.kill()
        else:
            self.deaths += 1
        self.logs += self.service.events()

    def live_for(self, seconds):
        """Kills it so long after it has begun to consume. False where it has ended by itself before."""
        service = self.begin()
        eventually(lambda: service.process.poll() is not None or service.events("consumer.consuming"), "it consumes")
        try:
            service.process.wait(seconds)
            return False
        except subprocess.TimeoutExpired:
            return True
        finally:
            self.end()

    def run_until(self, condition, deaths_max):
        """As a service manager does: it is begun anew whenever it has ended."""
        while True:
            service = self.begin()
            eventually(lambda: service.process.poll() is not None or condition(), "it ends, or all is done")
            if service.process.poll() is None:
                return service
            self.end()
            assert self.deaths <= deaths_max, service.log_text()[-2000:]


def handled(events):
    return [e["message_id"] for e in events if e["event"] == "user.saved" and e["outcome"] == "handled"]


def test_kills_from_outside_send_nothing_innocent_away(world, tmp_path, deadline):
    """A slow disk, and kill -9 again and again: only what ends the process itself is put aside.

    SUSPECTS_TEST_MESSAGES valid ids (1000) and a hundredth of poison; SUSPECTS_TEST_KILLS kills (18), each at the
    latest SUSPECTS_TEST_LIFE_MS (150) after the service consumes; SUSPECTS_TEST_SEED repeats a run.
    """
    count = int(os.environ.get("SUSPECTS_TEST_MESSAGES", "1000"))
    kills = int(os.environ.get("SUSPECTS_TEST_KILLS", "18"))
    life_ms = int(os.environ.get("SUSPECTS_TEST_LIFE_MS", "150"))
    seed = int(os.environ.get("SUSPECTS_TEST_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    deadline(300 + 5 * kills + count // 5)
    rng = random.Random(seed)
    valid = ["m%05d" % i for i in range(count)]
    poison = ["p%05d" % i for i in range(count // 100)]
    messages = [(m, user(m)) for m in valid] + [(p, user(p, x=MARKER)) for p in poison]
    rng.shuffle(messages)
    publish_all(world, messages)
    deliver_in_vain(world, len(messages))
    state = str(tmp_path / "state")
    lives = Lives(world, state, preload(tmp_path, "slow_disk", "abort_on_marker", FSYNC_MS="20"))
    killed = 0
    while killed < kills:
        killed += lives.live_for(rng.uniform(0, life_ms / 1000))
    by_itself, left = lives.deaths, len(set(valid) - inbox_ids(state))

    def all_is_done():
        # A copy may be there twice, and an ack is later than the copy.
        return inbox_ids(state) == set(valid) and world.is_all_acked() and world.count(world.dead) >= len(poison)

    service = lives.run_until(all_is_done, deaths_max=(LIMIT + 10) * len(poison))
    lives.logs += service.events()
    service.stop()
    dead = take_all(world, world.dead)
    assert {p.message_id for p in dead} == set(poison)
    assert {p.headers["dead-letter-reason"] for p in dead} == {"too-many-redeliveries"}
    assert effects(state) == count
    # A kill may come before the line of a commit; then the next process logs a duplicate.
    assert len(handled(lives.logs)) == len(set(handled(lives.logs)))
    print("%d kills, after which %d ids were left; %d deaths by poison, and %d after the kills; %d copies of %d; "
          "%d logged as handled" % (killed, left, by_itself, lives.deaths - by_itself, len(dead), len(poison),
                                    len(handled(lives.logs))))


def test_what_ends_the_process_in_the_store_is_put_aside(world, tmp_path):
    """There it is one of several that are taken together: fewer at each death, and at last alone."""
    good = ["g%d" % i for i in range(20)]
    publish_all(world, [(g, user(g)) for g in good[:10]] + [("bad", user("bad", x=MARKER_IN_THE_STORE))] +
                [(g, user(g)) for g in good[10:]])
    state = str(tmp_path / "state")
    lives = Lives(world, state, preload(tmp_path, "abort_on_marker"))

    def all_is_done():
        return (lives.service.events("user.dead_lettered") and inbox_ids(state) == set(good) and
                world.is_all_acked() and world.count(world.dead) == 1)

    service = lives.run_until(all_is_done, deaths_max=LIMIT + 10)
    service.stop()
    assert lives.deaths > LIMIT
    assert [(e["key"], e["alone"]) for e in lives.logs + service.events() if e["event"] == "message.accused"] == [
        ("bad", True)] * LIMIT
    assert [(p.message_id, p.headers["dead-letter-reason"]) for p in take_all(world, world.dead)] == [
        ("bad", "too-many-redeliveries")]
    assert effects(state) == len(good)
    print("%d deaths" % lives.deaths)


def test_kills_while_one_message_is_alone_do_not_accuse_it(world, tmp_path):
    """The disk hangs before the effect of the message is written, and the process is killed there, again and again."""
    hangs = tmp_path / "hangs"
    state = str(tmp_path / "state")
    world.declare()
    world.publish(user(1), message_id="m1", delivery_mode=2)
    for life in range(LIMIT + 4):
        # It meets the broker when the disk hangs, and not before.
        proxy = Proxy(world.broker.port, is_open=False)
        world.closers.append(proxy.close)
        service = world.session_service("--state-dir", state, "--redelivery-limit", str(LIMIT), "--amqp-url",
                                        "amqp://guest:guest@127.0.0.1:%d/" % proxy.port,
                                        environment=preload(tmp_path, "slow_disk", WAL_HANGS_FILE=str(hangs)))
        eventually(lambda: service.events("broker.connecting_failed"), "it is at work")
        hangs.touch()
        proxy.open()
        eventually(lambda: world.count() == 0, "it was delivered")
        # In all but the first life it is known then that it was alone in hand.
        in_hand = tmp_path / "state" / "in-hand"
        eventually(lambda: life == 0 or in_hand.exists() and in_hand.read_text().startswith("in-hand-1 1 \n"),
                   "it waits for the disk")
        service.kill()
        hangs.unlink()
        proxy.close()
        eventually(lambda: world.count() == 1, "it is back")
    service = world.session_service("--state-dir", state, "--redelivery-limit", str(LIMIT))
    eventually(lambda: "m1" in inbox_ids(state), "it is handled")
    world.all_acked()
    assert not service.events("user.dead_lettered") and not service.events("message.accused")
    service.stop()


def test_what_was_delivered_too_often_begins_anew(world, tmp_path):
    """Long before RabbitMQ 4 would drop it a message is moved to the end of its queue, unless the inbox knows it."""
    state = str(tmp_path / "state")
    known = [("k%d" % i, user("k%d" % i)) for i in range(10)]
    fresh = [("m%d" % i, user("m%d" % i)) for i in range(FRESH)]
    publish_all(world, known)
    service = world.session_service("--state-dir", state).wait_ready()
    eventually(lambda: len(inbox_ids(state)) == 10, "some are known")
    world.all_acked()
    service.stop()
    publish_all(world, known + fresh)
    deliver_in_vain(world, 10 + FRESH, times=16)
    service = world.session_service("--state-dir", state).wait_ready()
    eventually(lambda: len(inbox_ids(state)) == 10 + FRESH, "all are handled")
    world.all_acked()
    assert service.metric("session_service_moved_total") == FRESH
    assert service.metric('session_service_deliveries_total{outcome="duplicate"}') == 10
    assert service.metric('session_service_deliveries_total{outcome="handled"}') == FRESH
    assert not service.events("user.dead_lettered")
    assert effects(state) == 10 + FRESH
    service.stop()
    assert world.is_empty()


def test_a_full_queue_takes_no_copies_and_all_is_handled(world, broker, tmp_path):
    state = str(tmp_path / "state")
    messages = [("m%d" % i, user("m%d" % i)) for i in range(20)]
    publish_all(world, messages)
    deliver_in_vain(world, 20, times=16)
    broker.limit_queue(world.queue)
    try:
        publish = world.channel()
        service = world.session_service("--state-dir", state, "--prefetch", "10").wait_ready()
        eventually(lambda: len(inbox_ids(state)) == 20, "all are handled")
        assert not service.events("user.dead_lettered")
        # They were to be moved: nothing else needs this connection.
        assert [e["name"] for e in service.events("broker.connected")] == ["consumer", "dead-letters"]
        publish.connection.close()
    finally:
        broker.lift_limit(world.queue)
    world.all_acked()
    service.stop()


def test_a_slow_disk_loses_no_connection(world, tmp_path):
    count = 4000
    state = str(tmp_path / "state")
    publish_all(world, [("m%d" % i, user(i)) for i in range(count)])
    deliver_in_vain(world, count)
    service = world.session_service("--state-dir", state, "--heartbeat", "3s", "--prefetch", "2000",
                                    environment=preload(tmp_path, "slow_disk", FSYNC_MS="25"))
    eventually(lambda: len(inbox_ids(state)) == count, "all are handled")
    world.all_acked()
    assert not service.events("broker.disconnected")
    assert service.metric("session_service_redelivered_total") == count
    assert service.metric('session_service_deliveries_total{outcome="handled"}') == count
    service.stop()


def test_a_slow_store_loses_no_connection(world, tmp_path):
    """One transaction with all of them would take longer than the broker waits for a heartbeat."""
    count = 350
    state = str(tmp_path / "state")
    publish_all(world, [("m%d" % i, user(i)) for i in range(count)])
    service = world.session_service("--state-dir", state, "--heartbeat", "3s",
                                    environment=preload(tmp_path, "slow_disk", STEP_MS="20"))
    eventually(lambda: len(inbox_ids(state)) == count, "all are handled")
    world.all_acked()
    assert not service.events("broker.disconnected")
    service.stop()


def says_no_progress(service, thread):
    reply = service.get("/readyz")
    return reply is not None and reply.status_code == 503 and "thread '%s'" % thread in reply.text


def test_a_disk_that_hangs_shows_in_readyz(world, tmp_path):
    hangs = tmp_path / "hangs"
    environment = preload(tmp_path, "slow_disk", FSYNC_HANGS_FILE=str(hangs))
    service = world.session_service(environment=environment).wait_ready()
    hangs.touch()
    world.publish(user(1), message_id="m1")
    eventually(lambda: says_no_progress(service, "consumer"), "it is not ready")
    hangs.unlink()
    service.wait_ready()
    eventually(lambda: "m1" in service.handled_ids(), "it goes on")


def test_an_outbox_that_hangs_shows_in_readyz(away, tmp_path):
    hangs = tmp_path / "hangs"
    environment = preload(tmp_path, "slow_disk", FSYNC_HANGS_FILE=str(hangs))
    service = away.user_service(environment=environment)
    eventually(lambda: service.get("/readyz").status_code == 200, "it is degraded, and ready")
    hangs.touch()
    with pytest.raises(Exception):
        service.save(timeout=1)
    eventually(lambda: says_no_progress(service, "outbox"), "it is not ready")
    hangs.unlink()
    eventually(lambda: service.get("/readyz").status_code == 200, "it is ready again")
