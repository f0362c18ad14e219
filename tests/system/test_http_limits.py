"""Slow clients, many connections, no descriptors: a real save goes on meanwhile."""

import contextlib
import os
import resource
import socket
import subprocess
import sys
import threading
import time

import pytest
import requests

from support.preload import preload
from support.wait import PATIENCE_S, eventually

DEADLINE_S = 2
DRIPS_MAX = 1200  # a minute
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


def waits(idle="600s", request="600s", reply="600s"):
    """The deadlines of a connection: the others are far away."""
    return ("--idle-timeout", idle, "--request-timeout", request, "--reply-timeout", reply)


def connect(service):
    return socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S)


def drip(service, data, begin, results, key):
    """One byte every 50 ms, for many times the deadline; the first of them at once."""
    start = time.monotonic()
    with connect(service) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        got = None
        try:
            connection.sendall(data[:begin])
        except OSError as error:
            got = error
        for i in range(begin, min(begin + DRIPS_MAX, len(data))):
            if got is not None:
                break
            connection.settimeout(0.05)
            try:
                connection.sendall(data[i:i + 1])
                got = connection.recv(65536)
            except socket.timeout:
                pass
            except OSError as error:
                got = error
        results[key] = (time.monotonic() - start, got)


def drip_all(service, names, each):
    """While they drip, a real client saves. Returns {(name, number): (seconds, what came)}, and how many saves it were."""
    results, saved = {}, 0
    threads = [threading.Thread(target=drip, args=(service, DRIPS[name], 12 if name == "request line" else 150,
                                                   results, (name, i))) for name in names for i in range(each)]
    for thread in threads:
        thread.start()
    are_dripping = True
    while are_dripping:
        are_dripping = any(thread.is_alive() for thread in threads)
        begin = time.monotonic()
        try:
            status = service.save({"name": "Ada"}).status_code
        except requests.ConnectionError as error:
            status = error
        # Who stands still for longer than the deadline is a slow client too.
        assert status == 200 or time.monotonic() - begin >= DEADLINE_S, status
        saved += status == 200
        time.sleep(0.05)
    assert len(results) == len(threads)
    return results, saved


@pytest.mark.parametrize("wait, names", [("idle", ("request line", "head")),
                                         ("request", ("body", "chunks", "chunk's extension", "trailers"))])
def test_who_drips_is_cut_off_while_a_real_client_saves(world, wait, names):
    """Each deadline is absolute, and only its own: the other one is far away."""
    service = world.patient_user_service(*waits(**{wait: "%ds" % DEADLINE_S})).wait_ready()
    results, saved = drip_all(service, names, 5)
    assert saved > 0
    for (name, _), (seconds, got) in results.items():
        assert got is not None, name + " was never cut off"
        assert seconds > DEADLINE_S / 2, (name, seconds)  # a long turn of the loop makes it earlier
        if wait == "request" and isinstance(got, bytes):
            assert got.startswith(b"HTTP/1.1 408 ") or got == b"", (name, got)
    own, other = ("head", "body") if wait == "idle" else ("body", "head")
    assert metric(service, 'http_timeouts_total{wait="%s"}' % own) >= len(results)
    assert metric(service, 'http_timeouts_total{wait="%s"}' % other) == 0
    assert world.count() == saved


def test_who_does_not_read_is_cut_off(world):
    service = world.patient_user_service(*waits(reply="1s")).wait_ready()
    with connect(service) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 100

        def is_cut_off():
            try:
                connection.send(request)
            except BlockingIOError:
                pass
            except OSError:
                return True
            return service.metric('http_timeouts_total{wait="reply"}') > 0

        eventually(is_cut_off, "a client that reads nothing is not served for ever")
    assert service.metric('http_timeouts_total{wait="reply"}') == 1
    assert service.save({"name": "Ada"}).status_code == 200


def test_a_save_that_waits_is_no_slow_client(world):
    """Its deadline is the confirm's; the connection's own ones are shorter here."""
    service = world.user_service(*waits("1s", "1s", "1s"), "--confirm-timeout", "2s", "--outbox", "off",
                                 "--heartbeat", "600s").wait_ready()

    def answered():
        begin = time.monotonic()
        try:
            reply = service.save({"name": "Ada"})
        except requests.ConnectionError:
            return False  # so it ends each time where a save's wait counts; else where the client stood still
        assert reply.status_code in (503, 504) and time.monotonic() - begin > 1.9, reply.text
        return True

    world.broker.freeze()
    try:
        eventually(answered, "it is answered at its own deadline")
    finally:
        world.broker.thaw()


def test_bodies_that_arrive_are_bounded_together(world):
    service = world.patient_user_service("--max-receive-bytes", "64KiB", *waits()).wait_ready()
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
    assert (reply.json()["type"], reply.json()["reason"]) == ("/problems/unavailable", "too-many-bodies")
    slow[2].sendall(b" " * 39980)  # it may come to its end, and is told at the end
    assert slow[2].recv(65536).startswith(b"HTTP/1.1 503 ")
    # Of data and an end that arrive together the library sees the end only at the deadline, so this one is complete.
    slow[0].sendall(b" " * 980)
    assert slow[0].recv(65536).startswith(b"HTTP/1.1 4")
    for connection in slow:
        connection.close()
    eventually(lambda: service.metric("http_receiving_bytes") == 0, "all of it is given back")
    assert service.save({"name": "Ada", "x": "y" * 30000}).status_code == 200


def test_address_limit(world):
    service = world.patient_user_service("--address-connection-limit", "3", "--connection-limit", "40",
                                         *waits()).wait_ready()
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
    assert metric(service, "http_failed_connections_total") == 0
    for connection in held:
        connection.close()
    eventually(lambda: served_metric(service, "http_connections") == 1, "only this one is left")


def test_a_connection_that_the_library_does_not_take_is_counted(world, tmp_path):
    refuses = tmp_path / "refuses"
    service = world.user_service(environment=preload(tmp_path, "refuse_connections", REFUSE_CONNECTIONS_FILE=str(refuses)))
    assert metric(service, "http_failed_connections_total") == 0
    refuses.touch()
    for _ in range(3):
        with connect(service) as one:
            assert not is_served(one)
    refuses.unlink()
    assert metric(service, "http_failed_connections_total") == 3
    assert metric(service, "http_refused_connections_total") == 0


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


def metric(service, name):
    """Asked again where the request for it was cut off: its client stood still for longer than a deadline."""
    return eventually(lambda: [v for v in [served_metric(service, name)] if v is not None], name)[0]


def can_save(service):
    try:
        return service.save({"name": "Ada"}).status_code == 200
    except OSError:
        return False


def test_total_limit_lets_clients_wait(world):
    service = world.user_service("--connection-limit", "2", *waits()).wait_ready()
    held = [connect(service) for _ in range(2)]
    with connect(service) as waiting:
        waiting.sendall(b"GET /users HTTP/1.1\r\nHost: x\r\n\r\n")
        held.pop().close()
        assert waiting.recv(65536).startswith(b"HTTP/1.1 200 OK")
    held.pop().close()


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Spinner:
    """A process that does nothing else, as the measure of one that spins, whatever else the machine does."""

    def __init__(self, service):
        self.pid = service.process.pid
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        self.before = cpu_seconds(self.pid)
        self.own_before = cpu_seconds(self.process.pid)

    def own(self):
        return cpu_seconds(self.process.pid) - self.own_before

    def share(self):
        """What the service has had in the time in which this one has had half a second, at the least."""
        eventually(lambda: self.own() >= 0.5, "a spinning process spins")
        return (cpu_seconds(self.pid) - self.before) / self.own()

    def close(self):
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def spinning_beside(service):
    spinner = Spinner(service)
    try:
        yield spinner
    finally:
        spinner.close()


def test_a_low_limit_of_descriptors_leaves_some_for_the_rest(world):
    """With `nofile` 64 there are 32 connections; the broker, the outbox and the log have the others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    service = world.patient_user_service(*waits(), wrapper=("prlimit", "--nofile=64"))
    service.wait_ready()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
    assert '"connections":32' in service.log_text() or "connections=32" in service.log_text()
    held = [connect(service) for _ in range(40)]
    with spinning_beside(service) as spinner:
        assert spinner.share() < 0.3, "it spins"
    for _ in range(9):  # eight are waiting, and there is a place for one more
        held.pop(0).close()
    eventually(lambda: can_save(service), "a save among them")
    for connection in held:
        connection.close()


def test_listening_sockets_leave_as_many_for_the_rest(world):
    service = world.user_service(wrapper=("prlimit", "--nofile=64"))
    service.stop()
    listen = ",".join(["127.0.0.1:%d" % service.port] + 15 * ["127.0.0.1:0"])
    service.arguments[service.arguments.index("--listen") + 1] = listen
    service.start().wait_ready()
    assert service.metric("http_connection_limit") == 32 - 15
    assert service.events("http.connection_limit_lowered")[-1]["connections"] == 32 - 15


@pytest.mark.parametrize("held_connections", [0, 3])
def test_out_of_descriptors_nothing_spins_and_it_recovers(world, held_connections):
    service = world.user_service("--confirm-timeout", "60s", "--outbox", "off", *waits()).wait_ready()
    held = [connect(service) for _ in range(held_connections)]
    eventually(lambda: service.metric("http_connections") == held_connections + 1, "they are in")
    pid = service.process.pid
    # Asking for the metric has closed its own connection meanwhile.
    eventually(lambda: len(sockets_of(service)) == held_connections, "only they are left")
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limit_of(pid)))
    assert limits[0] > 3
    waiting = connect(service)
    waiting.sendall(b"GET /users HTTP/1.1\r\nHost: x\r\n\r\n")
    with spinning_beside(service) as spinner:
        share = spinner.share()
    assert share < 0.3, "it spins: %.0f%% of what one that spins gets" % (100 * share)
    waiting.setblocking(False)
    with pytest.raises(BlockingIOError):
        waiting.recv(1)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    waiting.settimeout(PATIENCE_S)
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
