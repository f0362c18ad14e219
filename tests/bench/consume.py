"""The benchmark of consuming: session-service, which stores, beside an amqplib consumer that only logs and acks.

Each run finds all messages waiting in a quorum queue of a private broker, and ends when the log has a line for
each and the queue is empty. Runs of all consumers take turns; a ratio compares runs of one round. What counts is
those ratios: times are the machine's.

    SERVICES_BUILD_DIR=build python3 tests/bench/consume.py --disk /var/tmp
"""

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import pika

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from support.broker import Broker, free_port  # noqa: E402
from support.services import binary  # noqa: E402
from support.wait import wait_until  # noqa: E402

SCRIPT = "consume-amqplib.js"
QUEUE = "bench"
PEER = "amqplib, logs and acks each"
EVENT = b"user.saved"
RUN_SECONDS = 300
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


class Lines:
    """Counts the lines of messages in a log that grows."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.count, self.rest = 0, b""

    def read(self):
        data = self.rest + self.file.read()
        end = data.rfind(b"\n") + 1
        self.count += data.count(EVENT, 0, end)
        self.rest = data[end:]
        return self.count


def install(directory):
    for name in (SCRIPT, "package.json", "package-lock.json"):
        shutil.copy(os.path.join(HERE, name), directory)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"],
                   cwd=directory, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return os.path.join(directory, SCRIPT)


def waiting(broker):
    connection = pika.BlockingConnection(pika.URLParameters(broker.url()))
    count = connection.channel().queue_declare(QUEUE, passive=True).method.message_count
    connection.close()
    return count


def time_run(broker, command, messages):
    """Messages a second and microseconds of CPU for each, from the first lines to the last."""
    with tempfile.NamedTemporaryFile(prefix="bench-consume-", suffix=".log") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=log)
        try:
            lines = Lines(log.name)
            wait_until(lambda: process.poll() is not None or lines.read() > 0, 30, "the first line")
            first, begin, cpu = lines.count, time.monotonic(), cpu_seconds(process.pid)
            wait_until(lambda: process.poll() is not None or lines.read() >= messages, RUN_SECONDS,
                       "the last line")
            seconds, cpu = time.monotonic() - begin, cpu_seconds(process.pid) - cpu
            process.terminate()
            if process.wait(30) != 0 or lines.read() != messages:
                raise RuntimeError("%s: exit code %d, %d lines" % (
                    command[0], process.returncode, lines.count))
            wait_until(lambda: waiting(broker) == 0, 30, "all is acked")
            return (messages - first) / seconds, cpu / (messages - first) * 1e6
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(10)


@contextlib.contextmanager
def consumer(kind, broker, script, prefetch):
    """The command of one run."""
    if kind == PEER:
        yield ["node", script, "consume", broker.url(), QUEUE, str(prefetch)]
        return
    with tempfile.TemporaryDirectory(prefix="bench-state-", dir=kind) as state:
        yield [binary("session-service"), "--amqp-url", broker.url(), "--queue", QUEUE,
               "--prefetch", str(prefetch), "--state-dir", state, "--listen",
               "127.0.0.1:%d" % free_port()]


def file_system(path):
    return subprocess.run(["stat", "-f", "-c", "%T", path], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


def report(results, kinds, prefetches):
    print("\n| prefetch | consumer | messages/s | ratio | CPU us/message | ratio |")
    print("|---|---|---|---|---|---|")
    for prefetch in prefetches:
        peer = results[PEER, prefetch]
        for kind, name in kinds.items():
            runs = results[kind, prefetch]
            ratios = [[r[i] / p[i] for r, p in zip(runs, peer)] for i in (0, 1)]
            print("| %d | %s | %.0f | %.2f | %.1f | %.2f |" % (
                prefetch, name, statistics.median(r[0] for r in runs), statistics.median(ratios[0]),
                statistics.median(r[1] for r in runs), statistics.median(ratios[1])))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--messages", type=int, default=100000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prefetch", default="100,1000")
    parser.add_argument("--disk", default=tempfile.gettempdir(), help="a folder on a disk")
    parser.add_argument("--tmpfs", default="/dev/shm", help="a folder in memory")
    parser.add_argument("--users", type=int, default=0, help="so many users share the messages, at "
                        "random; 0: each message is a new user, as saves without an id are")
    options = parser.parse_args()
    prefetches = [int(text) for text in options.prefetch.split(",")]
    kinds = {folder: "session-service, store on %s" % file_system(folder)
             for folder in (options.disk, options.tmpfs)}
    kinds[PEER] = PEER
    results = {(kind, prefetch): [] for kind in kinds for prefetch in prefetches}
    with tempfile.TemporaryDirectory(prefix="bench-consume-") as folder:
        script = install(folder)
        broker = Broker().start()
        try:
            for number in range(options.rounds):
                for prefetch in prefetches:
                    for kind, name in kinds.items():
                        subprocess.run(["node", script, "fill", broker.url(), QUEUE,
                                        str(options.messages), str(options.users)], check=True)
                        wait_until(lambda: waiting(broker) == options.messages, 30, "all wait")
                        with consumer(kind, broker, script, prefetch) as command:
                            run = time_run(broker, command, options.messages)
                        results[kind, prefetch].append(run)
                        print("round %d, prefetch %4d, %-32s %8.0f/s %6.1f us" % (
                            number + 1, prefetch, name, *run), flush=True)
        finally:
            broker.close()
    report(results, kinds, prefetches)
    return 0


if __name__ == "__main__":
    sys.exit(main())
