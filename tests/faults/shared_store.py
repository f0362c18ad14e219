#!/usr/bin/python3
"""Several session-services on one PostgreSQL: they and the database are killed again and again, and the checker judges.

The queue is filled first: every tenth message stands in it twice, side by side, so that the copies meet at two
services at the same time, and every hundredth can never be handled. The kills are spread evenly over the work, so that
each of them meets messages in hand. The seed decides who is killed, and when. Exit status 0: each id took effect
once, each was logged, and the queue is empty.
"""

import argparse
import contextlib
import os
import random
import sys
import tempfile
import threading
import time

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]

import pika  # noqa: E402

import checker  # noqa: E402
from attempts import OK, Attempts  # noqa: E402
from clients import compact  # noqa: E402
from stage import Daemon  # noqa: E402
from support.broker import Broker  # noqa: E402
from support.postgres import Postgres  # noqa: E402
from support.wait import wait_until  # noqa: E402

DUPLICATE_EVERY, POISON_EVERY = 10, 100
USERS_FOR_EACH_MESSAGE = 0.05
STILL_SECONDS = 120  # without a change: it will not end
HEARTBEAT_S = 3


def messages(count, rng):
    """(id, payload, is it a user) of each message in the order of the queue, copies and poison included."""
    users = max(10, int(count * USERS_FOR_EACH_MESSAGE))
    for number in range(count):
        if number % POISON_EVERY == POISON_EVERY - 1:
            yield "poison%d" % number, "no user %d" % number, False
            continue
        one = ("m%d" % number, compact({"id": "u%d" % rng.randrange(users), "n": number}), True)
        yield one
        if number % DUPLICATE_EVERY == 0:
            yield one


def fill(url, queue, attempts, count, rng):
    """Returns how many messages are in the queue; all are confirmed."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for name in (queue, queue + ".dead"):
        channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
    published, known = 0, set()
    for number, (message_id, payload, is_user) in enumerate(messages(count, rng)):
        if message_id not in known:
            known.add(message_id)
            attempt = attempts.begin(message_id, payload, effect=is_user,
                                     reasons=[] if is_user else ["not-json", "not-an-object"])
            attempts.end(attempt, OK)
        channel.basic_publish("", queue, payload.encode(), pika.BasicProperties(
            message_id=message_id, delivery_mode=2, type="user.saved", content_type="application/json",
            headers={"saved_at_ms": 1_700_000_000_000 + number}))
        published += 1
    wait_until(lambda: depth(channel, queue) == published, 120, "the queue has all %d messages" % published)
    connection.close()
    return published


def depth(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


def took_effect(database):
    """How many ids; what a database cannot say, which is being started or has no tables, counts as none."""
    try:
        return int(database.one("SELECT count(*) FROM inbox"))
    except AssertionError:
        return 0


class Killer(threading.Thread):
    """Kills a service or the database whenever another share of the messages has taken effect."""

    def __init__(self, services, database, kills, total, rng):
        super().__init__(daemon=True)
        self.services, self.database, self.kills, self.total, self.rng = services, database, kills, total, rng
        self.done = {"service": 0, "database": 0}
        self.failure = None

    def run(self):
        try:
            for number in range(self.kills):
                share = self.total * (number + self.rng.random()) / (self.kills + 1)
                wait_until(lambda: took_effect(self.database) >= share, STILL_SECONDS, "kill %d is due" % number)
                self._kill()
        except Exception as failure:  # told to who waits for the end
            self.failure = failure

    def _kill(self):
        if self.rng.random() < 0.3:
            self.database.server.kill()
            self.database.server.start()
            self.done["database"] += 1
        else:
            service = self.rng.choice(self.services)
            service.kill()
            service.start()
            self.done["service"] += 1


class Run:
    """`broker` and `database` are started, and are closed by who has started them."""

    def __init__(self, options, directory, broker, database):
        self.options, self.directory = options, directory
        self.rng = random.Random(options.seed)
        self.queue = "shared-store"
        self.attempts = Attempts(os.path.join(directory, "attempts"))
        self.broker, self.database, self.services = broker, database, []

    def start(self):
        self.published = fill(self.broker.url(), self.queue, self.attempts, self.options.messages, self.rng)
        for number in range(self.options.services):
            folder = os.path.join(self.directory, "service%d" % number)
            os.mkdir(folder)
            self.services.append(Daemon(
                "session-service", self.options.build, folder, "--queue", self.queue,
                "--heartbeat", "%ds" % HEARTBEAT_S, "--state-dir", folder,
                "--store", self.database.url(), environment={"AMQP_URL": self.broker.url()}))
        for service in self.services:
            service.start()

    def work(self):
        begin = time.monotonic()
        total = sum(1 for number in range(self.options.messages) if number % POISON_EVERY != POISON_EVERY - 1)
        killer = Killer(self.services, self.database, self.options.kills, total, self.rng)
        killer.start()
        killer.join()
        if killer.failure is not None:
            raise killer.failure
        self.await_end()
        print("shared store: %d messages by %d services in %.0f s; killed: %s" % (
            self.published, len(self.services), time.monotonic() - begin, killer.done))

    def await_end(self):
        """All is handled, and the services have ended. What a queue counts is no sign of it: messages may be in hand,
        and come back some time after a service has ended."""
        connection = pika.BlockingConnection(pika.URLParameters(self.broker.url() + "?heartbeat=0"))
        channel = connection.channel()
        poison = self.options.messages // POISON_EVERY
        wanted = (self.options.messages - poison, poison)
        counts, since = None, time.monotonic()
        while counts != wanted and time.monotonic() - since < STILL_SECONDS:
            # A dead letter may be there more often than once.
            now = (took_effect(self.database), min(poison, depth(channel, self.queue + ".dead")))
            if now != counts:
                counts, since = now, time.monotonic()
            time.sleep(0.1)
        wait_until(lambda: depth(channel, self.queue) == 0, STILL_SECONDS, "the queue is empty")
        for service in self.services:
            service.signal(15)
        for service in self.services:
            service.ended()
        connection.close()

    def judge(self, store=None):
        """`store`: the URL by which to read it, where it is not that of the services."""
        self.attempts.close()
        logs = [log for service in self.services for log in service.logs]
        letters = checker.read_dead_queue(self.broker.url(), self.queue + ".dead")
        broken, counts = checker.check(self.attempts.path, store or self.database.url(), letters, logs)
        checker.say(broken, counts)
        ids = took_effect(self.database)
        effects = int(self.database.one("SELECT sum(saves) FROM users"))
        print("shared store: %d ids, %d effects, %d letters" % (ids, effects, len(letters)))
        return not broken and ids == effects

    def close(self):
        for service in self.services:
            service.close()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", metavar="DIR")
    parser.add_argument("--services", type=int, default=2)
    parser.add_argument("--messages", type=int, default=10000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args(arguments)
    print("shared store: seed %d" % options.seed, flush=True)
    broker, server = Broker(), Postgres()
    with tempfile.TemporaryDirectory(prefix="shared-store-") as directory, contextlib.ExitStack() as stack:
        for one in (broker, server):
            stack.enter_context(contextlib.closing(one))
            one.start()
        run = stack.enter_context(contextlib.closing(Run(options, directory, broker, server.database())))
        run.start()
        run.work()
        return 0 if run.judge() else 1


if __name__ == "__main__":
    sys.exit(main())
