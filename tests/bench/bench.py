"""The benchmark: our service beside its peers, all runs interleaved, medians in one table.

Use scripts/bench.sh, which builds what this needs.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)

import consume  # noqa: E402
import consume_stores  # noqa: E402
import latency  # noqa: E402
import machine_facts  # noqa: E402
import measure  # noqa: E402
import report  # noqa: E402
import scale  # noqa: E402
import targets  # noqa: E402
from support.broker import Broker, take_sigterm_for_ctrl_c  # noqa: E402

PARTS = ("saves", "consume", "stores", "latency", "scale")
SYSTEM_CALL_SECONDS = 2
USER_BYTES = 95


def beam_pid(broker):
    return next(pid for pid, name in broker._pids() if name.startswith("beam"))


class Bench:
    def __init__(self, options, broker):
        self.options, self.broker = options, broker
        self.beam = beam_pid(broker)
        self.url = broker.url()
        self.runs = []

    def note(self, name, connections, round_number, result):
        result.update(name=name, connections=connections, round=round_number)
        self.runs.append(result)
        print("%-48s %5d connections  round %d  %8.0f/s" % (
            name, connections, round_number, result["rate"]), flush=True)

    def empty(self, queue):
        """What the last run has left must not weigh on the next one."""
        import pika
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            connection.channel().queue_purge(queue)
        except pika.exceptions.ChannelClosedByBroker:
            pass  # nothing has declared it
        finally:
            if connection.is_open:
                connection.close()

    def load(self, target, connections, round_number):
        result = measure.run_load(target, self.beam, connections, self.options.seconds,
                                  self.options.warm_up, self.options.user_bytes)
        self.note(target.name, connections, round_number, result)
        self.empty(target.queue)

    def load_outbox(self, connections, round_number):
        """A new one each time: an outbox that is filled for long is another measurement."""
        with contextlib.closing(targets.UserServiceOutbox(
                report.OUTBOX, "bench-outbox")) as target:
            target.start(self.url)
            self.load(target, connections, round_number)

    def publish_alone(self, alone, in_flight, round_number):
        broker = measure.cpu_seconds(self.beam)
        out = subprocess.run(
            alone.command(self.url, in_flight, self.options.seconds, self.options.user_bytes),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True,
            timeout=self.options.seconds + 60)
        broker = measure.cpu_seconds(self.beam) - broker
        result = json.loads(out.stdout)
        confirmed = max(1, result["confirmed"])
        result.update(accepted=result["confirmed"], refused=0, failed=0,
                      rate=result["confirmed"] / result["seconds"],
                      service_cpu_us=result["cpu_seconds"] / confirmed * 1e6,
                      broker_cpu_us=broker / confirmed * 1e6)
        self.note(alone.name, in_flight, round_number, result)
        self.empty(alone.queue)

    def compare(self):
        """All cases of a round, then the next round: drift hits all alike."""
        with contextlib.ExitStack() as stack:
            running = []
            for connections in self.options.connections:
                for target in self.chosen():
                    stack.enter_context(contextlib.closing(target))
                    running.append((target.start(self.url), connections))
            for round_number in range(1, self.options.rounds + 1):
                # Each round in another order, so that nobody always comes after the same one.
                turn = round_number % len(running)
                for target, connections in running[turn:] + running[:turn]:
                    self.load(target, connections, round_number)
                if self.options.against is None:
                    self.round_without_http(round_number)
            return {target.name: self.system_calls(target, connections)
                    for target, connections in running
                    if connections == self.options.connections[0]}

    def round_without_http(self, round_number):
        for connections in self.options.connections:
            for mode in ("each", "batch"):
                self.publish_alone(targets.PublishAlone(mode), connections, round_number)
        self.load_outbox(self.options.connections[0], round_number)

    def chosen(self):
        if self.options.against is not None:
            return [targets.UserService(),
                    targets.UserService("user-service, the other program", "bench-other",
                                        self.options.against)]
        return [t for t in targets.all_targets()
                if not any(t.name.startswith(w) for w in self.options.without)]

    def system_calls(self, target, connections):
        """On a run of its own: being traced makes a process several times slower."""
        with measure.SystemCalls(target.pid) as calls:
            result = measure.wrk(target.port, connections, SYSTEM_CALL_SECONDS,
                                 self.options.user_bytes)
        self.empty(target.queue)
        accepted = max(1, result["accepted"])
        return {"per_save": calls.total() / accepted,
                "calls": {n: c / accepted for n, c in sorted(
                    calls.counts.items(), key=lambda item: -item[1])[:12]}}


def medians(runs):
    """One row for each case: the median of each figure over the rounds."""
    rows = {}
    for run in runs:
        rows.setdefault((run["name"], run["connections"]), []).append(run)
    found = []
    for (name, connections), group in rows.items():
        row = {"name": name, "connections": connections, "rounds": len(group)}
        for key in report.FIGURES:
            values = [run[key] for run in group if key in run]
            if values:
                row[key] = statistics.median(values)
        rates = [run["rate"] for run in group]
        row["rate_low"], row["rate_high"] = min(rates), max(rates)
        row["refused"] = sum(run["refused"] + run["failed"] for run in group)
        row["accepted"] = sum(run["accepted"] for run in group)
        found.append(row)
    return found


def check(result, options):
    """What --quick is for: that every case ran, gave successes only, and is in the table."""
    problems = []
    rows = result.get("rows", [])
    if "saves" in options.parts:
        services = len(targets.all_targets()) - len(options.without) + 2
        expected = len(options.connections) * services + 1
        if options.against is not None:
            expected = len(options.connections) * 2
        if len(rows) != expected:
            problems.append("%d rows instead of %d" % (len(rows), expected))
    for part, expected in (("consume", 3 * len(consume.PREFETCHES)), ("latency", 3)):
        if part in options.parts and len(result[part]) != expected:
            problems.append("%d rows of %s instead of %d" % (len(result[part]), part, expected))
    problems += ["%s at %d: %s accepted, %s not" % (r["name"], r["connections"], r["accepted"],
                                                    r["refused"])
                 for r in rows if r["accepted"] == 0 or r["refused"] > 0]
    for name, calls in result.get("system_calls", {}).items():
        if calls["per_save"] <= 0:
            problems.append("no system calls were counted for " + name)
    return problems


def parse(arguments):
    parser = argparse.ArgumentParser(prog="bench.sh", description=__doc__)
    parser.add_argument("--quick", action="store_true",
                        help="a second for each case: does it run, does each case give successes")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["saves"],
                        help="saves beside the peers (as without this option); consuming beside amqplib; consuming "
                        "into SQLite and PostgreSQL; how long to the line in the log; 1 to 4096 connections, 100-byte to 60-KiB users, idle connections, "
                        "many messages that wait")
    parser.add_argument("--memory-seconds", type=float, default=0,
                        help="in part scale: watch resident memory under full load for so long")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--warm-up", type=float, default=2)
    parser.add_argument("--connections", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--user-bytes", type=int, default=USER_BYTES)
    parser.add_argument("--messages", type=int, default=100000, help="in the parts consume and stores")
    parser.add_argument("--waiting-messages", type=int, default=1000000, help="in part scale")
    parser.add_argument("--rate", type=int, default=1000, help="saves a second in part latency")
    parser.add_argument("--latency-seconds", type=float, default=20)
    parser.add_argument("--disk", default="/var/tmp", help="a folder on a disk, for stores")
    parser.add_argument("--memory", default="/dev/shm", help="a folder in memory, for stores")
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME",
                        help="leave out peers whose names begin so")
    parser.add_argument("--against", metavar="PROGRAM",
                        help="compare only with another build of the user-service")
    parser.add_argument("--json", metavar="FILE", help="where to write all figures")
    parser.add_argument("--add", action="store_true",
                        help="to what the file of --json has: only the parts of this run are new")
    parser.add_argument("--page", metavar="FILE", help="the page whose figures to replace")
    options = parser.parse_args(arguments)
    if options.add and (options.json is None or "saves" in options.parts):
        parser.error("--add needs --json, and parts other than saves")
    if options.quick:
        options.rounds, options.seconds, options.warm_up = 1, 1, 0
        options.connections = [16]
        options.parts = ["saves", "consume", "stores", "latency"]
        options.messages, options.latency_seconds, options.rate = 20000, 1, 200
    return options


def add_to_file(options, result):
    """What the file has, and the parts of this run in place of its own."""
    with open(options.json) as file:
        found = json.load(file)
    return {**found, **{part: result[part] for part in options.parts}}


def main(arguments):
    options = parse(arguments)
    take_sigterm_for_ctrl_c()
    begin, load_before = time.monotonic(), os.getloadavg()[0]
    broker = Broker().start()
    try:
        bench = Bench(options, broker)
        result = {"machine": machine_facts.gather(), "load_before": load_before,
                  "seconds": options.seconds,
                  "user_bytes": options.user_bytes, "rounds": options.rounds}
        if "saves" in options.parts:
            result["system_calls"] = bench.compare()
            result.update(rows=medians(bench.runs), runs=bench.runs)
        if "consume" in options.parts:
            result["consume"] = consume.run(bench.url, options)
        if "stores" in options.parts:
            result["stores"] = consume_stores.run(bench.url, options)
        if "latency" in options.parts:
            result["latency"] = latency.run(bench.url, options)
        if "scale" in options.parts:
            result["scale"] = scale.run(bench, options)
    finally:
        broker.close()
    result["took_seconds"] = round(time.monotonic() - begin)
    for text in report.texts(result):
        print()
        print(text)
    if options.add:
        result = add_to_file(options, result)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    if options.page:
        report.write_page(result, options.page)
    problems = check(result, options)
    for problem in problems:
        print("FAILED: " + problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
