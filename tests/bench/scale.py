"""What happens when there is more of something: connections, bytes, idle clients, messages that wait, time."""

import contextlib
import socket
import time

import consume
import consumers
import measure
import targets

CONNECTIONS = (1, 16, 64, 512, 4096)
USER_BYTES = (100, 1024, 8192, 60 * 1024)
IDLE_CONNECTIONS = 10000


def _result(target, bench, connections, user_bytes):
    result = measure.run_load(target, bench.beam, connections, bench.options.seconds, 1, user_bytes)
    bench.empty(target.queue)
    print("scale: %d connections, %d bytes: %.0f/s" % (connections, user_bytes, result["rate"]),
          flush=True)
    result.update(connections=connections, user_bytes=user_bytes)
    return result


def by_connections(bench, counts):
    found = []
    for count in counts:
        # A process of its own: resident memory is that of this many connections.
        with contextlib.closing(targets.UserService(queue="bench-scale")) as target:
            found.append(_result(target.start(bench.url), bench, count, bench.options.user_bytes))
    return found


def by_user_bytes(bench, sizes):
    with contextlib.closing(targets.UserService(queue="bench-scale")) as target:
        target.start(bench.url)
        return [_result(target, bench, 64, size) for size in sizes]


def idle(bench, count):
    """Resident memory with so many connections that say nothing, and whether it still saves."""
    options = ["--connection-limit", str(count + 1000), "--idle-timeout", "600s"]
    with contextlib.closing(targets.UserService(queue="bench-scale", options=options)) as target, \
            contextlib.ExitStack() as stack:
        target.start(bench.url)
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", target.port), timeout=10))
        result = measure.wrk(target.port, 1, 1, bench.options.user_bytes)
        bench.empty(target.queue)
        return {"connections": count, "rss_bytes": measure.resident_bytes(target.pid),
                "accepted": result["accepted"]}


def waiting(bench, count):
    """So many messages, each of another user, into a store that outgrows its cache."""
    consumer = consumers.SessionService(bench.options.disk, consume.QUEUE, consume.PREFETCHES[-1])
    found = consume.time_run(bench.url, count, consumer)
    print("scale: %d messages wait: %.0f/s" % (count, found["rate"]), flush=True)
    return dict(found, messages=count, name=consumer.name, prefetch=consumer.prefetch)


def memory(bench, seconds):
    """Resident memory under full load over time; the queue is emptied meanwhile."""
    with contextlib.closing(targets.UserService(queue="bench-scale")) as target:
        target.start(bench.url)
        end = time.monotonic() + seconds
        with measure.MemoryWatch(target.pid) as watch:
            while time.monotonic() < end:
                measure.wrk(target.port, 512, min(20, end - time.monotonic()),
                            bench.options.user_bytes)
                bench.empty(target.queue)
        return {"connections": 512, "samples": watch.samples}


def run(bench, options):
    found = {"connections": by_connections(bench, CONNECTIONS),
             "user_bytes": by_user_bytes(bench, USER_BYTES),
             "idle": idle(bench, IDLE_CONNECTIONS),
             "waiting": waiting(bench, options.waiting_messages)}
    if options.memory_seconds > 0:
        found["memory"] = memory(bench, options.memory_seconds)
    return found
