"""The name of a broker whose look-up is slow, or that has addresses at which nothing answers."""

import contextlib
import socket

import pytest

from support.broker import free_port
from support.preload import preload
from support.proxy import Proxy
from support.tls import Impostor
from support.wait import eventually

TIMEOUT_MS = 1000
BOTH = pytest.mark.parametrize("scheme", ["amqp", "amqps"])


@pytest.fixture
def connect(world, broker, tmp_path):
    def start(scheme, port, addresses="127.0.0.1", look_up_ms=0, timeout_ms=TIMEOUT_MS):
        url = "%s://guest:guest@localhost:%d/?connection_timeout=%d" % (scheme, port, timeout_ms)
        environment = preload(tmp_path, "look_up", LOOK_UP_NAME="localhost", LOOK_UP_MS=str(look_up_ms),
                              LOOK_UP_ADDRESSES=addresses)
        files = ("--amqp-ca-file", broker.authority.ca, "--amqp-cert-file", broker.client[0],
                 "--amqp-key-file", broker.client[1]) if scheme == "amqps" else ()
        return world.user_service("--outbox", "off", "--amqp-url", url, *files, environment=environment)

    return start


def port_of(broker, scheme):
    return broker.tls_port if scheme == "amqps" else broker.port


@contextlib.contextmanager
def black_hole(address, port):
    """The system drops whoever connects there: the listener's queue is full, and nobody accepts."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            client = sockets.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((address, port))
        yield


@BOTH
def test_a_look_up_is_not_part_of_the_time_to_connect(scheme, connect, broker):
    connect(scheme, port_of(broker, scheme), look_up_ms=2 * TIMEOUT_MS).wait_ready()


@pytest.mark.parametrize("scheme, words", [
    ("amqp", "the port speaks TLS: write amqps:// in the URL"),
    ("amqps", "the port speaks no TLS: write amqp:// in the URL"),
])
def test_the_wrong_port_is_found_after_a_slow_look_up(scheme, words, connect, broker):
    service = connect(scheme, broker.tls_port if scheme == "amqp" else broker.port, look_up_ms=2 * TIMEOUT_MS)
    eventually(lambda: words in service.get("/readyz").json()["detail"], "it says that")


@BOTH
def test_a_refused_connection_is_told_after_a_slow_look_up(scheme, connect):
    service = connect(scheme, free_port(), look_up_ms=2 * TIMEOUT_MS)
    eventually(lambda: "Connection refused" in service.get("/readyz").json()["detail"], "it says that")


@BOTH
def test_a_dead_address_leaves_time_for_the_next(scheme, connect, broker, world):
    """The first two drop what they get, as a firewall does; the third refuses; the last is the broker's."""
    proxy = Proxy(port_of(broker, scheme))
    world.closers.append(proxy.close)
    with black_hole("127.0.0.2", proxy.port), black_hole("127.0.0.3", proxy.port):
        service = connect(scheme, proxy.port, "127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.1", timeout_ms=6000)
        service.wait_ready()
        assert service.events("broker.connecting_failed") == []


@BOTH
def test_where_all_addresses_are_dead_it_says_so(scheme, connect):
    port = free_port()
    with black_hole("127.0.0.2", port), black_hole("127.0.0.3", port):
        service = connect(scheme, port, "127.0.0.2,127.0.0.3")
        failures = eventually(lambda: service.events("broker.connecting_failed"), "it fails")
        assert "timed out" in failures[0]["error"]


def test_tls_is_about_the_name_and_not_the_address(connect, broker, world):
    """A router of several brokers sends a connection on by the name, and the certificate has the name alone."""
    impostor = Impostor(*broker.authority.issue("named-" + world.queue, "DNS:localhost", 1))
    world.closers.append(impostor.close)
    names = []
    impostor.context.sni_callback = lambda connection, name, context: names.append(name)
    connect("amqps", impostor.port)
    eventually(lambda: impostor.trusted >= 1, "the certificate is trusted")
    assert set(names) == {"localhost"}
