#!/usr/bin/python3
"""Random faults under load, as long as one likes: then all is made good, and the checker judges.

The seed decides which faults come together, when, and for how long. What is done is printed; the same seed
does the same again. Exit status 0: nothing was lost, doubled or made up.
"""

import argparse
import faulthandler
import os
import random
import sys
import threading
import time
import traceback

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]

import table  # noqa: E402
from clients import Clients  # noqa: E402
from stage import Stage, is_root  # noqa: E402
from support.broker import Broker, take_sigterm_for_ctrl_c  # noqa: E402
from support.postgres import MISSING, Postgres  # noqa: E402

AT_ONCE_MAX = 4
LONGEST_FAULT_S = 150


class Deck:
    """Deals faults that do not share what they occupy; each comes once before any comes again."""

    def __init__(self, names, rng):
        self.names, self.rng, self.left = sorted(names), rng, []

    def deal(self):
        occupied, dealt = set(), []
        count = self.rng.randrange(1, AT_ONCE_MAX + 1)
        if not self.left:
            self.left = self.rng.sample(self.names, len(self.names))
        for name in list(self.left):
            if len(dealt) < count and not occupied & table.FAULTS[name][1]:
                self.left.remove(name)
                occupied |= table.FAULTS[name][1]
                dealt.append(name)
        return dealt


class Harm(threading.Thread):
    """One fault, from its beginning until it is made good."""

    def __init__(self, stage, name, seed):
        super().__init__(daemon=True, name=name)
        self.stage, self.rng = stage, random.Random(seed)
        self.failure = None

    def run(self):
        try:
            time.sleep(self.rng.uniform(0, 1))  # the moment is the run's input
            for hold_s in table.FAULTS[self.name][0](self.stage, self.rng):
                time.sleep(hold_s)
        except BaseException as failure:
            self.failure = failure
            traceback.print_exc()


def harm_together(stage, names, seed):
    harms = [Harm(stage, name, "%s/%s" % (seed, name)) for name in names]
    for harm in harms:
        harm.start()
    deadline = time.monotonic() + LONGEST_FAULT_S
    for harm in harms:
        harm.join(max(0, deadline - time.monotonic()))
        if harm.is_alive() or harm.failure is not None:
            raise AssertionError("%s: %s" % (harm.name, harm.failure or "it does not end"))
    for daemon in stage.daemons.values():
        if daemon.process.poll() is not None:
            raise AssertionError("the %s ended by itself with %d: %s" % (
                daemon.name, daemon.process.returncode, daemon.log_text()[-2000:]))


def print_figures(clients, stage, rounds, counts, seconds):
    attempts = stage.attempts
    print("saves: %d attempted, %d answered with success (%d of them 202), %d refused, %d unknown"
          % (attempts.count, clients.ok(), clients.statuses.get(202, 0), attempts.classes["failed"],
             attempts.classes["unknown"]))
    print("replies: " + ", ".join("%s %d" % (s, n) for s, n in sorted(
        clients.statuses.items(), key=lambda item: str(item[0]))))
    print("longest reply %.1f s; longest time without 200 or 202 %.1f s, without 200 %.1f s"
          % (clients.longest_s, clients.longest_gap_s, clients.longest_gap_200_s))
    print("faults: %d of %d kinds in %d rounds and %.0f s" % (
        sum(counts.values()), len(counts), rounds, seconds))
    for name in sorted(counts):
        print("  %4d %s" % (counts[name], name))


def run_rounds(stage, names, seed, minutes):
    rng = random.Random(seed)
    deck, counts, rounds = Deck(names, rng), {}, 0
    begin = time.monotonic()
    while time.monotonic() - begin < minutes * 60:
        rounds += 1
        dealt = deck.deal()
        print("%5.0f s  %s" % (time.monotonic() - begin, " + ".join(dealt)), flush=True)
        harm_together(stage, dealt, "%s/%d" % (seed, rounds))
        for name in dealt:
            counts[name] = counts.get(name, 0) + 1
        if rng.random() < 0.3:  # else the next ones come while it still recovers
            stage.wait_ready()
    return rounds, counts


def run(options, seed):
    is_shared = options.store == table.SHARED_STORE
    if is_shared and MISSING:
        print(MISSING, file=sys.stderr)
        return 2
    names, missing = table.possible(is_shared)
    for name, why in missing.items():
        print("LEFT OUT: %s %s" % (name, why))
    if options.only:
        wanted = options.only.split(",")
        unknown = [name for name in wanted if name not in names]
        if unknown:
            print("cannot do %s here; --list names all faults" % ", ".join(unknown), file=sys.stderr)
            return 2
        names = wanted
    broker, server = Broker(), Postgres() if is_shared else None
    stage = None
    try:
        broker.start()
        store = server.start().database() if is_shared else None
        stage = Stage(broker, build=options.build, users=True, disks=is_root(), store=store)
        # RabbitMQ 3.10 writes down which quorum queues live on a node only now and then; a clean stop does.
        broker.stop()
        broker.start()
        stage.start()
        clients = Clients(stage.user.port, stage.attempts, "seed%s" % seed, connections=options.clients)
        clients.start()
        begin = time.monotonic()
        rounds, counts = run_rounds(stage, names, seed, options.minutes)
        seconds = time.monotonic() - begin
        clients.stop()
        stage.settle()
        print_figures(clients, stage, rounds, counts, seconds)
        status = stage.check(min_ok=100)
        stage.close(keep=options.keep or status != 0)
        stage = None
        return status
    finally:
        if stage is not None:
            stage.close(keep=True)
        broker.close()
        if server is not None:
            server.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.5)
    parser.add_argument("--seed", type=int, help="one of a run before; a new one else")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--build", help="the services' build directory (build)")
    parser.add_argument("--store", choices=["sqlite", table.SHARED_STORE], default="sqlite",
                        help="the session-service's: its file, or a PostgreSQL of this run's own (sqlite)")
    parser.add_argument("--only", metavar="NAME,...", help="these faults alone")
    parser.add_argument("--list", action="store_true", help="names the faults")
    parser.add_argument("--keep", action="store_true", help="keeps the files of a run that is well, too")
    options = parser.parse_args()
    take_sigterm_for_ctrl_c()
    if options.list:
        print("\n".join(table.FAULTS))
        return 0
    seed = options.seed if options.seed is not None else random.randrange(1 << 30)
    print("seed %d (the same again: --seed %d)" % (seed, seed), flush=True)
    faulthandler.dump_traceback_later(options.minutes * 60 + 600, exit=True)
    status = run(options, seed)
    print("seed %d: %s" % (seed, "PASS" if status == 0 else "FAIL"))
    return status


if __name__ == "__main__":
    sys.exit(main())
