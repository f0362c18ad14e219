"""Three RabbitMQ nodes that are one cluster, each in a network namespace, so that links between them can be cut.

Each node has two interfaces: `cluster` (10.77.0.N: only the nodes talk there) and `clients` (10.78.0.N). The
namespaces, bridges and addresses are made inside of the namespace that scripts/test-machines.sh has made, and end
with it.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile

from support.broker import Broker, START_SECONDS, STOP_SECONDS
from support.wait import wait_until

AMQP_PORT, DIST_PORT, EPMD_PORT = 5672, 25672, 4369
NETWORKS = {"cluster": "10.77.0", "clients": "10.78.0"}
NET_TICKTIME_S = 8
PART_SECONDS = 60
REJOIN_SECONDS = 20
LOG_LINES_SHOWN = 5
CONFIGURATION = """\
listeners.tcp.default = %d
loopback_users = none
log.console = false
cluster_partition_handling = pause_minority
cluster_formation.peer_discovery_backend = classic_config
""" % AMQP_PORT


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError("ip %s: %s" % (" ".join(arguments), done.stdout))


class Node(Broker):
    def __init__(self, directory, number, count, cookie):
        self.number, self.count = number, count
        self.name = "node%d" % number
        self.wrapper = ("nsenter", "--net=/run/netns/" + self.name, "--")
        os.makedirs(directory)
        path = os.path.join(directory, ".erlang.cookie")
        with open(path, "w") as file:
            file.write(cookie)
        os.chmod(path, 0o400)
        super().__init__(directory)

    def address(self, network):
        return "%s.%d" % (NETWORKS[network], self.number)

    def rabbit(self, number=None):
        return "rabbit@%s.%d" % (NETWORKS["cluster"], number or self.number)

    def _write_configuration(self):
        self.ports = {"amqp": AMQP_PORT, "dist": DIST_PORT, "epmd": EPMD_PORT}
        environment = super()._write_configuration()
        with open(self._path("rabbit.conf"), "w") as file:
            file.write(CONFIGURATION)
            for number in range(1, self.count + 1):
                file.write("cluster_formation.classic_config.nodes.%d = %s\n" % (
                    number, self.rabbit(number)))
        for name in ("RABBITMQ_NODE_IP_ADDRESS", "ERL_EPMD_ADDRESS"):
            del environment[name]
        environment.update(
            RABBITMQ_USE_LONGNAME="true",
            RABBITMQ_NODENAME=self.rabbit(),
            # Three nodes on one machine: none of them waits for work by spinning.
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel net_ticktime %d +S 2:2 +sbwt none"
                                                " +sbwtdcpu none +sbwtdio none" % NET_TICKTIME_S,
        )
        return environment

    def url(self, vhost="/", user="guest", password="guest"):
        return "amqp://%s:%s@%s:%d/%s" % (user, password, self.address("clients"), AMQP_PORT,
                                          "" if vhost == "/" else vhost)

    def link(self, network, state):
        ip("link", "set", "%s%d" % (network, self.number), state)

    def await_started(self):
        """The port for clients is opened when all else is done: the cluster is joined."""
        wait_until(lambda: self.process.poll() is not None or self.listens(), START_SECONDS,
                   self.name + " is up")
        if self.process.poll() is not None:
            raise RuntimeError(self.name + " did not start:\n" + self._tail())
        return self

    def close(self):
        """Nothing of it is wanted any more, so it need not end in order."""
        if self.process is not None:
            for pid, _ in self._pids():
                os.kill(pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)
            self.process = None

    def log(self):
        with open(self._path("log/%s.log" % self.rabbit()), errors="replace") as file:
            return file.read()

    def pauses(self):
        """How often it has paused itself so far."""
        return self.log().count("awaiting recovery")

    def listens(self):
        """Not so while it is down, paused, or cut off."""
        try:
            socket.create_connection((self.address("clients"), AMQP_PORT), timeout=1).close()
            return True
        except OSError:
            return False


class Cluster:
    """As a Broker for what tests ask: the first node that listens answers."""

    def __init__(self, count=3):
        self.directory = tempfile.mkdtemp(prefix="cluster-")
        self.nodes = []
        self._make_network(count)
        cookie = secrets.token_hex(16)
        self.nodes = [Node(os.path.join(self.directory, "node%d" % number), number, count, cookie)
                      for number in range(1, count + 1)]

    @staticmethod
    def _make_network(count):
        for network, prefix in NETWORKS.items():
            ip("link", "add", network, "type", "bridge")
            ip("link", "set", network, "up")
        ip("address", "add", NETWORKS["clients"] + ".254/24", "dev", "clients")
        for number in range(1, count + 1):
            name = "node%d" % number
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
            for network, prefix in NETWORKS.items():
                port = "%s%d" % (network, number)
                ip("link", "add", port, "type", "veth", "peer", "name", network, "netns", name)
                ip("link", "set", port, "master", network, "up")
                ip("-n", name, "address", "add", "%s.%d/24" % (prefix, number), "dev", network)
                ip("-n", name, "link", "set", network, "up")

    def start(self):
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.await_started()
        return self

    def node(self, number):
        return self.nodes[number - 1]

    def url(self):
        """Of a node that takes work now."""
        for node in self.nodes:
            if node.listens():
                return node.url()
        raise AssertionError("no node listens")

    @staticmethod
    def members(seen_by):
        """{quorum queue: (leader, members that are online)} as the node sees it."""
        rows = [line.split("\t") for line in seen_by.ctl(
            "list_queues", "--no-table-headers", "name", "leader", "online").splitlines()]
        return {row[0]: (row[1], row[2].count("rabbit@")) for row in rows if len(row) == 3}

    def await_parted(self, alone, downs, pauses):
        """All have noticed; `downs` and `pauses` are what downs() and pauses() were before."""
        wait_until(lambda: alone.pauses() > pauses and all(
            n > before for n, before in zip(self.downs(alone), downs)), PART_SECONDS,
            "%s is parted from the others" % alone.name)

    def downs(self, alone):
        """How often each other node has seen this one go down."""
        return [node.log().count("node '%s' down" % alone.rabbit())
                for node in self.nodes if node is not alone]

    def await_whole(self):
        """Starts a node anew that does not come back: RabbitMQ 3.10 on Erlang 25 may hang when it joins
        again, and says "Global hang workaround"."""
        try:
            wait_until(lambda: all(node.listens() for node in self.nodes), REJOIN_SECONDS, "all are back")
        except AssertionError:
            for node in [node for node in self.nodes if not node.listens()]:
                print("NOTE: %s did not come back by itself and is started anew; its log ends with\n%s" % (
                    node.name, "\n".join(node.log().splitlines()[-LOG_LINES_SHOWN:])))
                node.kill()
                node.start()
        wait_until(lambda: all(node.listens() for node in self.nodes), START_SECONDS, "all are back")

    def close(self):
        for node in self.nodes:
            node.close()
        shutil.rmtree(self.directory, ignore_errors=True)
