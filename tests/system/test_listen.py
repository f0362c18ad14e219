"""Where a service listens: several addresses, local sockets, and all that a service manager passes."""

import contextlib
import os
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from support.broker import free_port
from support.services import binary
from support.wait import PATIENCE_S, eventually

BOTH = pytest.mark.parametrize("name", ["user-service", "session-service"])


def ask(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(PATIENCE_S)
        client.connect(address)
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return client.recv(1000)


def answers(address):
    return ask(address).startswith(b"HTTP/1.1 200")


@BOTH
def test_a_list_with_a_path(name, world, tmp_path):
    path = str(tmp_path / "socket")
    service = world.service(name)
    addresses = ["127.0.0.1:%d" % service.port, "127.0.0.1:%d" % free_port(), path]
    service.stop()
    service.arguments[service.arguments.index("--listen") + 1] = ", ".join(addresses)
    service.start()
    assert all(answers(a) for a in (("127.0.0.1", service.port), ("127.0.0.1", int(addresses[1][10:])), path))
    assert service.started()["listen"] == ", ".join(addresses)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
    assert service.events("http.refused") == []
    # A client without an address of the network.
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 404")
    assert service.events("http.refused")[-1]["client"] == "local"
    service.kill()
    assert os.path.exists(path)
    service.start()  # what a killed process has left is no obstacle
    assert answers(path)
    second = subprocess.run(
        [binary(name), "--listen", "127.0.0.1:0," + path, "--amqp-url", world.url, "--state-dir", str(tmp_path / "other")],
        stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S)
    assert second.returncode == 1 and path in second.stderr and "in use" in second.stderr
    assert answers(path)
    service.stop()
    assert not os.path.exists(path)


@BOTH
def test_a_socket_that_was_replaced_is_another_process_s(name, world, tmp_path):
    path = str(tmp_path / "socket")
    service = world.service(name)
    service.stop()
    service.arguments[service.arguments.index("--listen") + 1] = "127.0.0.1:%d, %s" % (service.port, path)
    service.start()
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        service.stop()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


@BOTH
def test_both_families_at_one_port(name, world):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip("no IPv6 here: %s" % error)
    service = world.service(name, "--auth", "none")
    service.stop()
    service.arguments[service.arguments.index("--listen") + 1] = "0.0.0.0:%d,[::]:%d" % (service.port, service.port)
    service.start()
    assert answers(("127.0.0.1", service.port)) and answers(("::1", service.port))
    service.stop()


@pytest.mark.parametrize("listen, named", [
    ("127.0.0.1:0,0.0.0.0:0", "--auth none"), ("127.0.0.1:0,nowhere", "nowhere"), ("", "no address"), (",", "no address"),
    ("/" + "x" * 108, "more than 107 bytes"), (",".join(["127.0.0.1:0"] * 17), "more than 16"), ("127.0.0.1", "/PATH")])
def test_a_list_that_is_refused(listen, named):
    result = subprocess.run([binary("user-service"), "--check-config", "--listen", listen], stderr=subprocess.PIPE,
                            text=True, timeout=PATIENCE_S)
    assert result.returncode == 2 and named in result.stderr


def test_a_file_that_is_no_socket_is_left_alone(tmp_path, world):
    path = tmp_path / "file"
    path.write_text("precious")
    result = subprocess.run([binary("user-service"), "--listen", str(path), "--amqp-url", world.url, "--state-dir",
                             str(tmp_path / "state")], stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S)
    assert result.returncode == 1 and "in use" in result.stderr and path.read_text() == "precious"


@BOTH
def test_several_passed_sockets(name, world, tmp_path):
    path = str(tmp_path / "socket")
    listening = [socket.socket(), socket.socket(), socket.socket(socket.AF_UNIX)]
    ports = [free_port(), free_port()]
    for one, port in zip(listening, ports):
        one.bind(("127.0.0.1", port))
    listening[2].bind(path)
    for one in listening:
        one.listen(64)
    addresses = [("127.0.0.1", port) for port in ports] + [path]
    copies = " ".join("%d<&%d" % (10 + i, one.fileno()) for i, one in enumerate(listening))
    script = "exec %s; exec 3<&10 4<&11 5<&12; LISTEN_FDS=3 LISTEN_PID=$$ exec \"$@\"" % copies

    def run():
        process = subprocess.Popen(
            ["bash", "-c", script, "bash", binary(name), "--queue", world.queue, "--listen", "127.0.0.1:1", "--state-dir",
             str(tmp_path / "state")], pass_fds=[one.fileno() for one in listening], stderr=subprocess.DEVNULL,
            env=dict(os.environ, AMQP_URL=world.url))
        world.closers.append(process.kill)
        return process

    process = run()
    assert all(answers(address) for address in addresses)
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    # They are the manager's: nothing is refused meanwhile, and the next process answers.
    got = []
    waiting = [threading.Thread(target=lambda a=address: got.append(answers(a))) for address in addresses]
    for one in waiting:
        one.start()
    process = run()
    for one in waiting:
        one.join(PATIENCE_S)
    assert got == [True] * 3 and os.path.exists(path)
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    for one in listening:
        one.close()


def watched(process):
    """The descriptors that a process waits for events of."""
    folder = "/proc/%d" % process.pid
    texts = []
    for name in os.listdir(folder + "/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if "[eventpoll]" in os.readlink("%s/fd/%s" % (folder, name)):
                texts.append(Path(folder, "fdinfo", name).read_text())
    return {int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("tfd:")}


def test_a_passed_socket_is_not_watched_in_a_drain(world, tmp_path):
    """It stays open with the manager: who connects to it would wake this process without end."""
    with socket.socket() as listening:
        port = free_port()
        listening.bind(("127.0.0.1", port))
        listening.listen(64)
        script = "exec 3<&%d; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"" % listening.fileno()
        process = subprocess.Popen(
            ["bash", "-c", script, "bash", binary("user-service"), "--queue", world.queue, "--state-dir",
             str(tmp_path / "state"), "--request-timeout", "600s", "--drain-timeout", "600s"],
            pass_fds=[listening.fileno()], stderr=subprocess.DEVNULL, env=dict(os.environ, AMQP_URL=world.url))
        world.closers.append(process.kill)
        assert answers(("127.0.0.1", port)) and 3 in watched(process)
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
            client.sendall(b"POST /users/save HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
            process.terminate()
            eventually(lambda: not os.path.exists("/proc/%d/fd/3" % process.pid), "the socket is closed here")
            assert 3 not in watched(process)
            client.sendall(b"{}")
            assert client.recv(1000).startswith(b"HTTP/1.1 4")
        assert process.wait(PATIENCE_S) == 0


def test_the_limit_of_connections_is_that_of_all_addresses(world, tmp_path):
    path = str(tmp_path / "socket")
    service = world.user_service("--connection-limit", "3")
    port = service.port
    service.stop()
    service.arguments[service.arguments.index("--listen") + 1] = "127.0.0.1:%d,%s" % (port, path)
    service.start()
    held = []
    for address in (("127.0.0.1", port), path, path):
        client = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        client.connect(address)
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        held.append(client)
    late = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    late.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    held[0].sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    text = b""
    while chunk := held[0].recv(1 << 20):
        text += chunk
    assert b"\nhttp_connections 3\n" in text
    assert late.recv(1000).startswith(b"HTTP/1.1 200")
    for client in held + [late]:
        client.close()
    eventually(lambda: service.metric("http_connections") == 1, "the others have left")
