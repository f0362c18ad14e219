"""Starts and reloads that cannot be done, under systemd on a booted machine: it gives up, says so, and is easily mended."""

import contextlib
import re
import socket
import threading

import pytest

from support import machine
from support.certificates import Authority
from support.machine import PORTS, append, read, run, show, write
from support.services import ROOT
from support.wait import eventually

SERVICES = sorted(PORTS)
BOTH = pytest.mark.parametrize("service", SERVICES)
SOCKET = "user-service.socket"
TOKEN = "a-token-of-an-example"
STARTS = 200
FAILED_START = "Failed with result 'exit-code'"


def configuration(service):
    return "/etc/%s/%s.conf" % (service, service)


@pytest.fixture(autouse=True, scope="module")
def installed():
    machine.install(*(machine.package(service) for service in SERVICES))
    run("systemctl", "enable", "--now", "rabbitmq-server")
    machine.wait_ready()


@contextlib.contextmanager
def changed(service, text):
    """The options file, with lines more."""
    original = read(configuration(service))
    append(configuration(service), text)
    try:
        yield
    finally:
        write(configuration(service), original)


class Visitors(threading.Thread):
    """Somebody who connects and leaves, again and again."""

    def __init__(self):
        super().__init__(daemon=True)
        self.is_over = threading.Event()
        self.connected = self.refused = 0

    def run(self):
        while not self.is_over.wait(0.01):
            try:
                socket.create_connection(("127.0.0.1", 3000), 5).close()
                self.connected += 1
            except OSError:
                self.refused += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.join()


def count_starts():
    return run("journalctl", "-u", "user-service", "--no-pager", "-o", "cat").count(FAILED_START)


def works_again():
    run("systemctl", "start", "user-service")
    machine.wait_ready("user-service")
    assert show(SOCKET, "ActiveState") == "active" and show(SOCKET, "SubState") == "running"
    assert show("user-service", "Result") == "success"
    # systemd still holds the socket: a restart refuses nobody.
    run("systemctl", "restart", "user-service")
    machine.wait_ready("user-service")


def has_given_up():
    """The service has failed, and the socket is closed: nobody can have it started."""
    return (show("user-service", "ActiveState") == "failed" and show(SOCKET, "ActiveState") in ("inactive", "failed") and
            show("user-service", "Job") == show(SOCKET, "Job") == "")


def test_one_client_of_a_broken_unit_does_not_have_it_started_for_ever():
    with changed("user-service", "confirm-timeout = soon\n"):
        run("systemctl", "stop", "user-service.service")
        before = count_starts()
        socket.create_connection(("127.0.0.1", 3000), 5).close()
        eventually(has_given_up, "systemd gives up")
        assert show("user-service", "Result") == "exit-code" and show("user-service", "ExecMainStatus") == "2"
        assert count_starts() - before == 1
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", 3000), 5).close()
    works_again()


def test_two_hundred_starts_of_a_broken_unit_with_clients():
    """Each is the operator's: nobody else starts it, however many connect meanwhile."""
    with Visitors() as visitors:
        with changed("user-service", "confirm-timeout = soon\n"):
            run("systemctl", "stop", "user-service.service")
            eventually(has_given_up, "systemd gives up")
            before = count_starts()
            for _ in range(STARTS):
                assert not machine.succeeds("systemctl", "start", "user-service.service")
                # One that comes while the socket is still being closed for the last is cancelled with it.
                eventually(has_given_up, "systemd gives up")
            starts, refused = count_starts(), visitors.refused
            eventually(lambda: visitors.refused > refused + 200, "clients go on")
            assert count_starts() == starts, "nobody starts it any more"
            # Who connects between the opening and the closing of the socket does not have it started once more.
            assert starts - before == STARTS
        assert visitors.connected > 0
        works_again()
        connected = visitors.connected
        eventually(lambda: visitors.connected > connected + 100, "clients are served")


def test_a_restart_with_a_broken_setting_among_clients():
    with Visitors():
        with changed("user-service", "confirm-timeout = soon\n"):
            run("systemctl", "restart", "user-service.service", check=False)
            eventually(has_given_up, "systemd gives up")
        works_again()


def test_a_start_that_may_succeed_later_is_tried_on():
    """An address in use: exit status 1, again and again, however many clients wait."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    run("systemctl", "stop", "session-service")
    before = int(show("session-service", "NRestarts"))
    with taken:
        taken.bind(("127.0.0.1", 3001))
        taken.listen()
        run("systemctl", "start", "session-service", check=False)
        eventually(lambda: int(show("session-service", "NRestarts")) > before + 2, "it is tried again")
        eventually(lambda: show("session-service", "ExecMainStatus") == "1", "its exit status")
    machine.wait_ready("session-service")


def test_a_socket_whose_address_is_in_use():
    """systemd gives it up at once, and the service with it. When the address is free, a start works."""
    run("systemctl", "stop", SOCKET, "user-service")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 3000))
        taken.listen()
        assert not machine.succeeds("systemctl", "start", "user-service")
        assert show(SOCKET, "ActiveState") == "failed" and show("user-service", "ActiveState") == "inactive"
    works_again()


def test_a_state_directory_that_cannot_be_created_is_not_tried_again():
    """Exit status 2: an operator has to mend it."""
    with changed("session-service", "state-dir = /var/lib/nowhere/state\n"):
        run("systemctl", "stop", "session-service")
        run("systemctl", "start", "session-service", check=False)
        eventually(lambda: show("session-service", "ActiveState") == "failed", "it has failed")
        assert show("session-service", "ExecMainStatus") == "2" and show("session-service", "NRestarts") == "0"
        assert "create /var/lib/nowhere/state" in run("journalctl", "-u", "session-service", "-n", "10", "--no-pager")
    run("systemctl", "start", "session-service")
    machine.wait_ready("session-service")


@contextlib.contextmanager
def held_by_another(service):
    lock = "/var/lib/private/%s/lock" % service
    run("systemd-run", "--unit=holder", "--property=Type=simple", "sh", "-c", "exec flock %s sleep 600" % lock)
    try:
        eventually(lambda: not machine.succeeds("flock", "--nonblock", lock, "true"), "it is held")
        yield
    finally:
        run("systemctl", "stop", "holder")


def test_the_user_service_gives_up_where_another_process_has_its_directory():
    run("systemctl", "stop", SOCKET, "user-service")
    with held_by_another("user-service"):
        run("systemctl", "start", "user-service", check=False)
        eventually(has_given_up, "systemd gives up")
        assert show("user-service", "ExecMainStatus") == "2" and show("user-service", "NRestarts") == "0"
        assert "is in use by process" in run("journalctl", "-u", "user-service", "-n", "10", "--no-pager")
    works_again()


def test_the_session_service_stands_by_where_another_process_has_its_directory():
    run("systemctl", "stop", "session-service")
    with held_by_another("session-service"):
        run("systemctl", "start", "session-service")
        eventually(lambda: show("session-service", "StatusText").startswith("stand-by: "), "it stands by")
        assert show("session-service", "ActiveState") == "active"
    eventually(lambda: not show("session-service", "StatusText").startswith("stand-by: "), "it takes over")
    machine.wait_ready("session-service")


def test_an_address_in_the_options_that_the_socket_decides_is_told():
    with changed("user-service", "listen = 127.0.0.1:3100\n"):
        run("systemctl", "restart", "user-service")
        machine.wait_ready("user-service")
        told = [e for e in machine.journal("user-service") if e["event"] == "service.listen_unused"]
        assert "127.0.0.1:3100" in told[-1]["reason"] and "127.0.0.1:3000" in told[-1]["reason"]
        checked = run("user-service", "--config", configuration("user-service"), "--check-config")
        assert "listen is 127.0.0.1:3100" in checked and SOCKET in checked and "is valid" in checked
    run("systemctl", "restart", "user-service")
    machine.wait_ready("user-service")


def samples(service):
    """The lines of the sample file that name a file, and with them what must be there."""
    with open("%s/docs/%s.conf" % (ROOT, service)) as file:
        return re.findall(r"(?m)^#((?:[a-z-]+-file) = (.*))$", file.read())


@BOTH
def test_the_files_of_the_sample_can_be_read(service, tmp_path):
    """As the sample names them, and placed as it says: all of them at once."""
    authority = Authority(tmp_path, "ca")
    contents = {"auth-token-file": TOKEN + "\n", "amqp-password-file": "guest\n",
                "amqp-ca-file": open(authority.ca).read(), "amqp-cert-file": open(authority.ca).read(),
                "amqp-key-file": open(authority.ca_key).read()}
    if service == "session-service":
        contents["store-password-file"] = "nobody asks for it without PostgreSQL\n"
    lines = samples(service)
    assert sorted(line.split(" = ")[0] for line, _ in lines) == sorted(contents)
    placed = []
    for line, name in lines:
        loaded = "/run/credentials/%s.service/file_" % service
        is_secret = name.startswith(loaded)
        where = name.replace(loaded, "/etc/%s/credentials/" % service)
        placed.append(where)
        machine.write_secret(where, contents[line.split(" = ")[0]])
        if not is_secret:
            run("chmod", "644", where)
    with changed(service, "".join(line + "\n" for line, _ in lines)):
        run("systemctl", "restart", service)
        machine.wait_ready(service, token=TOKEN)
        assert machine.get(service, "/metrics") == 401
        assert machine.succeeds("systemctl", "reload", service)
    run("rm", *placed)
    run("systemctl", "restart", service)
    machine.wait_ready(service)


@BOTH
def test_a_reload_that_does_not_do_all_fails(service):
    option = {"user-service": "confirm-timeout", "session-service": "session-ttl"}[service]
    run("systemctl", "restart", service)
    machine.wait_ready(service)
    assert machine.succeeds("systemctl", "reload", service)
    assert "reload 1 done: " in show(service, "StatusText")
    pid = show(service, "MainPID")
    for text, word, event in ((option + " = 7s\n", "incomplete", "service.restart_needed"),
                              (option + " = soon\n", "failed", "service.reload_failed")):
        with changed(service, text):
            assert not machine.succeeds("systemctl", "reload", service)
            assert re.search(r"; reload \d %s: .*%s" % (word, option), show(service, "StatusText"))
            assert event in [e["event"] for e in machine.journal(service)][-2:]
            assert show(service, "MainPID") == pid and show(service, "ActiveState") == "active"
            assert "see the status" in run("journalctl", "-u", service, "-n", "10", "--no-pager", "-o", "cat")
    assert machine.succeeds("systemctl", "reload", service)
    assert "reload 4 done: " in show(service, "StatusText")
