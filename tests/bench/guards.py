"""Sees a slow-down without timing anything: instructions, allocations and system calls for each
save and each delivery, compared with what is recorded in guards.json.

Usage: guards.py [--record] [--only NAME]. What is above its record by more than its tolerance fails;
so does what is far below it, because then the record no longer guards. Counts differ between
compilers and libraries: there is a record for each Debian, and without one nothing is judged.
"""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)

import callgrind  # noqa: E402
import measure  # noqa: E402
import targets  # noqa: E402
from support.broker import Broker  # noqa: E402
from support.services import why_no_release  # noqa: E402

RECORD = os.path.join(HERE, "guards.json")
INSTRUCTIONS = os.path.join(targets.BUILD, "tests", "bench", "instructions")
# These choose their code by the processor, so that a count of one machine says nothing of another.
NOT_JUDGED = ("libc.so", "libc-2", "ld-linux", "ld-2", "libcrypto", "libssl", "libm.so")
# In percent. System calls depend on how many saves happen to share a batch.
TOLERANCES = {"own instructions": 3, "library instructions": 5, "allocations": 3,
              "system calls": 12, "request system calls": 5}
SMALL, LARGE = 250, 1250
DAEMON_SMALL, DAEMON_LARGE = 100, 600
CONNECTIONS, TURNS = 32, 60
SKIPPED = 77  # an exit code
SYSTEM_CALL_RUNS = 3  # a busy machine only adds wake-ups: the least counts
# Of the HTTP side, a fixed number for each request; the others are shared by a batch.
OF_EACH_REQUEST = ("recvfrom", "epoll_ctl", "sendmsg")
USER = b'{"id":"u-000017","name":"Ada Lovelace","email":"ada@example.org","city":"London"}'
REQUEST = (b"POST /users/save HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
           b"Content-Length: %d\r\n\r\n" % len(USER)) + USER


def instructions_of(objects, own):
    judged = {n: c for n, c in objects.items() if not n.startswith(NOT_JUDGED)}
    mine = sum(count for name, count in judged.items() if name == own)
    return mine, sum(judged.values()) - mine


def core(what):
    small, large = (callgrind.run(INSTRUCTIONS, what, str(n)) for n in (SMALL, LARGE))
    objects, allocations = callgrind.per_item(small, large, LARGE - SMALL)
    own, libraries = instructions_of(objects, os.path.basename(INSTRUCTIONS))
    return {"own instructions": own, "library instructions": libraries, "allocations": allocations}


def read_reply(stream):
    length = None
    status = stream.readline()
    while True:
        line = stream.readline()
        if line in (b"\r\n", b""):
            break
        name, value = line.split(b":", 1)
        if name.lower() == b"content-length":
            length = int(value)
    if not status.startswith(b"HTTP/1.1 200") or length is None:
        raise RuntimeError("not a success: %r" % status)
    stream.read(length)


def save_in_turns(port, connections, turns):
    """All connections send, then all read: always the same number at once."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
                   for _ in range(connections)]
        streams = [stack.enter_context(s.makefile("rb")) for s in sockets]
        for _ in range(turns):
            for one in sockets:
                one.sendall(REQUEST)
            for stream in streams:
                read_reply(stream)


class CountedService(targets.UserService):
    """Under callgrind, which writes what it counted when the service has ended."""

    def __init__(self, out):
        super().__init__(queue="guards")
        self.out = out

    def command(self, url):
        return callgrind.command(self.out) + super().command(url)


def count_daemon(url, saves):
    out = os.path.join(targets.BUILD, "bench", "callgrind.%d.out" % saves)
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with contextlib.closing(CountedService(out)) as service:
        service.start(url)
        save_in_turns(service.port, 1, saves)
    counts = callgrind.read(out)
    os.unlink(out)
    return counts


def daemon(url):
    """The whole service, one save at a time."""
    small, large = (count_daemon(url, n) for n in (DAEMON_SMALL, DAEMON_LARGE))
    objects, allocations = callgrind.per_item(small, large, DAEMON_LARGE - DAEMON_SMALL)
    own, libraries = instructions_of(objects, "user-service")
    return {"own instructions": own, "library instructions": libraries, "allocations": allocations}


def system_calls(url):
    with contextlib.closing(targets.UserService(queue="guards")) as service:
        service.start(url)
        save_in_turns(service.port, CONNECTIONS, 2)
        runs = []
        for _ in range(SYSTEM_CALL_RUNS):
            with measure.SystemCalls(service.pid) as calls:
                save_in_turns(service.port, CONNECTIONS, TURNS)
            runs.append(calls)
    calls = min(runs, key=lambda one: one.total())
    saves = CONNECTIONS * TURNS
    print("system calls for each save: " + ", ".join(
        "%s %.2f" % (name, count / saves) for name, count in
        sorted(calls.counts.items(), key=lambda item: -item[1])[:8]))
    return {"system calls": calls.total() / saves,
            "request system calls": sum(calls.counts.get(n, 0) for n in OF_EACH_REQUEST) / saves}


def platform():
    with open("/etc/os-release") as file:
        facts = dict(line.rstrip().split("=", 1) for line in file if "=" in line)
    compiler = subprocess.run(["cc", "-dumpversion"], stdout=subprocess.PIPE, text=True, check=True)
    return "%s %s, gcc %s" % (facts["ID"], facts.get("VERSION_ID", "?").strip('"'),
                              compiler.stdout.strip())


def judge(found, recorded):
    problems = []
    print("%-22s %-22s %12s %12s" % ("", "", "recorded", "found"))
    for name, figures in found.items():
        for what, value in figures.items():
            record = recorded.get(name, {}).get(what)
            tolerance = TOLERANCES[what]
            print("%-22s %-22s %12s %12.2f" % (
                name, what, "none" if record is None else "%.2f" % record, value))
            if record is None:
                problems.append("%s, %s: nothing is recorded" % (name, what))
            elif value > record * (1 + tolerance / 100):
                problems.append("%s, %s: %.2f is more than the recorded %.2f by over %d%%" % (
                    name, what, value, record, tolerance))
            elif value < record * (1 - 2 * tolerance / 100):
                problems.append("%s, %s: %.2f is far less than the recorded %.2f: good, record it "
                                "(--record)" % (name, what, value, record))
    return problems


CORES = {"save, core": "save", "delivery, core": "delivery"}
SERVICES = {"save, daemon": daemon, "save, under load": system_calls}


def gather(only):
    found = {}
    for name, what in CORES.items():
        if only in (None, name):
            found[name] = core(what)
    if any(only in (None, name) for name in SERVICES):
        with contextlib.closing(Broker().start()) as broker:
            for name, count in SERVICES.items():
                if only in (None, name):
                    found[name] = count(broker.url())
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--only", choices=[*CORES, *SERVICES])
    options = parser.parse_args()
    if why_no_release(targets.BUILD):
        sys.exit("guards.py: nothing was counted: " + why_no_release(targets.BUILD))
    with open(RECORD) as file:
        records = json.load(file)
    begin = time.monotonic()
    found = gather(options.only)
    here = platform()
    problems = judge(found, records.get(here, {}))
    print("counted in %.0f s" % (time.monotonic() - begin))
    if options.record:
        records.setdefault(here, {}).update(
            {name: {what: round(value, 3) for what, value in figures.items()}
             for name, figures in found.items()})
        with open(RECORD, "w") as file:
            json.dump(records, file, indent=2, sort_keys=True)
            file.write("\n")
        return 0
    if here not in records:
        print("SKIPPED: NOTHING WAS JUDGED: there is no record for %s (guards.py --record)" % here)
        return SKIPPED
    for problem in problems:
        print("FAILED: " + problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
