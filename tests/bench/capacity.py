"""Measures what one user costs each part: processor, disk, network, and what is stored of it.

scripts/bench.sh --capacity runs it, and writes docs/capacity.json and the tables of docs/capacity.md, which
capacity_model.py computes from it.
"""

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import capacity_model  # noqa: E402
import machine_facts  # noqa: E402
import measure  # noqa: E402
from capacity_model import EMBEDDED, SHARED  # noqa: E402
from support.broker import Broker, take_sigterm_for_ctrl_c  # noqa: E402
from support.load import Load  # noqa: E402
from support.proxy import Proxy, end  # noqa: E402
from support.services import Service, binary  # noqa: E402
from support.wait import eventually, wait_until  # noqa: E402

CATCH_UP_SECONDS = 600
NETWORK_USERS = 2000
STORED_USERS = 20000
HANDLED = 'session_service_deliveries_total{outcome="%s"}'


class CountingProxy(Proxy):
    """Counts the bytes of both directions, without those of TCP and IP."""

    def __init__(self, target_port):
        self.counted, self.lock = 0, threading.Lock()
        super().__init__(target_port)

    def _pump(self, source, sink, from_client):
        try:
            while data := source.recv(65536):
                with self.lock:
                    self.counted += len(data)
                sink.sendall(data)
        except OSError:
            pass  # an end has left
        end(source)
        end(sink)


class Processes:
    """What those of one part have used: seconds of a processor, and bytes that were to be written to a disk."""

    def __init__(self, pids):
        self.pids = pids  # returns them as they are now

    def read(self):
        seconds, written = 0.0, 0
        for number, pid in enumerate(self.pids()):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                seconds += measure.cpu_seconds(pid) + (ended_children_seconds(pid) if number == 0 else 0)
                with open("/proc/%d/io" % pid) as file:
                    written += int(re.search(r"^write_bytes: (\d+)", file.read(), re.M).group(1))
        return seconds, written


def ended_children_seconds(pid):
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / measure.TICKS_PER_SECOND


class Stage:
    """A broker, and both services where they are wanted; all state is on the disk."""

    def __init__(self, options, *session_options):
        self.options, self.session_options = options, session_options
        self.stack = contextlib.ExitStack()
        self.number = 0

    def __enter__(self):
        self.folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="capacity-", dir=self.options.disk))
        self.broker = Broker(os.path.join(self.folder, "broker")).start()
        self.stack.callback(self.broker.close)
        self.beam = next(pid for pid, name in self.broker._pids() if name.startswith("beam"))
        return self

    def __exit__(self, *unused):
        self.stack.close()

    def service(self, name, *arguments, broker_port=None):
        self.number += 1
        state = os.path.join(self.folder, "state-%d" % self.number)
        os.mkdir(state)
        url = "amqp://guest:guest@127.0.0.1:%d/" % (broker_port or self.broker.port)
        service = Service(name, "--state-dir", state, *arguments, environment={"AMQP_URL": url}).start()
        service.folder = state
        self.stack.callback(service.close)
        return service

    def user_service(self, *arguments, **options):
        return self.service("user-service", *arguments, **options).wait_ready()

    def session_service(self, *arguments, **options):
        return self.service("session-service", *self.session_options, *arguments, **options).wait_ready()

    def wrk(self, port, seconds, prefix):
        command = ["wrk", "-t1", "-c%d" % self.options.connections, "-d%.0f" % seconds, "--timeout", "10s", "-s",
                   os.path.join(HERE, "users.lua"), "http://127.0.0.1:%d/users/save" % port, "--",
                   str(self.options.user_bytes), prefix]
        out = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, timeout=seconds + measure.WRK_EXTRA_SECONDS)
        found = re.search(r"^RESULT (.*)$", out.stdout, re.M)
        if out.returncode != 0 or found is None:
            raise RuntimeError(out.stdout)
        result = json.loads(found.group(1))
        if result["refused"] + result["failed"] > 0:
            raise RuntimeError("not all were saved: %s" % result)
        return result


def handled(session, outcome="handled"):
    return session.metric(HANDLED % outcome)


def confirmed(user):
    """What wrk has sent and not read an answer to is saved too."""
    return user.metric('user_service_saves_total{outcome="confirmed"}')


def through(stage, name, parts):
    """Users from the client to the store, round for round: the coefficients of each part, as lists."""
    user, session = stage.user_service("--confirm-timeout", "60s"), stage.session_service()
    processes = {"user-service": Processes(lambda: [user.process.pid]), "broker": Processes(lambda: [stage.beam]),
                 name: Processes(lambda: [session.process.pid]), **parts}
    found = {one: [] for one in processes}
    stage.wrk(user.port, 2, "warm")
    for number in range(stage.options.rounds):
        wait_until(lambda: handled(session) == confirmed(user), CATCH_UP_SECONDS, "all are handled")
        before, begin = {one: each.read() for one, each in processes.items()}, time.monotonic()
        saved = -confirmed(user)
        sent = stage.wrk(user.port, stage.options.seconds, "round%d" % number)
        wait_until(lambda: handled(session) == confirmed(user), CATCH_UP_SECONDS, "all are handled")
        seconds = time.monotonic() - begin
        saved += confirmed(user)
        for one, each in processes.items():
            cpu, written = (after - earlier for after, earlier in zip(each.read(), before[one]))
            rate = sent["replies"] / sent["seconds"] if one == "user-service" else saved / seconds
            found[one].append({"cpu_us": cpu / saved * 1e6, "disk_bytes": written / saved, "rate": rate})
        print("capacity: %s, round %d: %d users, %.0f/s" % (name, number + 1, saved, saved / seconds), flush=True)
    return found


def medians(rounds):
    return {name: {key: statistics.median(one[key] for one in found) for key in found[0]}
            for name, found in rounds.items()}


def networks(stage):
    """Bytes of both directions for one user, by part."""
    with contextlib.ExitStack() as stack:
        def proxied(port):
            proxy = CountingProxy(port)
            stack.callback(proxy.close)
            return proxy

        publishing, consuming = proxied(stage.broker.port), proxied(stage.broker.port)
        user = stage.user_service("--queue", "network", "--confirm-timeout", "60s", broker_port=publishing.port)
        session = stage.session_service("--queue", "network", broker_port=consuming.port)
        clients = proxied(user.port)
        before = {proxy: proxy.counted for proxy in (publishing, consuming, clients)}
        load = Load(clients.port, 16, NETWORK_USERS, "network").start().join()
        eventually(lambda: handled(session) == len(load.ok) == NETWORK_USERS, "all are handled")
        http, published, consumed = ((proxy.counted - before[proxy]) / NETWORK_USERS
                                     for proxy in (clients, publishing, consuming))
    return {"user-service": http + published, "broker": published + consumed, EMBEDDED: consumed}


def bytes_below(folder):
    return sum(os.stat(os.path.join(place, name)).st_blocks * 512 for place, _, names in os.walk(folder) for name in names)


def fill(stage, port, count, prefix):
    load = Load(port, 16, count, prefix).start().join(CATCH_UP_SECONDS)
    if len(load.ok) != count:
        raise RuntimeError("not all were saved: %s" % load.statuses)


def size_of(service):
    """The pages of its database that are in use, with what is still in the log."""
    import sqlite3
    with contextlib.closing(sqlite3.connect(os.path.join(service.folder, service.name + ".db"))) as database:
        pages, unused, size = (database.execute("PRAGMA " + name).fetchone()[0]
                               for name in ("page_count", "freelist_count", "page_size"))
    return (pages - unused) * size


def stored(stage):
    """Bytes for each of many, in files that hold nothing else."""
    count, found = STORED_USERS, {}
    session = stage.session_service("--queue", "stored")
    publish = stage.service("user-service", "--queue", "stored", "--confirm-timeout", "60s").wait_ready()
    empty = size_of(session)
    stage_users(publish, session, count, "a", 1)
    first = size_of(session)
    stage_users(publish, session, count, "a", 2)
    second = size_of(session)
    found["a message id in the store"] = (second - first) / count
    found["a user in the store, without his message ids"] = (first - empty) / count - found["a message id in the store"]
    session.stop()
    waiting = stage.service("user-service", "--queue", "waiting", "--confirm-timeout", "60s").wait_ready()
    data = os.path.join(stage.folder, "broker", "data")
    before = bytes_below(data)
    fill(stage, waiting.port, count, "waiting")
    found["a message that waits in the queue"] = (bytes_below(data) - before) / count
    away = stage.service("user-service", "--amqp-url", "amqp://guest:guest@127.0.0.1:1/")
    before = size_of(away)
    fill(stage, away.port, count, "away")
    found["a save that waits in the outbox"] = (size_of(away) - before) / count
    return found


def stage_users(user, session, count, prefix, turn):
    """The same users at each turn, each time with other message ids."""
    import http.client
    before = handled(session)

    def run(first):
        connection = http.client.HTTPConnection("127.0.0.1", user.port, timeout=60)
        for number in range(first, count, 16):
            connection.request("POST", "/users/save", json.dumps({"id": "%s-%d" % (prefix, number), "name": "Ada Lovelace",
                                                                  "email": "ada@example.org", "turn": turn}),
                               {"Content-Type": "application/json"})
            if connection.getresponse().read() == b"":
                raise RuntimeError("no reply")
        connection.close()

    threads = [threading.Thread(target=run, args=(first,)) for first in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: handled(session) - before == count, CATCH_UP_SECONDS, "all are handled")


def queue_rate(stage):
    """Saves that one queue takes while nobody consumes."""
    user = stage.user_service("--queue", "alone", "--confirm-timeout", "60s")
    stage.wrk(user.port, 1, "warm")
    rates = [(lambda one: one["replies"] / one["seconds"])(stage.wrk(user.port, stage.options.seconds, "alone%d" % number))
             for number in range(stage.options.rounds)]
    return statistics.median(rates)


def with_postgresql(options):
    """The same way with the shared store; nothing where this build or this machine has none."""
    shown = subprocess.run([binary("session-service"), "--help"], check=True, text=True, stdout=subprocess.PIPE).stdout
    try:
        from support import postgres
    except ImportError:
        postgres = None
    if "--store " not in shown or postgres is None or postgres.MISSING:
        print("SKIPPED: PostgreSQL was NOT measured: this build or this machine has none", flush=True)
        return {}
    server = postgres.Postgres(directory=tempfile.mkdtemp(prefix="capacity-", dir=options.disk)).start()
    try:
        with Stage(options, "--store", server.database().url()) as stage:
            found = medians(through(stage, SHARED, {"PostgreSQL": Processes(server.pids)}))
    finally:
        server.close()
    return {name: found[name] for name in (SHARED, "PostgreSQL")}


def parse(arguments):
    parser = argparse.ArgumentParser(prog="bench.sh --capacity", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of a second: does it run; writes nothing")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--user-bytes", type=int, default=120)
    parser.add_argument("--disk", default="/var/tmp", help="a folder on a disk, for everything that is stored")
    options = parser.parse_args(arguments)
    if options.quick:
        global NETWORK_USERS, STORED_USERS
        options.rounds, options.seconds, NETWORK_USERS, STORED_USERS = 1, 1, 200, 500
    return options


def main(arguments):
    options = parse(arguments)
    take_sigterm_for_ctrl_c()
    result = {"machine": machine_facts.gather(), "load_before": os.getloadavg()[0], "rounds": options.rounds,
              "seconds": options.seconds, "connections": options.connections, "user_bytes": options.user_bytes}
    with Stage(options) as stage:
        parts = medians(through(stage, EMBEDDED, {}))
        for name, value in networks(stage).items():
            parts[name]["network_bytes"] = value
        parts.update(with_postgresql(options))
        result.update(parts=parts, stored=stored(stage), queue_rate=queue_rate(stage))
    print(capacity_model.text(result))
    if not options.quick:
        with open(capacity_model.FIGURES, "w") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
        capacity_model.write(result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
