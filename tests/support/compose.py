"""docker-compose on the repository's files: up, down, the containers, their logs."""

import json
import os
import signal
import subprocess
import tempfile
import time

import requests

from support.services import ROOT
from support.wait import eventually, wait_until

UP_SECONDS = 600
PORTS = {"user-service": 3000, "session-service": 3001}


def run(*command, seconds=120):
    result = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=seconds, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if result.returncode != 0:
        raise AssertionError("%s: %s\n%s" % (" ".join(command), result.stdout, result.stderr))
    return result.stdout


class Compose:
    def __init__(self, *files):
        self.files = files
        self.command = ["docker-compose"]
        for file in files:
            self.command += ["-f", file]

    def __call__(self, *arguments, **options):
        return run(*self.command, *arguments, **options)

    def container(self, service):
        label = "label=com.docker.compose."
        ids = run("docker", "ps", "--all", "--quiet", "--filter", label + "service=" + service,
                  "--filter", label + "project=" + os.environ["COMPOSE_PROJECT_NAME"]).split()
        assert len(ids) == 1, (service, ids)
        return ids[0]

    def inspect(self, service):
        return json.loads(run("docker", "inspect", self.container(service)))[0]

    def execute(self, service, *command, **options):
        return run("docker", "exec", self.container(service), *command, **options)

    def up(self):
        self("up", "--detach", "--build", seconds=UP_SECONDS)
        return self.wait_ready()

    def wait_ready(self, seconds=240):
        for service in PORTS:
            wait_until(lambda: is_ready(service), seconds, service + " is ready")
        return self

    def log_text(self, service):
        return subprocess.run(["docker", "logs", self.container(service)], timeout=60, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=True).stdout

    def events(self, service):
        """The log's complete lines as objects; every line must be one."""
        return [json.loads(line) for line in self.log_text(service).split("\n")[:-1]]

    def handled_ids(self):
        return {e["message_id"] for e in self.events("session-service")
                if e["event"] == "user.saved"}

    def wait_all_handled(self, load, seconds=240):
        wait_until(lambda: set(load.ok) <= self.handled_ids(), seconds,
                   "each user that was answered with 200 is in the session-service's log")


class AttachedUp:
    """`docker-compose up` as in a terminal."""

    def __init__(self, compose):
        self.output = tempfile.NamedTemporaryFile(prefix="compose-up-", suffix=".log")
        self.process = subprocess.Popen(
            compose.command + ["up"], cwd=ROOT, start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=self.output, stderr=self.output, env=dict(os.environ, PYTHONUNBUFFERED="1"))
        eventually(lambda: "Attaching to" in self.text(), "docker-compose up is attached")

    def text(self):
        with open(self.output.name, errors="replace") as file:
            return file.read()

    def interrupt(self, seconds):
        """Ctrl-C, which a terminal sends to all of its processes; how long it took."""
        begin = time.monotonic()
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(seconds)
        return time.monotonic() - begin

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.output.close()


def is_ready(service):
    """Not so while the user-service's saves only go to its outbox."""
    try:
        reply = requests.get("http://127.0.0.1:%d/readyz" % PORTS[service], timeout=5)
    except requests.RequestException:
        return False
    return reply.status_code == 200 and reply.json()["status"] == "ready"


def status(service, path):
    """None where there is nobody to answer yet."""
    try:
        return requests.get("http://127.0.0.1:%d%s" % (PORTS[service], path), timeout=5).status_code
    except requests.RequestException:
        return None
