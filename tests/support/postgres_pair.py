"""A primary of PostgreSQL and its synchronous standby, each in a network namespace, so that links can be cut.

Each has two interfaces: `replica` (10.79.0.N: only the two talk there) and `store` (10.80.0.N: the services reach it
there). The namespaces, bridges and addresses are made as those of support/cluster.py. What goes to a server whose link is
down vanishes: nobody answers for it, as for a machine behind a router that has lost its power.
"""

import os
import shutil
import subprocess
import tempfile

from support.cluster import ip
from support.postgres import SUPERUSER, Database, Postgres
from support.wait import eventually

PORT = 5432
NETWORKS = {"replica": "10.79.0", "store": "10.80.0"}
SETTINGS = ("listen_addresses=*", "wal_level=replica", "hot_standby=on")
STANDBY = "standby"  # its application_name
HBA = "host all all samenet trust\nhost replication all samenet trust\n"


def address(network, number):
    return "%s.%d" % (NETWORKS[network], number)


class Server(Postgres):
    def __init__(self, directory, number):
        self.number = number
        os.mkdir(directory)
        super().__init__(PORT, directory)

    def as_server(self, *command):
        return ["nsenter", "--net=/run/netns/postgres%d" % self.number, "--", *super().as_server(*command)]

    def make(self):
        super().make()
        with open(os.path.join(self.data, "pg_hba.conf"), "a") as file:
            file.write(HBA)

    def copy(self, primary):
        """Its files become those of a standby of the primary."""
        self._own_directory()
        source = "host=%s port=%d user=%s application_name=%s" % (
            address("replica", primary.number), PORT, SUPERUSER, STANDBY)
        subprocess.run(self.as_server(self.program("pg_basebackup"), "-D", self.data, "-d", source, "-R", "-c", "fast",
                                      "--no-sync"), check=True, cwd="/")

    def link(self, network, state):
        ip("link", "set", "%s%d" % (network, self.number), state)


class Pair:
    """The first of the two is the primary at first."""

    def __init__(self, folder, *settings):
        """`settings`: more of them, of the primary."""
        self.directory = tempfile.mkdtemp(prefix="pair-", dir=folder)
        os.chmod(self.directory, 0o711)  # the servers do not run as root
        self.settings = settings
        self._make_network()
        self.primary, self.standby = [Server(os.path.join(self.directory, str(number)), number) for number in (1, 2)]

    @staticmethod
    def _make_network():
        for number in (1, 2):
            ip("netns", "add", "postgres%d" % number)
            ip("-n", "postgres%d" % number, "link", "set", "lo", "up")
        for network in NETWORKS:
            ip("link", "add", network, "type", "bridge")
            ip("link", "set", network, "up")
            for number in (1, 2):
                Pair._join(network, number)
        ip("address", "add", address("store", 254) + "/24", "dev", "store")

    @staticmethod
    def _join(network, number):
        name, port = "postgres%d" % number, "%s%d" % (network, number)
        hardware = "02:00:00:00:%02x:%02x" % (list(NETWORKS).index(network), number)
        ip("link", "add", port, "type", "veth", "peer", "name", network, "netns", name)
        ip("link", "set", port, "master", network, "up")
        ip("-n", name, "link", "set", network, "address", hardware)
        ip("-n", name, "address", "add", address(network, number) + "/24", "dev", network)
        ip("-n", name, "link", "set", network, "up")
        if network == "store":  # or who sends is told after some seconds that there is no such host
            ip("neighbour", "replace", address(network, number), "lladdr", hardware, "dev", "store", "nud", "permanent")

    def start(self):
        self.primary.start(*SETTINGS)
        self.standby.copy(self.primary)
        self.standby.start(*SETTINGS)
        self.primary.restart(*SETTINGS, "synchronous_standby_names=" + STANDBY, *self.settings)
        eventually(lambda: ["sync"] in self.primary.sql("SELECT sync_state FROM pg_stat_replication"),
                   "the standby is synchronous")
        return self

    def database(self):
        return PairDatabase(self, self.primary.database().name)

    def promote(self):
        self.standby.sql("SELECT pg_promote()")

    def close(self):
        for server in (self.standby, self.primary):
            # A stop in order would wait for the standby.
            if server.process is not None and server.process.poll() is None:
                server.kill()
        for network in NETWORKS:
            for number in (1, 2):  # at once; with its namespace it would go some time later
                ip("link", "delete", "%s%d" % (network, number))
            ip("link", "delete", network)
        for number in (1, 2):
            ip("netns", "delete", "postgres%d" % number)
        shutil.rmtree(self.directory, ignore_errors=True)


class PairDatabase(Database):
    """One of both servers; what is asked of it here is asked of the standby, promoted or not."""

    def __init__(self, pair, name):
        super().__init__(pair.standby, name)

    def url(self, user=SUPERUSER, port=PORT, parameters="", numbers=(1, 2)):
        hosts = ",".join("%s:%d" % (address("store", number), port) for number in numbers)
        return "postgresql://%s@%s/%s%s" % (user, hosts, self.name, parameters)
