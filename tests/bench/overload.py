#!/usr/bin/python3
"""More than can be confirmed, from clients that do not wait for each other: an open loop.

    SERVICES_BUILD_DIR=build tests/bench/overload.py

Measures the capacity (wrk, a closed loop of 64 connections), then offers half of it and twice of it at a fixed
rate. A save's time counts from the moment at which it was due. Generator, service and broker share the machine: where they have no
processor left the generator is late, and what is measured is the machine. --broker-processors 0.4 makes the broker what is scarce, as
on a machine of its own (root; a control group).
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import threading

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]

import measure  # noqa: E402
import targets  # noqa: E402
from support.broker import Broker  # noqa: E402

VARIANTS = ((), ("--overload-latency", "20ms"))
QUEUE = "bench-overload"
PERIOD_US = 10000
GENERATOR = os.path.join(targets.BUILD, "tests", "bench", "open_loop")


@contextlib.contextmanager
def consuming(url):
    """Empties the queue once a second: its length is not what is measured."""
    stop = threading.Event()

    def run():
        import pika
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        while not stop.wait(1):
            channel.queue_purge(QUEUE)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def held_to(processors, pids):
    """The processes have so much of the processors, in periods of 10 ms."""
    if processors is None:
        yield
        return
    one_hierarchy = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    group = os.path.join("/sys/fs/cgroup" if one_hierarchy else "/sys/fs/cgroup/cpu", "bench-overload")
    quota = round(processors * PERIOD_US)
    limits = {"cpu.max": "%d %d" % (quota, PERIOD_US)} if one_hierarchy else {
        "cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota)}
    os.mkdir(group)
    try:
        for name, value in limits.items():
            write(os.path.join(group, name), value)
        for pid in pids:
            write(os.path.join(group, "cgroup.procs"), str(pid))
        yield
    finally:
        for pid in pids:
            write(os.path.join(os.path.dirname(group), "cgroup.procs"), str(pid))
        os.rmdir(group)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def cpu_of_all(target, beam):
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open("/proc/stat") as file:
        busy = sum(int(field) for n, field in enumerate(file.readline().split()[1:9]) if n not in (3, 4))
    return [measure.cpu_seconds(target.pid), measure.cpu_seconds(beam),
            children.ru_utime + children.ru_stime, busy / measure.TICKS_PER_SECOND]


def offer(target, beam, rate, seconds, connections):
    """What came of `rate` saves a second, with the processors' shares."""
    before = cpu_of_all(target, beam)
    with measure.MemoryWatch(target.pid) as watch:
        done = subprocess.run([GENERATOR, str(target.port), str(rate), str(seconds), str(connections)],
                              stdout=subprocess.PIPE, text=True, check=True, timeout=seconds + 60)
    result = json.loads(done.stdout)
    result["cpu"] = [(b - a) / result["seconds"] for a, b in zip(before, cpu_of_all(target, beam))]
    result["rss_mb"] = [bytes_ / 1e6 for _, bytes_ in watch.samples]
    answered = result["accepted"]["count"] + result["refused"]["count"] + result["other"]["count"]
    if answered == 0 or result["unanswered"] or result["broken"] or result["other"]["count"]:
        raise RuntimeError("not every save was answered: %s" % result)
    return result


def say(name, result, rss):
    accepted, refused = result["accepted"], result["refused"]
    total = accepted["count"] + refused["count"]
    print("%s: %.0f/s offered, %.0f/s accepted, p50 %.1f p99 %.1f p99.9 %.1f ms; %.1f%% refused%s; "
          "processors: service %.2f, broker %.2f, generator %.2f, all of the machine %.2f; %d connections busy at the most, generator late by %.1f ms at "
          "the most; RSS %s" % (
              name, total / result["seconds"], accepted["count"] / result["seconds"], accepted["p50_ms"],
              accepted["p99_ms"], accepted["p999_ms"], 100 * refused["count"] / total,
              ", p50 %.1f p99 %.1f ms" % (refused["p50_ms"], refused["p99_ms"]) if refused["count"] else "",
              *result["cpu"], result["most_busy"], result["most_behind_ms"],
              rss), flush=True)


def measure_variant(url, beam, variant, options):
    target = targets.UserService(queue=QUEUE, options=[*variant, "--connection-limit", "16384", "--idle-timeout", "300s"])
    with contextlib.closing(target):
        target.start(url)
        with consuming(url):
            measure.wrk(target.port, 64, 2, 95)
            capacity = measure.wrk(target.port, 64, options.capacity_seconds, 95)
            rate = capacity["accepted"] / capacity["seconds"]
            print("%s: capacity %.0f saves/s (closed loop, 64 connections), p50 %.1f p99 %.1f ms" % (
                " ".join(variant) or "defaults", rate, capacity["p50_ms"], capacity["p99_ms"]), flush=True)
            half = offer(target, beam, rate / 2, options.half_seconds, options.connections)
            say("  half", half, "%.0f MB" % half["rss_mb"][-1])
            twice = offer(target, beam, rate * 2, options.twice_seconds, options.connections)
            rss = twice["rss_mb"]
            third = len(rss) // 3
            say("  twice", twice, "%.0f MB in the first third, %.0f MB in the last" % (
                max(rss[:third]), max(rss[-third:])))
            print("  p99 of what is accepted, at twice the capacity to at half of it: %.1fx" % (
                twice["accepted"]["p99_ms"] / half["accepted"]["p99_ms"]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--half-seconds", type=float, default=20)
    parser.add_argument("--twice-seconds", type=float, default=60)
    parser.add_argument("--capacity-seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=8192)
    parser.add_argument("--broker-processors", type=float, metavar="SHARE")
    parser.add_argument("--variant", type=int, choices=range(len(VARIANTS)), help="this one alone")
    options = parser.parse_args()
    broker = Broker().start()
    try:
        beam = next(pid for pid, name in broker._pids() if name.startswith("beam"))
        variants = VARIANTS if options.variant is None else [VARIANTS[options.variant]]
        with held_to(options.broker_processors, [beam]):
            for variant in variants:
                measure_variant(broker.url(), beam, variant, options)
    finally:
        broker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
