"""The two daemons as processes: start, watch, stop."""

import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time

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


def status_of_signal(number):
    """That of a process which ends by the signal, in its handler. The thread sanitizer defers one that is raised in a
    handler: then it ends as the first process of a container does."""
    is_deferred = "-fsanitize=thread" in (why_no_release() or "")
    return 128 + number if is_deferred else -number


def request(method, url, **options):
    """To this machine: requests.get() would look for a proxy in the environment each time."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, **options)


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
        self.logged = []  # what events() has read
        self.logged_bytes = 0
        self.log_lock = threading.Lock()
        self.log_begin = 0  # of the newest process, in bytes

    def start(self):
        self.launch()
        eventually(lambda: self.get("/healthz") is not None, self.name + " answers")
        return self

    def launch(self):
        """Without waiting: it may end at once."""
        self.log_begin = os.stat(self.log.name).st_size
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=self.log,
                                        env=self.environment)

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
            return request("GET", self.base + path, timeout=timeout)
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

    def stays_unready(self, attempts=2):
        """/readyz says the same all the time, until the broker was tried so often again: to try is no reason to take
        turns."""
        def tried():
            connection = {"user-service": "publisher", "session-service": "consumer"}[self.name]
            return self.metric('broker_connect_attempts_total{connection="%s"}' % connection)

        before = tried()

        def tried_again():
            assert not self.is_ready()
            return tried() >= before + attempts

        eventually(tried_again, "%s has tried %d times more" % (self.name, attempts))

    def stays_unready_for(self, seconds):
        """On a connection that lasts."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert not self.is_ready()
            time.sleep(0.02)

    def save(self, user=None, timeout=PATIENCE_S, **headers):
        return request("POST", self.base + "/users/save", json=user or {"name": "Ada"}, timeout=timeout,
                       headers={k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, path, body, content_type, key):
        return request("POST", self.base + path, data=body, timeout=PATIENCE_S,
                       headers={"Content-Type": content_type, "Idempotency-Key": key})

    def metric(self, line_start):
        for line in self.get("/metrics").text.splitlines():
            if line.startswith(line_start + " "):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError("no metric " + line_start)

    def log_text(self):
        with open(self.log.name, errors="replace") as file:
            return file.read()

    def events(self, event=None, since=0):
        """The complete lines of the log from a byte on as objects; every line must be one."""
        with self.log_lock:
            with open(self.log.name, "rb") as file:
                file.seek(self.logged_bytes)
                lines = file.read().split(b"\n")[:-1]
            for line in lines:
                self.logged.append((self.logged_bytes, json.loads(line)))
                self.logged_bytes += len(line) + 1
            return [e for at, e in self.logged if at >= since and (event is None or e["event"] == event)]

    def started(self):
        """What the process says of its start. It does so when it listens already: a client may have an answer before."""
        return eventually(lambda: self.events("service.started", self.log_begin), self.name + " says that it has started")[0]

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
