"""Consuming into each kind of store: SQLite, PostgreSQL with one session-service, PostgreSQL with two.

As in consume.py: the queue is filled first, the runs take turns, and a ratio compares runs of one round. The database
is new for each run and on the disk that SQLite's file is on, and syncs as the service demands.
"""

import contextlib
import os
import shutil
import statistics
import tempfile

import consume
import consumers
from support.postgres import Postgres

PREFETCH = 100
SQLITE, ONE, TWO = "SQLite", "PostgreSQL", "PostgreSQL, shared"
SERVICES = {SQLITE: 1, ONE: 1, TWO: 2}
SETTINGS = ("shared_buffers=256MB", "max_wal_size=4GB")


def _time_run(url, server, name, options):
    database = server.database() if name != SQLITE else None
    try:
        store = database.url() if database else None
        return consume.time_run(url, options.messages, *(
            consumers.SessionService(options.disk, consume.QUEUE, PREFETCH, store) for _ in range(SERVICES[name])))
    finally:
        if database:
            database.drop()


def _rounds(url, server, options):
    runs = {name: [] for name in SERVICES}
    for number in range(1, options.rounds + 1):
        # Each round in another order, so that nobody always comes after the same one.
        turn = number % len(runs)
        for name in [*SERVICES][turn:] + [*SERVICES][:turn]:
            found = _time_run(url, server, name, options)
            runs[name].append(found)
            print("stores: %-20s round %d  %8.0f/s  %5.1f us" % (name, number, found["rate"], found["cpu_us"]),
                  flush=True)
    return runs


def _row(name, runs):
    found = runs[name]
    ratios = [one["rate"] / other["rate"] for one, other in zip(found, runs[SQLITE])]
    return {"name": name, "services": SERVICES[name], "prefetch": PREFETCH,
            "rate": statistics.median(one["rate"] for one in found),
            "rate_ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios),
            "cpu_us": statistics.median(one["cpu_us"] for one in found)}


def run(url, options):
    """A row for each: medians, and the median of the rounds' ratios."""
    load_before = os.getloadavg()[0]
    folder = tempfile.mkdtemp(prefix="bench-postgres-", dir=options.disk)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = stack.enter_context(contextlib.closing(Postgres(directory=folder)))
        server.start(*SETTINGS)
        runs = _rounds(url, server, options)
        version = server.sql("SHOW server_version")[0][0]
    return {"messages": options.messages, "rounds": options.rounds, "load_before": load_before, "nice": os.nice(0),
            "version": version, "rows": [_row(name, runs) for name in SERVICES]}
