"""A broker, both services, a proxy before each of them, and the files that the checker reads."""

import base64
import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

import pika

from attempts import Attempts
from support import services
from support.proxy import Proxy
from support.services import Service
from support.wait import PATIENCE_S, wait_until

import checker
from clients import Strangers

HEARTBEAT_S = 3
HEAL_SECONDS = 180
STILL_SECONDS = 3  # a quorum queue that was killed counts up for a while
TMPFS_BYTES = 2 << 30
numbers = itertools.count(1)


def is_root():
    return os.geteuid() == 0


def as_root(*command):
    prefix = [] if is_root() else ["sudo", "-n"]
    done = subprocess.run(prefix + list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise AssertionError("%s: %s" % (" ".join(command), done.stdout))


class Daemon(Service):
    """A service that is started again and again: a log file for each start."""

    def __init__(self, name, build, directory, *arguments, environment=None):
        super().__init__(name, *arguments, environment=environment)
        self.log.close()
        if build is not None:
            self.arguments[0] = os.path.join(build, name, name)
        self.directory, self.logs = directory, []
        self.restarts = 0

    def start(self):
        self.logs.append(os.path.join(self.directory, "%s-%d.log" % (self.name, len(self.logs) + 1)))
        self.log = open(self.logs[-1], "wb")
        return super().start()

    def ended(self):
        """Awaits the end after a signal; 0 or an error."""
        code = self.process.wait(PATIENCE_S)
        if code != 0:
            raise AssertionError("%s ended with %d: %s" % (self.name, code, self.log_text()[-2000:]))
        return code

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        for path in self.logs:
            with open(path, errors="replace") as file:
                text = file.read()
            for mark in services.SANITIZER_MARKS:
                if mark in text:
                    raise AssertionError(text[-6000:])


class Stage:
    """`build`: the build directory of the services. `users`: each service is a user of its own at the
    broker, with a password file. `disks`: each state directory is a tmpfs. `store`: a database of
    support.postgres, which is the session-service's store then."""

    def __init__(self, broker, build=None, users=False, disks=False, queue_type="quorum", options=(), outbox=True,
                 alone=False, store=None):
        self.broker, self.queue_type, self.outbox, self.build = broker, queue_type, outbox, build
        self.store = store
        self.directory = tempfile.mkdtemp(prefix="faults-")
        self.queue = "faults%d-%d" % (os.getpid(), next(numbers))
        self.dead = self.queue + ".dead"
        self.numbers = itertools.count(1)
        self.attempts = Attempts(os.path.join(self.directory, "attempts"))
        self.strangers = Strangers(broker.url(), self.queue, self.attempts)
        self.paths, self.passwords, self.mounts, self.daemons = {}, {}, [], {}
        self.seconds = []
        try:
            self.declare()
            for name in ("user", "session"):
                self.daemons[name] = self._make(name, build, users, disks, options)
        except BaseException:  # an interrupt, too, leaves nothing mounted
            self.close()
            raise
        self.user, self.session = self.daemons["user"], self.daemons["session"]

    def _make(self, name, build, users, disks, options):
        service = name + "-service"
        state = os.path.join(self.directory, name)
        os.mkdir(state)
        if disks:
            as_root("mount", "-t", "tmpfs", "-o", "size=%d,mode=0777" % TMPFS_BYTES, "tmpfs", state)
            self.mounts.append(state)
        url = self._url(name, "guest:guest" if not users else self.user_name(name))
        arguments = ["--queue", self.queue, "--queue-type", self.queue_type, "--state-dir", state,
                     "--heartbeat", "%ds" % HEARTBEAT_S]
        if users:
            self.passwords[name] = os.path.join(self.directory, name + ".password")
            self.add_user(name)
            arguments += ["--amqp-password-file", self.passwords[name]]
        if name == "user":
            arguments += ["--confirm-timeout", "1500ms", "--outbox-min-free", "8MiB",
                          "--outbox", "on" if self.outbox else "off", *options]
        elif self.store is not None:
            path = self.paths["store"] = Proxy(self.store.server.port)
            arguments += ["--store", self.store.url(port=path.port)]
        return Daemon(service, build, self.directory, *arguments, environment={"AMQP_URL": url})

    def second_session(self, own_store):
        """Another session-service on the queue, started. With the store of the first one its log counts too.

        A shared store is the store of each; only the state directories differ."""
        arguments = self.session.arguments[self.session.arguments.index("--listen") + 2:]
        directory = tempfile.mkdtemp(prefix="second-", dir=self.directory)
        if own_store or self.store is not None:
            arguments[arguments.index("--state-dir") + 1] = directory
        second = Daemon("session-service", self.build, directory, *arguments,
                        environment={"AMQP_URL": self.session.environment["AMQP_URL"]})
        self.seconds.append(second)
        second.start()
        if not own_store:
            self.session.logs += second.logs
        return second

    def _url(self, name, user):
        path = self.paths[name] = Proxy(self.broker.port)
        return "amqp://%s@127.0.0.1:%d/" % (user, path.port)

    def state(self, name):
        return os.path.join(self.directory, name)

    def user_name(self, name):
        return "%s-%s" % (name, self.queue)

    def add_user(self, name):
        self.broker.ctl("add_user", self.user_name(name), "first")
        self.broker.ctl("set_permissions", self.user_name(name), ".*", ".*", ".*")
        self.write_password(name, "first")

    def write_password(self, name, password):
        with open(self.passwords[name] + ".new", "w") as file:
            file.write(password + "\n")
        os.rename(self.passwords[name] + ".new", self.passwords[name])

    def channel(self):
        return pika.BlockingConnection(pika.URLParameters(self.broker.url())).channel()

    def declare(self, channel=None):
        arguments = {"x-queue-type": "quorum"} if self.queue_type == "quorum" else None
        channel = channel or self.channel()
        for queue in (self.queue, self.dead):
            channel.queue_declare(queue, durable=True, arguments=arguments)
        channel.connection.close()

    def start(self):
        for daemon in self.daemons.values():
            daemon.start()
        return self.wait_ready()

    def wait_ready(self):
        for daemon in self.daemons.values():
            daemon.wait_ready()
        return self

    def count(self, queue=None):
        """Ready messages, asked of the queue itself."""
        channel = self.channel()
        count = channel.queue_declare(queue or self.queue, passive=True).method.message_count
        channel.connection.close()
        return count

    def stored(self):
        """How many saves are in the outbox's file."""
        if not self.outbox:
            return 0
        connection = sqlite3.connect("file:%s/user-service.db?mode=ro" % self.state("user"), uri=True,
                                     timeout=10)
        try:
            return connection.execute("SELECT count(*) FROM outbox").fetchone()[0]
        finally:
            connection.close()

    def _is_settled(self):
        return ((not self.outbox or self.user.metric("user_service_outbox_saves") == 0) and
                self.user.metric("user_service_saves_in_flight") == 0 and
                self.session.metric("session_service_dead_letters_pending") == 0 and self.count() == 0)

    def settle(self, seconds=HEAL_SECONDS, still_s=STILL_SECONDS):
        """All is forwarded, handled and acked, and still so some seconds later."""
        deadline = time.monotonic() + seconds
        while True:
            self.wait_ready()
            wait_until(self._is_settled, max(1, deadline - time.monotonic()), "all is settled")
            time.sleep(still_s)  # what recovers late has this long to show itself
            if not self._is_settled():
                continue
            self.user.signal(signal.SIGTERM)
            self.session.signal(signal.SIGTERM)
            self.user.ended()
            self.session.ended()
            # With no consumer left, what was not acked is back.
            if self.count() == 0 and self.stored() == 0:
                return
            if time.monotonic() > deadline:
                raise AssertionError("%d in the queue, %d in the outbox" % (self.count(), self.stored()))
            for daemon in self.daemons.values():
                daemon.start()

    def where(self):
        """The store, as the checker takes it."""
        return self.store.url() if self.store is not None else self.state("session")

    def drain_dead_letters(self):
        """Into the file that the checker reads."""
        path = os.path.join(self.directory, "dead")
        channel = self.channel()
        with open(path, "w") as file:
            while True:
                method, properties, body = channel.basic_get(self.dead, auto_ack=False)
                if method is None:
                    break
                file.write(json.dumps({
                    "id": properties.message_id, "type": properties.type,
                    "body_base64": base64.b64encode(body).decode(), "reason": (properties.headers or {}).get("dead-letter-reason")}) + "\n")
        channel.connection.close()
        return path

    def judge(self):
        """What the checker finds: {rule: where it is broken}."""
        self.attempts.close()
        dead = checker.read_dead_file(self.drain_dead_letters())
        return checker.check(self.attempts.path, self.where(), dead, self.session.logs)[0]

    def check(self, min_ok=1):
        """The checker's exit status."""
        self.attempts.close()
        return checker.main(["--attempts", self.attempts.path, "--store", self.where(),
                             "--dead", self.drain_dead_letters(), "--min-ok", str(min_ok),
                             "--log", *self.session.logs])

    def close(self, keep=False):
        failures = []
        for daemon in [*self.daemons.values(), *self.seconds]:
            try:
                daemon.close()
            except AssertionError as failure:
                failures.append(failure)
        self.strangers.close()
        for path in self.paths.values():
            path.close()
        if keep:
            for name in self.mounts:
                shutil.copytree(name, name + "-kept", dirs_exist_ok=True)
        for mount in self.mounts:
            as_root("umount", "--lazy", mount)
        if keep:
            print("kept: " + self.directory)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)
        for failure in failures:
            raise failure

    def delete_queues(self):
        channel = self.channel()
        for queue in (self.queue, self.dead):
            channel.queue_delete(queue)
        channel.connection.close()
