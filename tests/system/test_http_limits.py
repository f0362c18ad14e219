"""Slow clients, many connections, no descriptors: a real save goes on meanwhile."""

import os
import resource
import socket
import threading
import time

import pytest

from support.wait import PATIENCE_S, eventually

USER = b'{"name":"Ada"}'
HEAD = b"POST /users/save HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
DRIPS = {
    "request line": b"POST /users/save" + b"e" * 4000,
    "head": HEAD + b"X: " + b"y" * 4000,
    "body": HEAD + b"Content-Length: 4000\r\n\r\n" + b" " * 4000,
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 1000,
    "chunk's extension": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"e" * 4000,
    "trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\ne\r\n" + USER + b"\r\n0\r\nX: " + b"y" * 4000,
}
SHORT = ("--idle-timeout", "2s", "--request-timeout", "2s", "--reply-timeout", "2s")


def connect(service):
    return socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S)


def drip(service, data, begin, results, key):
    """One byte every 50 ms, at least until the deadline; the first 150 at once."""
    with connect(service) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(data[:begin])
        start = time.monotonic()
        got = None
        for i in range(begin, len(data)):
            connection.settimeout(0.05)
            try:
                connection.sendall(data[i:i + 1])
                got = connection.recv(65536)
                break
            except socket.timeout:
                pass
            except OSError as error:
                got = error
                break
            if time.monotonic() - start > 12:
                break
        results[key] = (time.monotonic() - start, got)


def test_who_drips_is_cut_off_while_a_real_client_saves(world):
    service = world.user_service(*SHORT).wait_ready()
    results = {}
    threads = [threading.Thread(target=drip, args=(service, data, 12 if name == "request line" else 150,
                                                   results, (name, i)))
               for name, data in DRIPS.items() for i in range(5)]
    for thread in threads:
        thread.start()
    saved = 0
    while any(thread.is_alive() for thread in threads):
        assert service.save({"name": "Ada"}).status_code == 200
        saved += 1
        time.sleep(0.05)
    assert saved > 5
    assert len(results) == len(threads)
    for (name, _), (seconds, got) in results.items():
        assert got is not None, name + " was never cut off"
        assert 1.5 < seconds < 6, (name, seconds)
        if name in ("body", "chunks", "chunk's extension", "trailers") and isinstance(got, bytes):
            assert got.startswith(b"HTTP/1.1 408 ") or got == b"", (name, got)
    assert service.metric('http_timeouts_total{wait="body"}') == 20
    assert service.metric('http_timeouts_total{wait="head"}') >= 10
    assert world.count() == saved


def test_who_does_not_read_is_cut_off(world):
    service = world.user_service(*SHORT).wait_ready()
    with connect(service) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 100
        deadline = time.monotonic() + 15
        while service.metric('http_timeouts_total{wait="reply"}') == 0:
            assert time.monotonic() < deadline, "a client that reads nothing is served for ever"
            try:
                connection.send(request)
            except BlockingIOError:
                time.sleep(0.05)
            except ConnectionResetError:
                break
    assert service.metric('http_timeouts_total{wait="reply"}') == 1
    assert service.save({"name": "Ada"}).status_code == 200


def test_a_save_that_waits_is_no_slow_client(world):
    """Its deadline is the confirm's; the connection's own ones are shorter here."""
    service = world.user_service("--idle-timeout", "1s", "--request-timeout", "1s", "--reply-timeout", "1s",
                                 "--confirm-timeout", "4s", "--outbox", "off").wait_ready()
    world.broker.freeze()
    try:
        begin = time.monotonic()
        reply = service.save({"name": "Ada"})
        assert reply.status_code in (503, 504) and time.monotonic() - begin > 3, reply.text
    finally:
        world.broker.thaw()


def test_bodies_that_arrive_are_bounded_together(world):
    service = world.user_service("--max-receive-bytes", "64KiB").wait_ready()
    slow = []
    for _ in range(3):
        slow.append(connect(service))
        slow[-1].sendall(HEAD + b"Content-Length: 40000\r\n\r\n" + b" " * 20)
    eventually(lambda: service.metric("http_receiving_bytes") >= 60, "they have begun")
    assert service.metric("http_receiving_bytes") < 3000
    # Declared is not arrived: three times 40,000 is more than the limit.
    assert service.save({"name": "Ada", "x": "y" * 30000}).status_code == 200
    for _ in range(39):
        slow[0].sendall(b" " * 1000)
    eventually(lambda: service.metric("http_receiving_bytes") > 39000, "it has arrived")
    reply = service.save({"name": "Ada", "x": "y" * 30000})
    assert reply.status_code == 503 and reply.headers["Retry-After"] == "1"
    assert reply.json()["type"] == "/problems/unavailable"
    slow[2].sendall(b" " * 39980)  # it may come to its end, and is told at the end
    assert slow[2].recv(65536).startswith(b"HTTP/1.1 503 ")
    for connection in slow:
        connection.close()
    eventually(lambda: service.metric("http_receiving_bytes") == 0, "all of it is given back")
    assert service.save({"name": "Ada", "x": "y" * 30000}).status_code == 200


def test_address_limit(world):
    service = world.user_service("--address-connection-limit", "3", "--connection-limit", "40").wait_ready()
    eventually(lambda: served_metric(service, "http_connection_limit") == 40, "the limit as given")
    eventually(lambda: served_metric(service, "http_connections") == 1, "one connection")
    held = []
    # The connection that asked for the metric may be counted a moment longer: one is refused then.
    eventually(lambda: hold_one_more(service, held) == 3, "three connections")
    with connect(service) as one_more:
        assert not is_served(one_more)
    held.pop().close()
    eventually(lambda: can_save(service), "a place again")
    eventually(lambda: served_metric(service, "http_refused_connections_total"), "the refusal is counted")
    for connection in held:
        connection.close()
    eventually(lambda: served_metric(service, "http_connections") == 1, "only this one is left")


def is_served(connection):
    try:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        return connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    except (ConnectionResetError, BrokenPipeError):
        return False


def hold_one_more(service, held):
    connection = connect(service)
    if is_served(connection):
        held.append(connection)
    else:
        connection.close()
    return len(held)


def served_metric(service, name):
    """None where the request for it is refused itself."""
    reply = service.get("/metrics")
    lines = [] if reply is None else reply.text.splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith(name + " ")), None)


def can_save(service):
    try:
        return service.save({"name": "Ada"}).status_code == 200
    except OSError:
        return False


def test_total_limit_lets_clients_wait(world):
    service = world.user_service("--connection-limit", "2", "--idle-timeout", "3s").wait_ready()
    held = [connect(service) for _ in range(2)]
    with connect(service) as waiting:
        waiting.sendall(b"GET /users HTTP/1.1\r\nHost: x\r\n\r\n")
        held.pop().close()
        assert waiting.recv(65536).startswith(b"HTTP/1.1 200 OK")
    held.pop().close()


def cpu_seconds(process):
    with open("/proc/%d/stat" % process.pid, encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_low_limit_of_descriptors_leaves_some_for_the_rest(world):
    """With `nofile` 64 there are 32 connections; the broker, the outbox and the log have the others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    service = world.user_service("--idle-timeout", "2s", wrapper=("prlimit", "--nofile=64"))
    service.wait_ready()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
    assert '"connections":32' in service.log_text() or "connections=32" in service.log_text()
    held = [connect(service) for _ in range(100)]
    before, begin = cpu_seconds(service.process), time.monotonic()
    eventually(lambda: can_save(service), "a save among them")
    share = (cpu_seconds(service.process) - before) / (time.monotonic() - begin)
    assert share < 0.5, "it spins"
    for connection in held:
        connection.close()


@pytest.mark.parametrize("held_connections", [0, 3])
def test_out_of_descriptors_nothing_spins_and_it_recovers(world, held_connections):
    service = world.user_service("--idle-timeout", "60s", "--outbox", "off").wait_ready()
    held = [connect(service) for _ in range(held_connections)]
    eventually(lambda: service.metric("http_connections") == held_connections + 1, "they are in")
    pid = service.process.pid
    # Asking for the metric has closed its own connection meanwhile.
    eventually(lambda: len(sockets_of(service)) == held_connections, "only they are left")
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limit_of(pid)))
    assert limits[0] > 3
    waiting = connect(service)
    waiting.sendall(b"GET /users HTTP/1.1\r\nHost: x\r\n\r\n")
    before, begin = cpu_seconds(service.process), time.monotonic()
    waiting.settimeout(3)
    with pytest.raises(socket.timeout):
        waiting.recv(1)
    share = (cpu_seconds(service.process) - before) / (time.monotonic() - begin)
    assert share < 0.3, "it spins: %.0f%% of a processor" % (100 * share)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    waiting.settimeout(10)
    assert waiting.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert service.save({"name": "Ada"}).status_code == 200
    for connection in held:
        connection.close()
    waiting.close()


def limit_of(pid):
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]


def sockets_of(service):
    """The server's ends of accepted connections."""
    local = "0100007F:%04X" % service.port
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return [row for row in rows if row[1] == local and row[3] in ("01", "08")]
