"""What consumes in the benchmark: the session-service, which stores, and a consumer that only logs and acks."""

import os
import subprocess
import tempfile

import targets

AMQPLIB = "amqplib, logs and acks each, stores nothing"
SCRIPT = os.path.join(targets.HERE, "peers", "consume.js")


def node_environment():
    return dict(os.environ, NODE_PATH=os.path.join(targets.PARTS, "node_modules"))


def fill(url, queue, messages):
    """Each message is a new user, as saves without an id are."""
    subprocess.run(["node", SCRIPT, "fill", url, queue, str(messages), "0"], check=True,
                   stdin=subprocess.DEVNULL, env=node_environment())


class SessionService(targets.Target):
    binary = os.path.join(targets.BUILD, "session-service", "session-service")

    def __init__(self, folder, queue, prefetch, store=None):
        """`store`: the URL of one that is not in the folder."""
        kind = subprocess.run(["stat", "-f", "-c", "%T", folder], check=True, text=True,
                              stdout=subprocess.PIPE).stdout.strip()
        super().__init__("session-service, store %s" % ("in PostgreSQL" if store else "on " + kind), queue)
        self.prefetch = prefetch
        self.options = ["--store", store] if store else []
        self.state = tempfile.TemporaryDirectory(prefix="bench-state-", dir=folder)

    def command(self, url):
        return [self.binary, "--listen", "127.0.0.1:%d" % self.port, "--amqp-url", url, "--queue",
                self.queue, "--prefetch", str(self.prefetch), "--state-dir", self.state.name,
                *self.options]

    def close(self):
        super().close()
        self.state.cleanup()


class Amqplib(targets.Target):
    def __init__(self, queue, prefetch):
        super().__init__(AMQPLIB, queue)
        self.prefetch = prefetch

    def command(self, url):
        return ["node", SCRIPT, "consume", url, self.queue, str(self.prefetch)]

    def is_up(self):
        return True  # it has no port; its first line is waited for


def all_consumers(queue, prefetch, disk, memory):
    return [SessionService(disk, queue, prefetch), SessionService(memory, queue, prefetch),
            Amqplib(queue, prefetch)]
