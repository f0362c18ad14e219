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


def time_run(url, consumer, messages):
    """Messages a second and CPU for each, from the first lines to the last."""
    consumers.fill(url, QUEUE, messages)
    wait_until(lambda: waiting(url) == messages, 30, "all wait")
    with contextlib.closing(consumer):
        consumer.start(url)
        with contextlib.closing(Lines(consumer.log)) as lines:
            def has(count):
                if consumer.process.poll() is not None:
                    raise RuntimeError("%s ended: %s" % (consumer.name, consumer.log_text()))
                return lines.read() >= count
            wait_until(lambda: has(1), 30, "the first line")
            first, begin, cpu = lines.count, time.monotonic(), measure.cpu_seconds(consumer.pid)
            wait_until(lambda: has(messages), LONGEST_SECONDS, "the last line")
            seconds = time.monotonic() - begin
            cpu = measure.cpu_seconds(consumer.pid) - cpu
            rss = measure.resident_bytes(consumer.pid)
            consumer.stop()
            if lines.read() != messages:
                raise RuntimeError("%s: %d lines for %d messages" % (
                    consumer.name, lines.count, messages))
        wait_until(lambda: waiting(url) == 0, 30, "all is acked")
    timed = messages - first
    if timed < messages / 2:
        raise RuntimeError("%d messages are too few to time %s" % (messages, consumer.name))
    return {"rate": timed / seconds, "cpu_us": cpu / timed * 1e6, "rss_bytes": rss}


def run(url, options):
    """A row for each consumer and prefetch: medians, and the median of the rounds' ratios."""
    runs = {}
    for number in range(1, options.rounds + 1):
        for prefetch in PREFETCHES:
            for consumer in consumers.all_consumers(QUEUE, prefetch, options.disk, options.memory):
                found = time_run(url, consumer, options.messages)
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
