"""The two daemons as processes: start, watch, stop."""

import json
import os
import re
import signal
import subprocess
import tempfile

import requests

from support.broker import free_port
from support.wait import PATIENCE_S, SLOWNESS, eventually

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SERVICES_BUILD_DIR", os.path.join(ROOT, "build"))
# What runs the daemons, if anything.
WRAPPER = os.environ.get("SERVICES_WRAPPER", "").split()
WRAPPER_FOUND = 99  # exit code
SANITIZER_MARKS = ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:")


def binary(name):
    path = os.path.join(BUILD, name, name)
    if not os.path.exists(path):
        raise FileNotFoundError("there is no %s: run scripts/build.sh release first" % path)
    return path


def why_no_release(folder=BUILD):
    """A sentence, if CMake has configured the build for something else than a release; else None."""
    try:
        with open(os.path.join(folder, "CMakeCache.txt")) as file:
            cache = dict(re.findall(r"^(CMAKE_BUILD_TYPE|SANITIZE):\w+=(.*)$", file.read(), re.MULTILINE))
    except FileNotFoundError:
        return None
    kind, sanitizer = cache.get("CMAKE_BUILD_TYPE"), cache.get("SANITIZE")
    if kind in ("Debug", "RelWithDebInfo") or sanitizer:
        return "%s is a build of the kind %s%s, and a release build is needed: run scripts/build.sh release" % (
            folder, kind, " with -fsanitize=" + sanitizer if sanitizer else "")
    return None


class Service:
    def __init__(self, name, *arguments, environment=None, wrapper=()):
        self.name = name
        self.port = free_port()
        self.base = "http://127.0.0.1:%d" % self.port
        self.log = tempfile.NamedTemporaryFile(prefix=name + "-", suffix=".log")
        self.environment = dict(os.environ, **(environment or {}))
        self.state = None
        if "--state-dir" not in arguments:
            self.state = tempfile.TemporaryDirectory(prefix=name + "-")
            arguments += ("--state-dir", self.state.name)
        self.arguments = [*wrapper, *WRAPPER, binary(name), "--listen", "127.0.0.1:%d" % self.port, *arguments]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=self.log,
                                        env=self.environment)
        eventually(lambda: self.get("/healthz") is not None, self.name + " answers")
        return self

    def arguments_elsewhere(self):
        """Of a second process with the same state, at a port of its own."""
        here = "127.0.0.1:%d" % self.port
        return ["127.0.0.1:0" if argument == here else argument for argument in self.arguments]

    def get(self, path, timeout=PATIENCE_S):
        """None where there is nobody to answer yet."""
        if self.process.poll() is not None:
            raise AssertionError("%s ended with %s:\n%s" % (
                self.name, self.process.returncode, self.log_text()[-2000:]))
        try:
            return requests.get(self.base + path, timeout=timeout)
        except requests.ConnectionError:
            return None

    def is_ready(self):
        """Not so while saves only go to the outbox."""
        reply = self.get("/readyz")
        return (reply is not None and reply.status_code == 200 and
                reply.json()["status"] == "ready")

    def wait_ready(self):
        eventually(self.is_ready, self.name + " is ready")
        return self

    def save(self, user=None, timeout=PATIENCE_S, **headers):
        return requests.post(self.base + "/users/save", json=user or {"name": "Ada"},
                             headers={k.replace("_", "-"): v for k, v in headers.items()},
                             timeout=timeout)

    def post(self, path, body, content_type, key):
        return requests.post(self.base + path, data=body, timeout=PATIENCE_S,
                             headers={"Content-Type": content_type, "Idempotency-Key": key})

    def metric(self, line_start):
        for line in self.get("/metrics").text.splitlines():
            if line.startswith(line_start + " "):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError("no metric " + line_start)

    def log_text(self):
        with open(self.log.name, errors="replace") as file:
            return file.read()

    def events(self, event=None):
        """The complete lines of the log as objects; every line must be one."""
        with open(self.log.name) as file:
            lines = file.read().split("\n")[:-1]
        found = [json.loads(line) for line in lines]
        return [e for e in found if event is None or e["event"] == event]

    def handled_ids(self):
        return [e.get("message_id") for e in self.events("user.saved")]

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM; the exit code must be 0."""
        self.signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_S * SLOWNESS) == 0, self.log_text()[-2000:]

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE_S * SLOWNESS)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S * SLOWNESS)
            except subprocess.TimeoutExpired:
                self.kill()
        text = self.log_text()
        if self.process is not None:
            assert self.process.returncode != WRAPPER_FOUND, text[-6000:]
        self.log.close()
        if self.state is not None:
            self.state.cleanup()
        for mark in SANITIZER_MARKS:
            assert mark not in text, text[-6000:]
