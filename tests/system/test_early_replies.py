"""A reply that is sent before all of the request was read reaches a client that writes all of it first."""

import concurrent.futures
import socket
import time

import pytest

from support.wait import PATIENCE_S, eventually

HEAD = b"POST /users/save HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
SMALL, LARGE = 66 * 1000, 1000 * 1000
MANY, AT_ONCE = 1000, 16
LINGER_S, LINGER_BYTES, LINGER_CONNECTIONS = 10, 16 * 1024 * 1024, 1024  # common/http/http_linger.h
TOKEN = "0123456789abcdef0123456789abcdef"
LINGERING = "http_lingering_connections"


def with_length(size, more=b"", head=HEAD):
    return head + more + b"Content-Length: %d\r\n\r\n" % size + b" " * size


def chunked(size):
    chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * (size // 0x1000) + b"0\r\n\r\n"


def connect(service):
    return socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S)


def read_all(connection):
    got = b""
    while True:
        part = connection.recv(65536)
        if not part:
            return got
        got += part


def write_then_read(service, data):
    """What came until the end of the connection; or the error that lost it."""
    with connect(service) as connection:
        try:
            connection.sendall(data)
            return read_all(connection)
        except OSError as error:
            return repr(error).encode()


def replies(service, data, times, at_once=AT_ONCE):
    """{the first line of what came: how often}."""
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        got = list(pool.map(lambda _: write_then_read(service, data), range(times)))
    lines = [one.partition(b"\r\n")[0] for one in got]
    return {line: lines.count(line) for line in set(lines)}


@pytest.fixture(scope="module")
def service(shared_world):
    return shared_world.patient_user_service("--request-timeout", "600s", "--reply-timeout", "600s").wait_ready()


@pytest.mark.parametrize("data", [with_length(SMALL), with_length(LARGE), chunked(LARGE)],
                         ids=["66 KB", "1 MB", "1 MB in chunks"])
def test_each_of_many_clients_gets_its_413(service, data):
    assert replies(service, data, MANY) == {b"HTTP/1.1 413 Content Too Large": MANY}


def test_two_hundred_at_once_get_their_413(service):
    assert replies(service, with_length(LARGE), 400, at_once=200) == {b"HTTP/1.1 413 Content Too Large": 400}


TWO_LENGTHS = with_length(LARGE, b"Content-Length: 3\r\n")
BEHIND = b" " * LARGE


@pytest.mark.parametrize("data, status", [
    pytest.param(TWO_LENGTHS, b"400", id="two lengths"),
    pytest.param(with_length(LARGE, b"Transfer-Encoding: chunked\r\n"), b"400", id="length and coding"),
    pytest.param(with_length(LARGE, b"X\0Y: z\r\n"), b"400", id="a NUL in the head"),
    pytest.param(HEAD + b"Content-Length: x\r\n\r\n" + BEHIND, b"400", id="what the library refuses"),
    pytest.param(HEAD + b"Content-Length: 1000000000000000000000\r\n\r\n" + BEHIND, b"413", id="a length too large for it"),
    pytest.param(HEAD + b"X: " + b"y" * 40000 + b"\r\n\r\n" + BEHIND, b"431", id="a head too large"),
    pytest.param(b"GET /" + b"y" * LARGE, b"414", id="a target too large"),
    pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nx\r\n" + BEHIND, b"400", id="a chunk size that is none"),
    pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\ne\r\n{\"name\":\"Ada\"}\r\n0\r\n\r\n" + BEHIND, b"200",
                 id="what is behind a chunked body"),
    pytest.param(b"GET /users HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + BEHIND, b"200",
                 id="what is behind the last request"),
])
def test_other_early_replies(service, data, status):
    found = replies(service, data, 40, at_once=8)
    assert [line.split()[1] for line in found] == [status], found


def test_too_many_bodies_that_arrive(world):
    service = world.patient_user_service("--max-receive-bytes", "64KiB", "--max-body-bytes", "2MiB").wait_ready()
    found = replies(service, with_length(LARGE), 100)
    assert found == {b"HTTP/1.1 503 Service Unavailable": 100}


def test_refusals_of_a_body_that_was_read(world, tmp_path):
    """401 and 415 are answered behind the body, and the connection goes on; beyond the limit it is 413."""
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN + "\n")
    service = world.patient_user_service("--auth-token-file", str(tokens), "--max-body-bytes", "2MiB")
    known = b"Connection: close\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"
    assert replies(service, with_length(LARGE, b"Connection: close\r\n"), 100) == {b"HTTP/1.1 401 Unauthorized": 100}
    assert replies(service, with_length(LARGE, known, HEAD.replace(b"json", b"xml")), 100) == {
        b"HTTP/1.1 415 Unsupported Media Type": 100}
    assert replies(service, with_length(4 * LARGE), 40) == {b"HTTP/1.1 413 Content Too Large": 40}


def test_of_the_session_service(world):
    service = world.session_service()
    data = b"DELETE /sessions/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % LARGE + b" " * LARGE
    assert replies(service, data, 100) == {b"HTTP/1.1 413 Content Too Large": 100}


def test_who_is_too_slow_gets_his_408_while_he_sends(world):
    service = world.user_service("--request-timeout", "1s").wait_ready()

    def drip(_):
        """Until the reply is there: a byte each 20 ms."""
        with connect(service) as connection:
            connection.sendall(HEAD + b"Content-Length: 60000\r\n\r\n")
            connection.settimeout(0.02)
            got = b""
            while True:
                try:
                    part = connection.recv(65536)
                except socket.timeout:
                    connection.sendall(b" ")
                    continue
                if not part:
                    return got
                got += part

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        for got in pool.map(drip, range(20)):
            assert got.startswith(b"HTTP/1.1 408 Request Timeout\r\n"), got


def test_a_late_body_is_not_saved_behind_its_408(world):
    service = world.user_service("--request-timeout", "1s").wait_ready()
    with connect(service) as connection:
        connection.sendall(HEAD + b"Content-Length: 14\r\n\r\n{\"name\"")
        assert read_all(connection).startswith(b"HTTP/1.1 408 ")
        connection.sendall(b":\"Ada\"}")
    assert service.save().status_code == 200
    assert world.count() == 1


def refused(service):
    """A connection that has its 413, and is not closed on this side."""
    connection = connect(service)
    connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
    assert read_all(connection).startswith(b"HTTP/1.1 413 ")
    return connection


def cut_off(service, bound):
    return service.metric('http_lingering_cut_off_total{bound="%s"}' % bound)


def test_lingering_ends_with_the_client(world):
    service = world.user_service().wait_ready()
    with refused(service):
        eventually(lambda: service.metric(LINGERING) == 1, "it lingers")
        # It is no connection of the limit: only the one that asks is.
        eventually(lambda: service.metric("http_connections") == 1, "it has left its place")
        assert service.metric(LINGERING) == 1
    eventually(lambda: service.metric(LINGERING) == 0, "it has ended")
    assert [cut_off(service, bound) for bound in ("time", "bytes", "connections")] == [0, 0, 0]


def test_lingering_is_bounded_in_time_however_it_drips(world):
    service = world.user_service().wait_ready()
    begin = time.monotonic()
    with refused(service) as connection:
        eventually(lambda: drips_in_vain(connection), "it is cut off")
    assert time.monotonic() - begin > LINGER_S / 2
    assert cut_off(service, "time") == 1 and service.metric(LINGERING) == 0


def drips_in_vain(connection):
    try:
        connection.sendall(b" ")
        return False
    except OSError:
        return True


def test_lingering_is_bounded_in_bytes(world):
    service = world.user_service().wait_ready()
    with refused(service) as connection:
        with pytest.raises(OSError):
            for _ in range(1000):
                connection.sendall(b" " * 1000 * 1000)
    eventually(lambda: cut_off(service, "bytes") == 1, "it is counted")
    assert service.metric(LINGERING) == 0


def test_lingering_is_bounded_in_number(world):
    """The oldest makes room: it has had the most time."""
    service = world.user_service().wait_ready()
    held = [refused(service) for _ in range(LINGER_CONNECTIONS + 1)]
    try:
        # Slow machines reach the bound in time before: what is held now is what counts.
        assert service.metric(LINGERING) <= LINGER_CONNECTIONS
        assert cut_off(service, "connections") + cut_off(service, "time") >= 1
        assert service.save().status_code == 200
    finally:
        for connection in held:
            connection.close()
    eventually(lambda: service.metric(LINGERING) == 0, "all have ended")


def test_a_low_limit_of_descriptors_is_shared(world):
    """With `nofile` 64 there are 32 for connections and those that linger."""
    service = world.patient_user_service(wrapper=("prlimit", "--nofile=64")).wait_ready()
    held = [refused(service) for _ in range(40)]
    assert service.metric(LINGERING) < 32
    assert replies(service, with_length(LARGE), 40, at_once=2) == {b"HTTP/1.1 413 Content Too Large": 40}
    assert service.save().status_code == 200
    for connection in held:
        connection.close()


def test_a_drain_does_not_wait_long_for_who_does_nothing_more(world):
    def is_soon_over():
        service = world.user_service("--drain-timeout", "600s").wait_ready()
        with refused(service):
            begin = time.monotonic()
            service.stop()
            return time.monotonic() - begin < LINGER_S / 2

    eventually(is_soon_over, "it ends before the time of one that lingers is over")
