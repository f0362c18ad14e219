"""session-service@.service: several session-services on one booted machine, as docs/scaling.md says."""

import json

import pytest
import requests

from support import machine
from support.machine import PORTS, append, read, run, show, write
from support.wait import eventually

PORT = {"2": 3002, "3": 3003}


def unit(name):
    return "session-service@%s.service" % name


def status(port):
    try:
        return requests.get("http://127.0.0.1:%d/readyz" % port, timeout=15).json()["status"]
    except requests.RequestException:
        return None


def handled(name):
    lines = run("journalctl", "--unit", unit(name), "--output", "cat", "--no-pager").splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    return {e["message_id"] for e in events if e["event"] == "user.saved"}


@pytest.fixture(scope="module")
def instances():
    """Two beside the session-service of the package."""
    machine.install(*(machine.package(service) for service in sorted(PORTS)))
    run("systemctl", "enable", "--now", "rabbitmq-server")
    machine.wait_ready()
    for name, port in PORT.items():
        write("/etc/session-service/%s.conf" % name, "listen = 127.0.0.1:%d\n" % port)
        run("systemctl", "enable", "--now", unit(name))
    yield list(PORT)
    run("systemctl", "disable", "--now", *map(unit, PORT), check=False)


def test_systemd_has_nothing_to_say_of_them(instances):
    for name in instances:
        assert run("systemd-analyze", "verify", unit(name)) == ""
        run("systemd-analyze", "security", "--offline=true", "--threshold=13", unit(name))


def test_each_has_a_directory_of_its_own(instances):
    for name in instances:
        folder = "/var/lib/private/session-service-" + name
        assert run("stat", "--format=%a", folder).strip() == "700"
        assert machine.exists(folder + "/session-service.db")
        assert show(unit(name), "StateDirectory") == "session-service-" + name
        assert run("stat", "--format=%u", "/proc/" + show(unit(name), "MainPID")).strip() != "0"


def test_they_stand_by_and_one_takes_over(instances):
    for name in instances:
        eventually(lambda: status(PORT[name]) == "standby", name + " stands by")
    run("systemctl", "stop", "session-service")
    eventually(lambda: "ready" in [status(PORT[name]) for name in instances], "one works")
    reply = run("curl", "-sS", "--max-time", "15", "-d", "name=Ada", "localhost:3000/users/save")
    key = json.loads(reply)["id"]
    eventually(lambda: any(key in handled(name) for name in instances), "it has the user")
    run("systemctl", "start", "session-service")
    eventually(lambda: status(3001) == "standby", "now the first one stands by")


def test_a_reload_takes_the_settings_and_secrets_of_the_instance(instances):
    append("/etc/session-service/2.conf",
           "auth-token-file = /run/credentials/session-service@2.service/file_tokens\n")
    machine.write_secret("/etc/session-service/credentials/tokens", "first-token-of-all\n")
    run("systemctl", "restart", unit("2"))

    def metrics(token):
        return requests.get("http://127.0.0.1:3002/metrics", timeout=15,
                            headers={"Authorization": "Bearer " + token}).status_code

    assert metrics("first-token-of-all") == 200
    machine.write_secret("/etc/session-service/credentials/tokens", "second-token-of-all\n")
    run("systemctl", "reload", unit("2"))
    assert metrics("second-token-of-all") == 200 and metrics("first-token-of-all") == 401
    assert "second-token" not in read("/etc/session-service/3.conf")


def test_an_upgrade_restarts_those_that_run(instances):
    run("systemctl", "stop", unit("3"))
    before = show(unit("2"), "MainPID")
    run("apt-get", "install", "-y", "-q", "--reinstall", machine.package("session-service"), seconds=300)
    assert show(unit("2"), "MainPID") not in ("0", before)
    assert show(unit("3"), "ActiveState") == "inactive"


def test_a_removal_stops_them_and_a_purge_leaves_nothing(instances):
    run("apt-get", "remove", "-y", "-q", "session-service")
    assert show(unit("2"), "ActiveState") == "inactive"
    assert machine.exists("/var/lib/private/session-service-2/session-service.db")
    run("rm", *("/etc/session-service/%s.conf" % name for name in instances))
    run("apt-get", "purge", "-y", "-q", "session-service")
    left = run("find", "/etc", "/var/lib", "-name", "*session-service*").split()
    # Debian's own records of what was enabled are dpkg's business.
    assert [name for name in left if "/deb-systemd-helper-" not in name] == []
    run("systemctl", "daemon-reload")
    run("systemctl", "reset-failed")
    machine.install(machine.package("session-service"))
