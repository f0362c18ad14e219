#!/usr/bin/python3
"""What 10,000 idle and 1,000 dripping connections cost a client that saves: prints its latencies.

Usage: slow_clients.py PORT [--idle N] [--dripping N] [--seconds S]
The service must be running, with --idle-timeout and --request-timeout of more than S seconds where the
connections are to stay. Connections are spread over addresses of 127.0.0.0/8."""

import argparse
import http.client
import multiprocessing
import resource
import select
import socket
import time

HEAD = b"POST /users/save HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BYTES = HEAD + b"Content-Length: 60000\r\n\r\n"
PORTS_OF_AN_ADDRESS = 5000


def connect(port, number):
    connection = socket.socket()
    connection.bind(("127.0.1.%d" % (1 + number // PORTS_OF_AN_ADDRESS), 0))
    connection.settimeout(20)
    connection.connect(("127.0.0.1", port))
    return connection


def hold(port, idle, dripping, ready, stop):
    """Drips a byte a second on each: a third in the head, the rest in the body. Opens again what the
    server has closed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    quiet = [connect(port, i) for i in range(idle)]
    slow = []
    for i in range(dripping):
        slow.append(connect(port, idle + i))
        slow[-1].sendall(HEAD + b"X: y" if i % 3 == 0 else BYTES)
    poll = select.epoll()
    owners = {}
    for number, connection in enumerate(quiet + slow):
        poll.register(connection, select.EPOLLRDHUP | select.EPOLLHUP)
        owners[connection.fileno()] = number
    all_of_them = quiet + slow
    closed = 0
    ready.set()
    while not stop.wait(1.0 if dripping else 0.2):
        for descriptor, _ in poll.poll(0, 20000):
            number = owners.pop(descriptor)
            poll.unregister(descriptor)
            all_of_them[number].close()
            closed += 1
            again = connect(port, number)
            if number >= idle:
                again.sendall(HEAD + b"X: y" if number % 3 == 0 else BYTES)
            all_of_them[number] = again
            poll.register(again, select.EPOLLRDHUP | select.EPOLLHUP)
            owners[again.fileno()] = number
        for connection in all_of_them[idle:]:
            try:
                connection.send(b" ")
            except OSError:
                pass
    print("closed by the server meanwhile: %d" % closed, flush=True)


def measure(port, seconds):
    """One save after the other, for so long: sorted milliseconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        connection.request("POST", "/users/save", b'{"name":"Ada"}', {"Content-Type": "application/json"})
        reply = connection.getresponse()
        reply.read()
        times.append((time.monotonic() - begin) * 1000)
        if reply.status not in (200, 202):
            raise SystemExit("a save was answered %d" % reply.status)
    return sorted(times)


def show(name, times):
    percent = [times[min(len(times) - 1, int(len(times) * p))] for p in (0.5, 0.99, 0.999)]
    print("%-22s %6d saves  p50 %.2f  p99 %.2f  p99.9 %.2f  max %.2f ms"
          % (name, len(times), *percent, times[-1]), flush=True)
    return percent[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--idle", type=int, default=10000)
    parser.add_argument("--dripping", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    quiet = show("quiet", measure(options.port, options.seconds))
    ready, stop = multiprocessing.Event(), multiprocessing.Event()
    holder = multiprocessing.Process(target=hold, args=(options.port, options.idle, options.dripping,
                                                        ready, stop))
    holder.start()
    if not ready.wait(120):
        raise SystemExit("the connections could not be opened")
    loaded = show("with slow clients", measure(options.port, options.seconds))
    stop.set()
    holder.join(60)
    again = show("quiet again", measure(options.port, options.seconds))
    print("p99 with slow clients, of the quiet one before and after: %.2f, %.2f"
          % (loaded / quiet, loaded / again), flush=True)


if __name__ == "__main__":
    main()
