"""How long from a save to its line in the session-service's log, at a steady rate.

    SERVICES_BUILD_DIR=build python3 tests/bench/latency.py --rate 1000 --seconds 20

Both services and a private broker on this machine. Saves are sent when they are due, whatever became of those
before; the time counts from that moment until the line can be read in the log's file.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from support.broker import Broker  # noqa: E402
from support.services import Service  # noqa: E402

CONNECTIONS = 64
LOOK_SECONDS = 0.0002
LAST_SECONDS = 10
ID = re.compile(rb'"message_id":"(b[0-9]+)"')


class Log:
    """Notes when the line of each message id was first there."""

    def __init__(self, path, loop):
        self.file, self.loop = open(path, "rb"), loop
        self.rest, self.seen = b"", {}

    def look(self):
        data = self.file.read()
        if not data:
            return
        now = self.loop.time()
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            found = ID.search(line)
            if found and b'"outcome":"handled"' in line:
                self.seen.setdefault(found.group(1).decode(), now)


async def save(idle, number, port):
    """One save over a connection that is free; returns its status."""
    reader, writer = await idle.get()
    body = json.dumps({"id": "u%d" % number, "name": "Ada", "email": "a%d@example.org" % number})
    writer.write(("POST /users/save HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nIdempotency-Key: b%d\r\n"
                  "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" %
                  (port, number, len(body), body)).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
    await reader.readexactly(length)
    idle.put_nowait((reader, writer))
    return head.split(b" ", 2)[1]


async def load(port, log_path, rate, seconds):
    loop = asyncio.get_running_loop()
    log = Log(log_path, loop)
    idle = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    begin, count = loop.time() + 0.1, int(rate * seconds)
    due, tasks = {}, []
    while len(tasks) < count:
        while len(tasks) < count and loop.time() >= begin + len(tasks) / rate:
            number = len(tasks)
            due["b%d" % number] = begin + number / rate
            tasks.append(asyncio.ensure_future(save(idle, number, port)))
        log.look()
        await asyncio.sleep(LOOK_SECONDS)
    statuses = await asyncio.gather(*tasks)
    deadline = loop.time() + LAST_SECONDS
    while len(log.seen) < count and loop.time() < deadline:
        log.look()
        await asyncio.sleep(LOOK_SECONDS)
    if set(statuses) != {b"200"} or len(log.seen) != count:
        raise RuntimeError("of %d saves %d were confirmed and %d logged" % (
            count, statuses.count(b"200"), len(log.seen)))
    return [(log.seen[one] - moment) * 1000 for one, moment in due.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--disk", default=tempfile.gettempdir(), help="where the states are")
    options = parser.parse_args()
    broker = Broker().start()
    try:
        for number in range(options.rounds):
            with tempfile.TemporaryDirectory(dir=options.disk) as folder:
                common = ("--amqp-url", broker.url(), "--queue", "latency")
                services = [Service(name, *common, "--state-dir", os.path.join(folder, name))
                            for name in ("session-service", "user-service")]
                try:
                    for service in services:
                        service.start().wait_ready()
                    times = sorted(asyncio.run(load(services[1].port, services[0].log.name,
                                                    options.rate, options.seconds)))
                finally:
                    for service in services:
                        service.close()
            cuts = statistics.quantiles(times, n=1000)
            print("round %d: %d saves at %d/s: p50 %.2f ms, p90 %.2f, p99 %.2f, p99.9 %.2f, most %.2f" %
                  (number + 1, len(times), options.rate, cuts[499], cuts[899], cuts[989], cuts[998],
                   times[-1]), flush=True)
    finally:
        broker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
