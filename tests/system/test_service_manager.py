"""What a service manager and its operator rely on: readiness, watchdog, sockets, tokens, journal."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest
import requests

from support.broker import free_port
from support.load import FIRST_REQUEST_WAIT_S, SLOW_CLIENT, Load
from support.notify import Manager
from support.proxy import Proxy
from support.services import binary
from support.wait import PATIENCE_S, eventually

BOTH = pytest.mark.parametrize("name", ["user-service", "session-service"])
TOKENS = ["first-token-00000", "second-token-1111"]


@pytest.fixture
def manager():
    one = Manager()
    yield one
    one.close()


def bearer(token):
    return {"Authorization": "Bearer " + token}


@BOTH
def test_ready_status_and_stopping(name, world, broker, manager):
    proxy = Proxy(broker.port)
    world.closers.append(proxy.close)
    service = world.service(name, "--drain-timeout", "70s", "--amqp-url",
                            "amqp://guest:guest@127.0.0.1:%d/" % proxy.port, environment=manager.environment())
    eventually(lambda: manager.told("READY=1"), "it says that it serves")
    eventually(lambda: "STATUS=ready; connected to the broker" in manager.told("STATUS="), "it says that it is connected")
    proxy.refusing = True
    proxy.cut()
    fallen = "degraded" if name == "user-service" else "not ready"
    eventually(lambda: manager.told("STATUS=%s: " % fallen), "it says that it is not")
    proxy.refusing = False
    service.wait_ready()
    service.stop()
    assert manager.told("STOPPING=1")
    # More than --drain-timeout, whatever TimeoutStopSec= is.
    assert manager.told("EXTEND_TIMEOUT_USEC=") == ["EXTEND_TIMEOUT_USEC=90000000"]
    assert not manager.told("WATCHDOG=1")


def test_one_that_stands_by_says_so_and_lives(world, manager):
    """Its watchdog is fed, and its status says for whom it stands by."""
    active = world.session_service().wait_ready()
    world.session_service(environment=manager.environment(WATCHDOG_USEC="1000000"))
    eventually(lambda: manager.told("STATUS=stand-by: another session-service"), "it stands by")
    fed = len(manager.told("WATCHDOG=1"))
    eventually(lambda: len(manager.told("WATCHDOG=1")) > fed + 4, "its watchdog is fed")
    active.stop()
    eventually(lambda: manager.told("STATUS=")[-1] == "STATUS=ready; connected to the broker", "it takes over")


def slow_down(pid, thread):
    """Makes each wait of one thread of a process last longer than any test; ends when it is killed."""
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, task)) as file:
            if file.read().strip() == thread:
                break
    else:
        raise AssertionError("no thread " + thread)
    tracer = subprocess.Popen(
        ["strace", "-q", "-p", task, "-o", "/dev/null", "-e", "trace=poll,epoll_wait,epoll_pwait",
         "-e", "inject=poll,epoll_wait,epoll_pwait:delay_enter=600s"], stderr=subprocess.PIPE)

    def tracer_pid():
        if tracer.poll() is not None:
            pytest.skip("strace may not attach here: " + tracer.stderr.read().decode())
        with open("/proc/%d/task/%s/status" % (pid, task)) as file:
            return "TracerPid:\t0\n" not in file.read()

    eventually(tracer_pid, "strace is attached")
    return tracer


def waits_of_main(pid):
    """How often the main thread has waited: once in each of its turns, and only that is asked of it here."""
    with open("/proc/%d/task/%d/status" % (pid, pid)) as file:
        return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))


class Watched:
    """A service with a manager of its own."""

    def __init__(self, world, name, thread):
        self.thread = thread
        self.manager = Manager()
        world.closers.append(self.manager.close)
        # All of them work, on one queue.
        options = ("--consumer", "shared") if name == "session-service" else ()
        self.service = world.service(name, *options, environment=self.manager.environment(WATCHDOG_USEC="1000000"))
        self.fed = self.turns = 0

    def count(self):
        return len(self.manager.told("WATCHDOG=1"))

    def has_starved(self):
        """The main thread has looked eight times, for twice the watchdog's time, and has had nothing to say."""
        turns, fed = waits_of_main(self.service.process.pid), self.count()
        if fed != self.fed:
            self.fed, self.turns = fed, turns
        return turns >= self.turns + 8


@pytest.mark.parametrize("name, threads", [("user-service", ("http", "publisher", "outbox")),
                                           ("session-service", ("http", "consumer", "sessions"))])
def test_the_watchdog_is_fed_by_the_loops(name, threads, world):
    """One loop hangs, in each process another one: neither the others nor the main thread speak for it."""
    all_watched = [Watched(world, name, thread) for thread in threads]
    for watched in all_watched:
        watched.service.wait_ready()
        eventually(lambda: watched.count() >= 2, "it is fed")
    tracers = []
    try:
        for watched in all_watched:
            tracers.append(slow_down(watched.service.process.pid, watched.thread))
        starved = lambda: [w.thread for w in all_watched if w.has_starved()]
        eventually(lambda: tuple(starved()) == threads, "nobody speaks for a loop that hangs: %s" % (threads,))
    finally:
        for tracer in tracers:
            tracer.kill()
            tracer.wait(PATIENCE_S)
    for watched in all_watched:
        eventually(lambda: watched.count() > watched.fed, "it is fed again")


@BOTH
def test_a_passed_socket(name, world):
    with socket.socket() as listening:
        port = free_port()
        listening.bind(("127.0.0.1", port))
        listening.listen(64)
        service = passed(world, name, listening, port)
        assert requests.get("http://127.0.0.1:%d/healthz" % port, timeout=PATIENCE_S).status_code == 200
        service.terminate()
        assert service.wait(PATIENCE_S) == 0
        # The manager's socket still takes connections, for the next process.
        waiting = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        waiting.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        service = passed(world, name, listening, port)
        assert waiting.recv(100).startswith(b"HTTP/1.1 200")
        waiting.close()
        service.terminate()
        assert service.wait(PATIENCE_S) == 0


@BOTH
@pytest.mark.parametrize("family, address, shown", [
    (socket.AF_INET, "127.0.0.1", "127.0.0.1:%d"), (socket.AF_INET6, "::1", "[::1]:%d")])
def test_the_log_says_where_it_listens(name, world, family, address, shown):
    """Not what --listen says, which a passed socket overrules."""
    with socket.socket(family) as listening, tempfile.TemporaryFile("w+") as log:
        port = free_port()
        try:
            listening.bind((address, port))
        except OSError as error:
            pytest.skip("no such address here: %s" % error)
        listening.listen(64)
        process = passed(world, name, listening, port, "--listen", "127.0.0.1:1", log=log,
                         address=address)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        lines = read_all(log).splitlines()
    started = [json.loads(x) for x in lines if "service.started" in x]
    assert [e["listen"] for e in started] == [shown % port]
    unused = [json.loads(x) for x in lines if "service.listen_unused" in x]
    assert len(unused) == 1 and "127.0.0.1:1 " in unused[0]["reason"] and shown % port in unused[0]["reason"]


@BOTH
def test_a_check_says_that_listen_is_not_used(name, tmp_path):
    """Also where no socket is passed to it, because an operator runs it: then it looks for the unit."""

    def check(*arguments, **environment):
        result = subprocess.run([binary(name), "--check-config", *arguments], text=True, timeout=PATIENCE_S,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=dict(os.environ, **environment))
        assert result.returncode == 0 and "is valid" in result.stdout
        return result.stderr

    folders = {"SYSTEMD_UNIT_PATH": "%s:%s" % (tmp_path / "none", tmp_path)}
    other = ("--listen", "127.0.0.1:1")
    assert check(**folders) == check(*other, **folders) == ""
    unit = tmp_path / (name + ".socket")
    unit.write_text("[Socket]\n")
    warned = check(*other, **folders)
    assert "listen is 127.0.0.1:1 " in warned and str(unit) in warned
    assert check(**folders) == ""
    unit.unlink()
    unit.symlink_to("/dev/null")
    assert check(*other, **folders) == ""


def state_directory(world):
    folder = tempfile.TemporaryDirectory(prefix="state-")
    world.closers.append(folder.cleanup)
    return folder.name


def passed(world, name, listening, port, *arguments, log=subprocess.DEVNULL,
           address="127.0.0.1"):
    """Starts a service as systemd does, and waits until it answers."""
    script = 'exec 3<&%d; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"' % listening.fileno()
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", binary(name), "--queue", world.queue, *arguments],
        pass_fds=[listening.fileno()], stderr=log,
        env=dict(os.environ, AMQP_URL=world.url, STATE_DIRECTORY=state_directory(world)))
    world.closers.append(process.kill)
    eventually(lambda: process.poll() is not None or answers(port, address), name + " answers")
    assert process.poll() is None
    return process


def answers(port, address="127.0.0.1"):
    host = "[%s]" % address if ":" in address else address
    try:
        return requests.get("http://%s:%d/healthz" % (host, port), timeout=PATIENCE_S).status_code == 200
    except requests.RequestException:
        return False


@BOTH
def test_tokens(name, world, tmp_path):
    file = tmp_path / "tokens"
    file.write_text("# who\n" + TOKENS[0] + "\n" + TOKENS[1] + "\n")
    service = world.service(name, "--auth-token-file", str(file))

    def status(path, headers=None, method="GET"):
        return requests.request(method, service.base + path, headers=headers, timeout=PATIENCE_S).status_code

    assert status("/healthz") == 200
    for path in ("/metrics", "/nothing", "/users/save", "/users"):
        refused = requests.get(service.base + path, timeout=PATIENCE_S)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert refused.json()["type"] == "/problems/unauthorized"
        assert status(path, bearer("wrong-token-00000")) == 401
    assert status("/metrics", bearer(TOKENS[0])) == status("/metrics", bearer(TOKENS[1])) == 200
    assert status("/nothing", bearer(TOKENS[0])) == 404

    def reload(event):
        before = len(service.events(event))
        service.signal(signal.SIGHUP)
        eventually(lambda: len(service.events(event)) > before, event)

    file.write_text(TOKENS[1] + "\nthird-token-22222\n")
    reload("service.reloaded")
    assert status("/metrics", bearer(TOKENS[0])) == 401
    assert status("/metrics", bearer(TOKENS[1])) == 200
    assert status("/metrics", bearer("third-token-22222")) == 200
    file.write_text("short\n")
    reload("service.reload_failed")
    assert status("/metrics", bearer(TOKENS[1])) == 200
    assert not any(t in service.log_text() for t in TOKENS + ["short\n", "third-token"])


@BOTH
def test_options_of_a_pipe_are_read_once(world, manager, tmp_path, name):
    """A second reader would wait for ever for another writer. So nothing is known of their changes, and that is said."""
    pipe, tokens = tmp_path / "pipe", tmp_path / "tokens"
    os.mkfifo(pipe)
    tokens.write_text(TOKENS[0] + "\n")
    threading.Thread(target=pipe.write_text, args=("auth-token-file = %s\n" % tokens,), daemon=True).start()
    service = world.service(name, "--config", str(pipe), environment=manager.environment())
    tokens.write_text(TOKENS[1] + "\n")
    service.signal(signal.SIGHUP)
    status = eventually(lambda: [s for s in manager.told("STATUS=") if "; reload 1 " in s], "it says it")[0]
    assert "; reload 1 done: " in status and status.endswith("the options came from a pipe, and cannot be read again"), status
    assert requests.get(service.base + "/metrics", headers=bearer(TOKENS[1]), timeout=PATIENCE_S).status_code == 200


def test_options_that_have_become_a_pipe_cannot_be_reloaded(world, manager, tmp_path):
    options = tmp_path / "options"
    options.write_text("prefetch = 10\n")
    service = world.service("session-service", "--config", str(options), environment=manager.environment())
    options.unlink()
    os.mkfifo(options)
    service.signal(signal.SIGHUP)
    status = eventually(lambda: [s for s in manager.told("STATUS=") if "; reload 1 " in s], "it says it")[0]
    assert "; reload 1 failed: %s is a pipe" % options in status, status


def test_a_reload_says_what_became_of_it(world, manager, tmp_path):
    """In the log and in the status, which systemd/reload reads."""
    tokens, options = tmp_path / "tokens", tmp_path / "options"
    tokens.write_text(TOKENS[0] + "\n")
    options.write_text("prefetch = 10\nauth-token-file = %s\n" % tokens)
    service = world.service("session-service", "--config", str(options), environment=manager.environment())
    eventually(lambda: manager.told("READY=1"), "it serves")
    number = 0

    def reload(word):
        nonlocal number
        number += 1
        service.signal(signal.SIGHUP)
        said = "; reload %d " % number
        status = eventually(lambda: [s for s in manager.told("STATUS=") if said in s], "it says it")[0]
        assert status.split(said)[1].startswith(word + ": "), status
        return status.split(said)[1]

    assert "as before" in reload("done")
    tokens.write_text(TOKENS[0] + "\n" + TOKENS[1] + "\n")
    assert "2" in reload("done")
    tokens.write_text(TOKENS[1] + "\n" + TOKENS[0] + "\n")
    assert "as before" in reload("done")
    assert [(e["tokens"], e["changed"]) for e in service.events("service.reloaded")] == [
        (1, False), (2, True), (2, False)]
    options.write_text("prefetch = 11\nsession-ttl = 31m\nauth-token-file = %s\n" % tokens)
    tokens.write_text(TOKENS[1] + "\n")
    assert "prefetch, session-ttl" in reload("incomplete")
    assert [e["options"] for e in service.events("service.restart_needed")] == ["prefetch, session-ttl"]
    status = requests.get(service.base + "/metrics", headers=bearer(TOKENS[0]), timeout=PATIENCE_S).status_code
    assert status == 401, "the tokens are taken all the same"
    options.write_text("prefetch = many\n")
    assert "prefetch" in reload("failed")
    options.write_text("prefetch = 10\nauth-token-file = %s\n" % tokens)
    tokens.write_text("short\n")
    assert "is not a token" in reload("failed")
    assert len(service.events("service.reload_failed")) == 2
    tokens.write_text(TOKENS[1] + "\n")
    assert "as before" in reload("done")


def test_a_save_needs_a_token(world, tmp_path):
    file = tmp_path / "tokens"
    file.write_text(TOKENS[0] + "\n")
    user = world.patient_user_service("--auth-token-file", str(file))
    eventually(lambda: requests.get(user.base + "/readyz", timeout=PATIENCE_S, headers=bearer(
        TOKENS[0])).json()["status"] == "ready", "ready")
    assert user.save().status_code == 401
    assert world.count() == 0
    assert user.save(**bearer(TOKENS[0])).status_code == 200
    assert world.count() == 1


@BOTH
def test_beyond_loopback_only_with_tokens(name, world, tmp_path):
    file = tmp_path / "tokens"
    file.write_text(TOKENS[0] + "\n")

    def check(*arguments):
        return subprocess.run([binary(name), "--check-config", *arguments], text=True, timeout=PATIENCE_S,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)

    assert check("--listen", "0.0.0.0:0").returncode == 2
    assert check("--listen", "0.0.0.0:0", "--auth-token-file", str(file)).returncode == 0
    assert check("--listen", "0.0.0.0:0", "--auth", "none").returncode == 0
    both = check("--auth", "none", "--auth-token-file", str(file))
    assert both.returncode == 2 and "contradict" in both.stdout
    missing = check("--auth-token-file", str(tmp_path / "none"))
    assert missing.returncode == 2 and "--auth-token-file" in missing.stdout


@BOTH
def test_lines_for_the_journal_begin_with_their_priority(name, world):
    with tempfile.TemporaryFile("w+") as file:
        status = os.fstat(file.fileno())
        stream = "%d:%d" % (status.st_dev, status.st_ino)
        process = subprocess.Popen(
            [binary(name), "--listen", "127.0.0.1:%d" % free_port(), "--amqp-url",
             "amqp://127.0.0.1:1/"], stderr=file,
            env=dict(os.environ, JOURNAL_STREAM=stream, STATE_DIRECTORY=state_directory(world)))
        world.closers.append(process.kill)
        eventually(lambda: "connecting_failed" in read_all(file), "a warning")
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        lines = read_all(file).splitlines()
    for line in lines:
        assert line[:4] == ("<4>{" if '"level":"warning"' in line else "<6>{"), line


@BOTH
def test_why_it_does_not_start_is_an_error_in_the_journal(name):
    with tempfile.TemporaryFile("w+") as file:
        status = os.fstat(file.fileno())
        stream = "%d:%d" % (status.st_dev, status.st_ino)
        for manager, start in ((stream, "<3>" + name + ": "), ("0:0", name + ": ")):
            file.truncate(0)
            result = subprocess.run([binary(name), "--queue-type", "odd"], stderr=file, timeout=PATIENCE_S,
                                    env=dict(os.environ, JOURNAL_STREAM=manager))
            assert result.returncode == 2
            assert read_all(file).lstrip("\0").startswith(start)


def read_all(file):
    return os.pread(file.fileno(), 1 << 20, 0).decode()


def test_saves_wait_for_the_first_connection(world):
    """Who comes just after the start is not refused for it, unless the broker does not answer the first attempt."""
    world.declare()
    statuses = []
    for _ in range(5):
        user = world.patient_user_service()
        reply = user.save()
        assert reply.status_code == 200 or user.events("broker.connecting_failed"), reply.text
        statuses.append(reply.status_code)
        user.stop()
    assert 200 in statuses


def listens(service):
    with open("/proc/net/tcp", encoding="ascii") as file:
        return any(row[1] == "0100007F:%04X" % service.port and row[3] == "0A" for row in map(str.split, file))


@BOTH
def test_who_has_connected_before_the_stop_is_answered(name, world):
    """Also where the request comes after it, within a second."""

    def is_answered():
        service = world.service(name)
        with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S) as connection:
            eventually(lambda: service.metric("http_connections") >= 2, "it is accepted")
            begin = time.monotonic()
            service.signal(signal.SIGTERM)
            eventually(lambda: not listens(service), "the drain has begun")
            got = b""
            try:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                in_time = time.monotonic() - begin < FIRST_REQUEST_WAIT_S
                got = connection.recv(4096)
            except OSError:
                in_time = time.monotonic() - begin < FIRST_REQUEST_WAIT_S
        assert service.process.wait(PATIENCE_S) == 0
        assert got.startswith(b"HTTP/1.1 200 ") or not in_time, got
        return in_time

    eventually(is_answered, "a request that comes in time")


def test_a_restart_behind_a_socket_fails_no_request(world):
    """A new connection for each request, and the socket that stays."""
    world.declare()
    with socket.socket() as listening:
        port = free_port()
        listening.bind(("127.0.0.1", port))
        listening.listen(1024)
        service = passed(world, "user-service", listening, port)
        load = Load(port, 16, 100000, "restart", new_connections=True).start()
        for _ in range(3):
            enough = len(load.ok) + 300
            eventually(lambda: len(load.ok) >= enough, "some saves")
            service.terminate()
            assert service.wait(PATIENCE_S) == 0
            service = passed(world, "user-service", listening, port)
        load.stop()
        load.join()
        # In a drain who has connected is waited for, but not for longer than a second.
        served = {s for s in load.statuses if s != SLOW_CLIENT}
        assert served <= {200, 202} and len(load.ok) > 900, load.statuses
        service.terminate()
        assert service.wait(PATIENCE_S) == 0
