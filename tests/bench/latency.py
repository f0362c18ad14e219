"""How long from a save to its line in the consumer's log, at a steady rate.

An open loop sends each save when it is due; the time counts from that moment until the line can be read from a
pipe. The generator says when its first save was due, by the clock that the reader of the pipe has.
"""

import contextlib
import json
import os
import re
import statistics
import subprocess
import threading
import time

import consumers
import targets
from support.wait import wait_until

QUEUE = "bench-latency"
GENERATOR = os.path.join(targets.BUILD, "tests", "bench", "open_loop")
CONNECTIONS = 64
PREFETCH = 100
WARM_UP_SECONDS = 2
KEY = "save-"
ID = re.compile(rb'"message_id":"save-([0-9]+)"')
READ_BYTES = 1 << 20


class Pipe:
    """Notes what can be read from a log, and when."""

    def __init__(self):
        reader, self.writer = os.pipe()
        self.chunks, self.line_count = [], 0
        self.thread = threading.Thread(target=self._run, args=(reader,))
        self.thread.start()

    def _run(self, reader):
        while data := os.read(reader, READ_BYTES):
            self.chunks.append((time.monotonic(), data))
            self.line_count += data.count(b'"user.saved"')
        os.close(reader)

    def close(self):
        """After its writers have ended."""
        os.close(self.writer)
        self.thread.join()

    def moments(self):
        """When the line of each save was complete, by the save's number."""
        found, rest = {}, b""
        for moment, data in self.chunks:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                number = ID.search(line)
                if number and b'"user.saved"' in line:
                    found.setdefault(int(number.group(1)), moment)
        return found


def offer(port, rate, seconds, key):
    done = subprocess.run([GENERATOR, str(port), str(rate), str(seconds), str(CONNECTIONS), key],
                          stdout=subprocess.PIPE, text=True, check=True, timeout=seconds + 60)
    result = json.loads(done.stdout)
    if result["accepted"]["count"] != round(rate * seconds) or result["most_behind_ms"] > 1000:
        raise RuntimeError("not every save was accepted, or sent in time: %s" % result)
    return result


def time_run(url, consumer, rate, seconds):
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(contextlib.closing(targets.UserService(queue=QUEUE)))
        service.start(url)
        pipe = stack.enter_context(contextlib.closing(Pipe()))
        stack.enter_context(contextlib.closing(consumer))
        consumer.start(url, pipe.writer)
        offer(service.port, rate, WARM_UP_SECONDS, "warm-")
        result = offer(service.port, rate, seconds, KEY)
        count = round(rate * WARM_UP_SECONDS) + round(rate * seconds)
        wait_until(lambda: pipe.line_count >= count, 30, "every line")
    moments = pipe.moments()
    times = sorted((moments[number] - result["begin_us"] / 1e6 - number / rate) * 1e3
                   for number in range(round(rate * seconds)))
    if times[0] <= 0:
        raise RuntimeError("a line was there before its save was due")
    cuts = statistics.quantiles(times, n=1000)
    return {"reply_p50_ms": result["accepted"]["p50_ms"], "reply_p99_ms": result["accepted"]["p99_ms"],
            "p50_ms": cuts[499], "p99_ms": cuts[989], "p999_ms": cuts[998],
            "behind_ms": result["most_behind_ms"]}


def run(url, options):
    """A row for each consumer: medians over the rounds."""
    runs = {}
    for number in range(1, options.rounds + 1):
        for consumer in consumers.all_consumers(QUEUE, PREFETCH, options.disk, options.memory):
            found = time_run(url, consumer, options.rate, options.latency_seconds)
            runs.setdefault(consumer.name, []).append(found)
            print("latency: %-44s round %d  reply p50 %.2f p99 %.2f, line p50 %.2f p99 %.2f ms" % (
                consumer.name, number, found["reply_p50_ms"], found["reply_p99_ms"],
                found["p50_ms"], found["p99_ms"]), flush=True)
    return [dict({key: statistics.median(one[key] for one in found) for key in found[0]},
                 name=name, rate=options.rate, seconds=options.latency_seconds)
            for name, found in runs.items()]
