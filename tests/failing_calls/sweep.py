"""Fails one call after the other in the daemons, and looks what becomes of what was promised.

sweep.py [--points N | --all] [--class CLASS] [--scenario NAME] [--seed N]

Each run of a scenario fails one call: the first allocation, the second, and so on; then the reads, writes, syncs,
accepts and epoll calls. Clean is: the daemon serves, refuses, or ends by itself with an error; it ends at
SIGTERM; and what was answered with success, or acknowledged, is where it must be. N points of each class and
scenario are spread over all calls (default 12, and more where a run is short); --all tries every one.
"""

import argparse
import collections
import concurrent.futures
import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import pika

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.broker import Broker, free_port, return_port, take_sigterm_for_ctrl_c  # noqa: E402
from support.services import SANITIZER_MARKS, binary  # noqa: E402
from support.wait import PATIENCE_S  # noqa: E402

CLASSES = ("malloc", "read", "write", "fsync", "accept", "epoll")
SAVES = 2
LATE_CALLS = 3000
TIMES_AS_MANY = {"save-without-broker": 50}  # points: a run of it takes a hundredth of a second
WORK_SECONDS = 8  # how long a daemon with a failure is left to do all of its work
NOWHERE = "amqp://guest:guest@127.0.0.1:1/"


class Finding(Exception):
    pass


class Daemon:
    """One run, with one call that fails."""

    def __init__(self, name, library, folder, url, queue, call_class, at):
        self.folder, self.port = folder, free_port()
        self.call_class = call_class
        self.work_seconds = WORK_SECONDS if at else PATIENCE_S
        self.report = os.path.join(folder, "calls")
        self.state = os.path.join(folder, "state")
        os.mkdir(self.state)
        self.log = open(os.path.join(folder, "log"), "w+b")
        # A sanitizer wants to be the first library that is loaded.
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        environment = dict(os.environ, LD_PRELOAD=library, ASAN_OPTIONS=sanitizer, FAIL_CLASS=call_class, FAIL_AT=str(at),
                           FAIL_REPORT=self.report, AMQP_URL=url)
        self.process = subprocess.Popen(
            [binary(name), "--listen", "127.0.0.1:%d" % self.port, "--state-dir", self.state,
             "--queue", queue, "--confirm-timeout=2s" if name == "user-service" else "--prefetch=10"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log, env=environment)

    def is_alive(self):
        return self.process.poll() is None

    def ask(self, method, path, body=None, headers=None):
        """The status, or None without an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.work_seconds)
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            reply.read()
            return reply.status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def wait(self, condition, seconds):
        deadline = time.monotonic() + seconds
        while self.is_alive() and time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.02)
        return False

    def text(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def end(self):
        """Ends it where it has not ended; the exit code must be one of the program's own."""
        if self.is_alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Finding("does not end at SIGTERM") from None
        text = self.text()
        for mark in SANITIZER_MARKS:
            if mark in text:
                raise Finding("sanitizer: " + text[text.index(mark):][:1500])
        if code not in (0, 1, 2):
            raise Finding("ended with %d: %s" % (code, text[-500:]))
        return code

    def calls(self):
        with open(self.report) as file:
            return int(file.read())

    def rows(self, name, query):
        path = os.path.join(self.state, name)
        if not os.path.exists(path):
            return set()
        connection = sqlite3.connect(path, timeout=10)
        try:
            return {row[0] for row in connection.execute(query)}
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return set()
            raise
        finally:
            connection.close()


def drain(url, queue):
    """Takes all out of a queue."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    found = set()
    try:
        while True:
            method, properties, _ = channel.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            found.add(properties.message_id)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != 404:
            raise
        return found
    finally:
        connection.close()


def declare(url, queue, ids):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for name in (queue, queue + ".dead"):
        channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_purge(name)
    channel.confirm_delivery()
    for one in ids:
        channel.basic_publish("", queue, b'{"id":"%s","name":"Ada"}' % one.encode(),
                              pika.BasicProperties(message_id=one, delivery_mode=2))
    connection.close()


def save_some(daemon):
    answers = {}
    for i in range(SAVES):
        key = "key-%d" % i
        answers[key] = daemon.ask("POST", "/users/save", b'{"name":"Ada"}', {
            "Content-Type": "application/json", "Idempotency-Key": key})
    daemon.ask("GET", "/metrics")
    return answers


def promised(answers):
    return {key for key, status in answers.items() if status in (200, 202)}


def name_of(answers, code):
    if code != 0:
        return "ended"
    return "served" if len(promised(answers)) == SAVES else "refused"


def check_kept(answers, kept):
    lost = promised(answers) - kept
    if lost:
        raise Finding("a lie: %s were answered %s, and are nowhere" % (lost, answers))


def save_without_broker(make, url, queue):
    daemon = make("user-service", NOWHERE)
    daemon.wait(lambda: daemon.ask("GET", "/healthz") == 200, PATIENCE_S)
    answers = save_some(daemon)
    code = daemon.end()
    if 200 in answers.values():
        raise Finding("200 without a broker: %s" % answers)
    check_kept(answers, daemon.rows("user-service.db", "SELECT message_id FROM outbox"))
    return daemon, name_of(answers, code)


def save_with_broker(make, url, queue):
    declare(url, queue, ())
    daemon = make("user-service", url)
    daemon.wait(lambda: daemon.ask("GET", "/readyz") == 200, PATIENCE_S)
    answers = save_some(daemon)
    code = daemon.end()
    queued = drain(url, queue)
    stored = daemon.rows("user-service.db", "SELECT message_id FROM outbox")
    lies = {key for key, status in answers.items() if status == 200} - queued
    if lies:
        raise Finding("a lie: %s were confirmed, and are not in the queue" % lies)
    check_kept(answers, queued | stored)
    return daemon, name_of(answers, code)


def consume(make, url, queue):
    ids = {"m-%d" % i for i in range(SAVES)}
    declare(url, queue, sorted(ids))
    daemon = make("session-service", url)
    done = daemon.wait(lambda: sum('"event":"user.saved"' in line and '"handled"' in line
                                   for line in daemon.text().splitlines()) >= SAVES, daemon.work_seconds)
    for path in ("/sessions", "/users/m-0", "/metrics"):
        daemon.ask("GET", path)
    code = daemon.end()
    handled = daemon.rows("session-service.db", "SELECT message_id FROM inbox")
    logged = {json.loads(line).get("message_id") for line in daemon.text().splitlines()
              if line.startswith("{") and '"user.saved"' in line}
    # What a daemon had in hand is in the queue again a moment after its end.
    queued, dead, end = set(), set(), time.monotonic() + PATIENCE_S
    while True:
        queued |= drain(url, queue)
        dead |= drain(url, queue + ".dead")
        lost = ids - handled - queued - dead
        if not lost or time.monotonic() > end:
            break
        time.sleep(0.1)
    if lost:
        raise Finding("lost: %s" % lost)
    if daemon.call_class != "write" and handled - queued - logged:
        raise Finding("acknowledged without a log line: %s" % (handled - queued - logged))
    return daemon, "ended" if code else "served" if done else "waited"


SCENARIOS = {"save-without-broker": save_without_broker, "save-with-broker": save_with_broker,
             "consume": consume}


def run(scenario, library, url, call_class, at, number):
    """Returns how many calls there were where none fails (at is 0), and the verdict."""
    queue = "sweep%d" % number
    daemons = []
    with tempfile.TemporaryDirectory(prefix="sweep-", dir="/dev/shm") as folder:

        def make(name, amqp_url):
            daemons.append(Daemon(name, library, folder, amqp_url, queue, call_class, at))
            return daemons[-1]

        try:
            daemon, verdict = SCENARIOS[scenario](make, url, queue)
            # A start that fails may end with a thread that still works: such an end runs no destructor.
            return 0 if at else daemon.calls(), verdict
        except Finding as finding:
            return 0, "FINDING: %s call %d of class %s: %s" % (scenario, at, call_class, finding)
        finally:
            for daemon in daemons:
                if daemon.is_alive():
                    daemon.process.kill()
                    daemon.process.wait()
                daemon.log.close()
                return_port(daemon.port)


def points_of(total, wanted, generator):
    """Most allocations are those of a start, which reads the system's certificates: half of the points are
    among the last calls. The others are spread: one in each part of all calls."""
    if wanted is None or total <= wanted:
        return range(1, total + 1)
    late = generator.sample(range(max(1, total - LATE_CALLS), total + 1),
                            min(wanted // 2, min(total, LATE_CALLS)))
    parts = wanted - len(late)
    spread = [generator.randrange(1 + part * total // parts, 1 + (part + 1) * total // parts)
              for part in range(parts)]
    return sorted({*late, *spread})


def sweep(options, library, url):
    generator = random.Random(options.seed)
    tasks, table = [], {}
    for scenario in options.scenario or SCENARIOS:
        for call_class in options.call_class or CLASSES:
            total, verdict = run(scenario, library, url, call_class, 0, 0)
            if verdict != "served" or total == 0:
                print("without a failure: %s, %s: %s of %d calls" % (scenario, call_class, verdict, total))
                return False
            wanted = options.points and options.points * TIMES_AS_MANY.get(scenario, 1)
            points = points_of(total, wanted, generator)
            table[scenario, call_class] = (total, len(points), collections.Counter())
            tasks += [(scenario, call_class, at) for at in points]
    findings = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        futures = {pool.submit(run, scenario, library, url, call_class, at, number): (scenario, call_class)
                   for number, (scenario, call_class, at) in enumerate(tasks, 1)}
        for future in concurrent.futures.as_completed(futures):
            _, verdict = future.result()
            table[futures[future]][2][verdict.split(":")[0]] += 1
            if verdict.startswith("FINDING"):
                findings.append(verdict)
                print(verdict, flush=True)
    print("%-20s %-7s %7s %7s  verdicts" % ("scenario", "class", "calls", "failed"))
    for (scenario, call_class), (total, tried, verdicts) in table.items():
        print("%-20s %-7s %7d %7d  %s" % (scenario, call_class, total, tried, dict(sorted(verdicts.items()))))
    print("%d injection points, %d findings (seed %d)" % (len(tasks), len(findings), options.seed))
    return not findings


def main():
    take_sigterm_for_ctrl_c()
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=12)
    parser.add_argument("--all", dest="points", action="store_const", const=None)
    parser.add_argument("--class", dest="call_class", action="append", choices=CLASSES)
    parser.add_argument("--scenario", action="append", choices=SCENARIOS)
    parser.add_argument("--seed", type=int, default=random.randrange(1000000))
    parser.add_argument("--jobs", type=int, default=4)
    options = parser.parse_args()
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fail_calls.c")
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        library = os.path.join(folder, "fail_calls.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
        broker = Broker()
        try:
            return 0 if sweep(options, library, broker.start().url()) else 1
        finally:
            broker.close()


if __name__ == "__main__":
    sys.exit(main())
