"""docker-compose on the repository's files: up, down, the containers, their logs."""

import json
import os
import signal
import subprocess
import time

import requests

from support.services import ROOT
from support.wait import wait_until

UP_SECONDS = 600
PORTS = {"user-service": 3000, "session-service": 3001}


def run(*command, seconds=120, check=True):
    result = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=seconds, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check and result.returncode != 0:
        raise AssertionError("%s: %s\n%s" % (" ".join(command), result.stdout, result.stderr))
    return result.stdout


class Compose:
    def __init__(self, *files):
        self.command = ["docker-compose"]
        for file in files:
            self.command += ["-f", file]

    def __call__(self, *arguments, **options):
        return run(*self.command, *arguments, **options)

    def container(self, service):
        ids = self("ps", "-q", service).split()
        assert len(ids) == 1, (service, ids)
        return ids[0]

    def inspect(self, service):
        return json.loads(run("docker", "inspect", self.container(service)))[0]

    def execute(self, service, *command, **options):
        return self("exec", "-T", service, *command, **options)

    def up(self):
        self("up", "--detach", "--build", seconds=UP_SECONDS)
        return self.wait_ready()

    def down(self):
        self("down", "--volumes", "--remove-orphans", seconds=240)

    def wait_ready(self, seconds=60):
        for service in PORTS:
            wait_until(lambda: status(service, "/readyz") == 200, seconds, service + " is ready")
        return self

    def log(self, service):
        """The log's complete lines as objects; every line must be one."""
        return [json.loads(line) for line in run(
            "docker", "logs", self.container(service), seconds=60, check=True).splitlines()]

    def start_attached(self):
        """`docker-compose up` as in a terminal; Ctrl-C signals its process group."""
        return subprocess.Popen(self.command + ["up"], cwd=ROOT, start_new_session=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)


def interrupt(process, seconds):
    """Ctrl-C; how long it took."""
    begin = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    process.wait(seconds)
    return time.monotonic() - begin


def status(service, path):
    """None where there is nobody to answer yet."""
    try:
        return requests.get("http://127.0.0.1:%d%s" % (PORTS[service], path), timeout=5).status_code
    except requests.RequestException:
        return None
