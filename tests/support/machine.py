"""The booted machine that scripts/test-machines.sh has prepared: commands, units, the journal."""

import json
import os
import shutil
import subprocess

import requests

from support.wait import wait_until

PORTS = {"user-service": 3000, "session-service": 3001}
ROOT = os.environ.get("MACHINE_ROOT", "")
ENVIRONMENT = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8",
               "DEBIAN_FRONTEND=noninteractive"]


def run(*command, seconds=120, check=True):
    """Standard output and error of a command in the machine."""
    result = subprocess.run(
        ["nsenter", "--target", os.environ["MACHINE_LEADER"], "--all", "/usr/bin/env", "-i",
         *ENVIRONMENT, *command], timeout=seconds, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if check and result.returncode != 0:
        raise AssertionError("%s: %s" % (" ".join(command), result.stdout))
    return result.stdout


def succeeds(*command, seconds=120):
    """Whether a command in the machine ends with 0."""
    return run("sh", "-c", '"$@" >/dev/null 2>&1; echo "exit $?"', "sh", *command, seconds=seconds).endswith("exit 0\n")


def write(name, text):
    with open(path(name), "w") as file:
        file.write(text)


def path(name):
    """Of a file of the machine, as it is here."""
    return ROOT + name


def exists(name):
    return os.path.lexists(path(name))


def read(name):
    with open(path(name)) as file:
        return file.read()


def append(name, text):
    with open(path(name), "a") as file:
        file.write(text)


def write_secret(name, text):
    with open(os.open(path(name), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def package(service):
    """The path of its package in the machine."""
    found = [n for n in os.listdir(path("/packages")) if n.startswith(service + "_0.1.0_")]
    assert len(found) == 1, found
    return "/packages/" + found[0]


def install(*packages):
    return run("apt-get", "install", "-y", "-q", "-o", "Dpkg::Options::=--force-confold",
               *packages, seconds=300)


def show(unit, name):
    return run("systemctl", "show", "--value", "--property", name, unit).strip()


def override(unit, text):
    """As `systemctl edit` does it; takes force with the unit's next start."""
    folder = path("/etc/systemd/system/%s.d" % unit)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "override.conf"), "w") as file:
        file.write(text)
    run("systemctl", "daemon-reload")


def end_override(unit):
    shutil.rmtree(path("/etc/systemd/system/%s.d" % unit))
    run("systemctl", "daemon-reload")


def get(service, where, token=None):
    """None where there is nobody to answer."""
    headers = {"Authorization": "Bearer " + token} if token else None
    try:
        return requests.get("http://127.0.0.1:%d%s" % (PORTS[service], where), headers=headers,
                            timeout=5).status_code
    except requests.RequestException:
        return None


def is_ready(service, token=None):
    """Not so while the user-service's saves only go to its outbox."""
    headers = {"Authorization": "Bearer " + token} if token else None
    try:
        reply = requests.get("http://127.0.0.1:%d/readyz" % PORTS[service], headers=headers, timeout=5)
    except requests.RequestException:
        return False
    return reply.status_code == 200 and reply.json()["status"] == "ready"


def wait_ready(*services, token=None, seconds=240):
    for service in services or PORTS:
        wait_until(lambda: is_ready(service, token), seconds, service + " is ready")


def journal(service):
    """What a service has logged, as objects; what systemd says of it is left out."""
    lines = run("journalctl", "--unit", service, "--output", "cat", "--no-pager",
                "SYSLOG_IDENTIFIER=" + service).splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def handled_ids():
    return {e["message_id"] for e in journal("session-service") if e["event"] == "user.saved"}


def wait_all_handled(load, seconds=240):
    """Each user that was answered with 200 is in the session-service's journal."""
    wait_until(lambda: set(load.ok) <= handled_ids(), seconds, "each saved user is in the journal")
