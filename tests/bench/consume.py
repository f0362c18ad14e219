"""Consuming: all messages wait in a quorum queue, and a run ends when the log has a line for each and all are acked.

Runs of all consumers take turns, and a ratio compares runs of one round.
"""

import contextlib
import statistics
import time

import consumers
import measure
from support.wait import wait_until

QUEUE = "bench-consume"
PREFETCHES = (100, 1000)
EVENT = b'"user.saved"'
LONGEST_SECONDS = 300


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

    def close(self):
        self.file.close()


def waiting(url):
    import pika
    connection = pika.BlockingConnection(pika.URLParameters(url))
    count = connection.channel().queue_declare(QUEUE, passive=True).method.message_count
    connection.close()
    return count


class Group:
    """Consumers of one queue, and what their logs have."""

    def __init__(self, consumers_):
        self.consumers = consumers_
        self.lines = [Lines(consumer.log) for consumer in consumers_]

    def counts(self):
        for consumer in self.consumers:
            if consumer.process.poll() is not None:
                raise RuntimeError("%s ended: %s" % (consumer.name, consumer.log_text()))
        return [lines.read() for lines in self.lines]

    def cpu_seconds(self):
        return sum(measure.cpu_seconds(consumer.pid) for consumer in self.consumers)

    def stop(self):
        """Returns how many lines there are at the end."""
        for consumer in self.consumers:
            consumer.stop()
        return sum(lines.read() for lines in self.lines)

    def close(self):
        for lines in self.lines:
            lines.close()


def time_run(url, messages, *group):
    """Messages a second and CPU for each, from when each consumer of the group has written a line to the last line."""
    consumers.fill(url, QUEUE, messages)
    wait_until(lambda: waiting(url) == messages, 30, "all wait")
    with contextlib.ExitStack() as stack:
        for consumer in group:
            stack.enter_context(contextlib.closing(consumer))
            consumer.start(url)
        run_ = stack.enter_context(contextlib.closing(Group(group)))
        wait_until(lambda: all(run_.counts()), 30, "the first lines")
        first, begin, cpu = sum(run_.counts()), time.monotonic(), run_.cpu_seconds()
        wait_until(lambda: sum(run_.counts()) >= messages, LONGEST_SECONDS, "the last line")
        seconds = time.monotonic() - begin
        cpu = run_.cpu_seconds() - cpu
        rss = sum(measure.resident_bytes(consumer.pid) for consumer in group)
        lines = run_.stop()
        if lines != messages:
            raise RuntimeError("%s: %d lines for %d messages" % (group[0].name, lines, messages))
        wait_until(lambda: waiting(url) == 0, 30, "all is acked")
    timed = messages - first
    if timed < messages / 2:
        raise RuntimeError("%d messages are too few to time %s" % (messages, group[0].name))
    return {"rate": timed / seconds, "cpu_us": cpu / timed * 1e6, "rss_bytes": rss}


def run(url, options):
    """A row for each consumer and prefetch: medians, and the median of the rounds' ratios."""
    runs = {}
    for number in range(1, options.rounds + 1):
        for prefetch in PREFETCHES:
            for consumer in consumers.all_consumers(QUEUE, prefetch, options.disk, options.memory):
                found = time_run(url, options.messages, consumer)
                runs.setdefault((prefetch, consumer.name), []).append(found)
                print("consume: prefetch %4d  %-44s round %d  %8.0f/s  %5.1f us" % (
                    prefetch, consumer.name, number, found["rate"], found["cpu_us"]), flush=True)
    rows = []
    for (prefetch, name), found in runs.items():
        peer = runs[prefetch, consumers.AMQPLIB]
        row = {"name": name, "prefetch": prefetch, "messages": options.messages}
        for key in found[0]:
            row[key] = statistics.median(one[key] for one in found)
            row[key + "_ratio"] = statistics.median(
                one[key] / other[key] for one, other in zip(found, peer) if other[key] > 0)
        rows.append(row)
    return rows
