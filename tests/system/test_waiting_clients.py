"""Clients whose saves are under way: the library asks about them each turn, and the loop does not spin. Who resets his
connection may be noticed, or not before the reply: his save goes on either way."""

import contextlib
import json
import os
import resource
import socket
import struct
import time

import pytest

from support.wait import PATIENCE_S, eventually

CROWD = 2100  # more than http_deferred.c's POLLED_MAX
NOTHING_S = 1.0  # what must not come would come at once
WATCHED_S = 1.0  # for so long a request is polled


def head(length, key):
    return ("POST /users/save HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nIdempotency-Key: %s\r\n"
            "Content-Length: %d\r\n\r\n" % (key, length)).encode()


def save(key):
    body = json.dumps({"name": "Ada"}).encode()
    return head(len(body), key) + body


def connect(service):
    return socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S)


def known(service):
    """One whose connection has been of use: the library watches it for its end from now on."""
    client = connect(service)
    client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert client.recv(65536).startswith(b"HTTP/1.1 200")
    return client


@contextlib.contextmanager
def frozen(broker):
    broker.freeze()
    try:
        yield
    finally:
        broker.thaw()


def under_way(service, count):
    eventually(lambda: service.metric("user_service_saves_in_flight") == count, "%d saves are under way" % count)


def connections(service, count):
    """Beside the one that asks."""
    eventually(lambda: service.metric("http_connections") == count + 1, "%d connections are open" % count)


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_the_saves_of_those_who_leave_go_on(world, broker):
    user = world.patient_user_service("--outbox", "off").wait_ready()
    clients = [known(user) for _ in range(20)]
    keys = ["key%d" % i for i in range(len(clients))]
    with frozen(broker):
        for client, key in zip(clients, keys):
            client.sendall(save(key))
        under_way(user, len(clients))
        for client in clients[:15]:
            reset(client)
        assert user.metric("user_service_saves_in_flight") == len(clients), "what was sent is waited for"
    for client in clients[15:]:
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    connections(user, 5)
    for client in clients[15:]:
        client.close()
    under_way(user, 0)
    assert sorted(world.get()[1].message_id for _ in keys) == sorted(keys)
    user.stop()


def test_who_only_sends_nothing_more_gets_his_reply(world, broker):
    user = world.patient_user_service("--outbox", "off").wait_ready()
    with frozen(broker), connect(user) as client:
        client.sendall(save("key"))
        client.shutdown(socket.SHUT_WR)
        under_way(user, 1)
        broker.thaw()
        assert client.recv(65536).startswith(b"HTTP/1.1 200")


def test_the_end_waits_for_the_saves_of_those_who_have_left(world, broker):
    user = world.patient_user_service("--outbox", "off", "--drain-timeout", "10m").wait_ready()
    with frozen(broker):
        clients = [known(user) for _ in range(3)]
        for client in clients:
            client.sendall(save("key"))
        under_way(user, 1)  # all have the same key
        reset(clients[0])
        user.signal(15)
        eventually(lambda: user.events("service.draining"), "it ends")
        assert user.process.poll() is None
    for client in clients[1:]:
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    assert user.process.wait(PATIENCE_S) == 0


def processor_s(process):
    with open("/proc/%d/stat" % process.pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_client_in_the_middle_of_his_request_is_no_reason_to_spin(world, broker):
    """The library wants to be called at once as long as a save is under way."""
    user = world.patient_user_service("--outbox", "off", "--request-timeout", "60s").wait_ready()
    body = b'{"name":"Ada","about":"%s"}' % (b"x" * 3000)
    with frozen(broker), connect(user) as waiting, connect(user) as slow:
        waiting.sendall(save("waiting"))
        under_way(user, 1)
        slow.sendall(head(len(body), "slow"))
        begin, used, sent = time.monotonic(), processor_s(user.process), 0
        while time.monotonic() - begin < WATCHED_S:
            slow.sendall(body[sent:sent + 1])
            sent += 1
            time.sleep(0.001)
        used = processor_s(user.process) - used
        print("%.2f s of the processor for %d bytes" % (used, sent))
        assert used < 0.3 * WATCHED_S
        slow.sendall(body[sent:])
        under_way(user, 2)
    assert sorted(world.get()[1].message_id for _ in range(2)) == ["slow", "waiting"]


def test_who_has_left_counts_as_a_connection_until_his_reply(world, broker):
    """Else who comes and leaves again and again would be kept without a bound."""
    user = world.patient_user_service("--outbox", "off", "--connection-limit", "5").wait_ready()
    with frozen(broker):
        for i in range(4):
            client = known(user)
            client.sendall(save("key%d" % i))
            under_way(user, i + 1)
            reset(client)
        with connect(user) as last, connect(user) as beyond:
            last.sendall(save("last"))
            beyond.settimeout(NOTHING_S)
            beyond.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with pytest.raises(socket.timeout):
                beyond.recv(65536)
            broker.thaw()
            beyond.settimeout(PATIENCE_S)
            assert last.recv(65536).startswith(b"HTTP/1.1 200")
            assert beyond.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.fixture
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * CROWD:
        pytest.skip("SKIPPED: a process may not have %d descriptors here" % (2 * CROWD))
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * CROWD), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_than_are_asked_about(world, broker, many_descriptors):
    """Those are suspended; all have their replies."""
    user = world.patient_user_service("--outbox", "off", "--address-connection-limit", "0").wait_ready()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(user)) for _ in range(CROWD)]
        with frozen(broker):
            for i, client in enumerate(clients):
                client.sendall(save("key%d" % i))
            under_way(user, len(clients))
        for client in clients:
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
    under_way(user, 0)
