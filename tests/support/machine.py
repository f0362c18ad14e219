"""The booted machine that scripts/test-machines.sh has prepared: commands, units, the journal."""

import json
import os
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


def install(*packages):
    return run("apt-get", "install", "-y", "-q", "-o", "Dpkg::Options::=--force-confold",
               *packages, seconds=300)


def show(unit, name):
    return run("systemctl", "show", "--value", "--property", name, unit).strip()


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
