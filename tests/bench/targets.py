"""What is measured: our service and its peers, each as a process with a port."""

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests"))

from support.broker import free_port  # noqa: E402

BUILD = os.environ.get("SERVICES_BUILD_DIR", os.path.join(ROOT, "build"))
PARTS = os.path.join(BUILD, "bench")
UP_SECONDS = 30


class Target:
    """A process that listens; `name` is its row in the table."""

    def __init__(self, name, queue):
        self.name, self.queue = name, queue
        self.port = free_port()
        self.process = None
        self.directory = tempfile.TemporaryDirectory(prefix="bench-")
        self.log = os.path.join(self.directory.name, "log")

    def command(self, url):
        raise NotImplementedError

    def environment(self, url):
        return dict(os.environ, AMQP_URL=url, QUEUE=self.queue, PORT=str(self.port),
                    NODE_ENV="production", NODE_PATH=os.path.join(PARTS, "node_modules"))

    @property
    def pid(self):
        return self.process.pid

    def start(self, url, log=None):
        """`log`: a descriptor, instead of the file."""
        with open(self.log, "wb") as file:
            self.process = subprocess.Popen(self.command(url), env=self.environment(url),
                                            stdin=subprocess.DEVNULL, stdout=log or file, stderr=log or file)
        deadline = time.monotonic() + UP_SECONDS
        while not self.is_up():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("%s does not start: %s" % (self.name, self.log_text()))
            time.sleep(0.05)
        return self

    ready_path = "/healthz"

    def is_up(self):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.port, self.ready_path),
                                        timeout=5) as reply:
                return self.is_ready_text(reply.read())
        except (urllib.error.URLError, ConnectionError):
            return False

    def is_ready_text(self, text):
        return True

    def log_text(self):
        with open(self.log, errors="replace") as file:
            return file.read()[-2000:]

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    def close(self):
        self.stop()
        self.directory.cleanup()


class UserService(Target):
    """With its defaults: confirms, mandatory, validation, outbox on."""

    binary = os.path.join(BUILD, "user-service", "user-service")
    ready_path = "/readyz"

    def __init__(self, name="user-service", queue="bench-user-service", binary=None, options=()):
        super().__init__(name, queue)
        self.program = binary or self.binary
        self.options = list(options)

    def command(self, url):
        return [self.program, "--listen", "127.0.0.1:%d" % self.port, "--amqp-url", url, "--queue",
                self.queue, "--state-dir", self.directory.name, *self.options]

    def is_ready_text(self, text):
        return b'"ready"' in text


class UserServiceOutbox(UserService):
    """With a broker that is not there: what it takes goes to the outbox."""

    def command(self, url):
        return super().command("amqp://127.0.0.1:9/")

    def is_ready_text(self, text):
        return True


class Node(Target):
    def __init__(self, name, script):
        super().__init__(name, "bench-" + script)
        # Node.js looks for modules from where a script is: NODE_PATH leads to those that were built.
        self.script = os.path.join(HERE, "peers", script + ".js")

    def command(self, url):
        return ["node", self.script]


class Go(Target):
    def command(self, url):
        return [os.path.join(PARTS, "go-peer")]


def all_targets():
    return [
        UserService(),
        Node("fastify + amqplib, confirms", "fastify"),
        Node("express + amqplib, confirms", "express"),
        Go("Go net/http + amqp091-go, confirms", "bench-go"),
        Node("as the Node.js demo: no confirms, not persistent", "demo"),
    ]


class PublishAlone:
    """No HTTP at all: the ceiling. `mode` is publish_alone's."""

    def __init__(self, mode):
        self.mode = mode
        self.name = {"each": "publishing alone, rabbitmq-c",
                     "batch": "publishing alone, own frames in batches"}[mode]
        self.queue = "bench-alone-" + mode

    def command(self, url, in_flight, seconds, body_bytes):
        return [os.path.join(BUILD, "tests", "bench", "publish_alone"), url, self.queue, self.mode,
                str(in_flight), "%.1f" % seconds, str(body_bytes)]
