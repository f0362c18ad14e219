"""A haproxy with deploy/haproxy/haproxy.cfg, as it is, in front of two user-services."""

import csv
import io
import os
import shutil
import socket
import subprocess
import tempfile

from support.broker import free_port
from support.services import ROOT
from support.wait import PATIENCE_S, eventually

CONFIGURATION = os.path.join(ROOT, "deploy", "haproxy", "haproxy.cfg")
PROGRAM = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin")


class Haproxy:
    def __init__(self, *services):
        self.folder = tempfile.TemporaryDirectory(prefix="haproxy-")
        self.admin = os.path.join(self.folder.name, "admin.sock")
        self.port = free_port()
        self.log = tempfile.NamedTemporaryFile(prefix="haproxy-", suffix=".log")
        self.environment = dict(os.environ, HAPROXY_ADMIN=self.admin, USERS_LISTEN="127.0.0.1:%d" % self.port)
        for number, service in enumerate(services, 1):
            self.environment["USER_SERVICE_%d" % number] = "127.0.0.1:%d" % service.port
        self.process = None

    def start(self):
        self.process = subprocess.Popen([PROGRAM, "-db", "-f", CONFIGURATION], env=self.environment,
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        eventually(lambda: os.path.exists(self.admin) or self.process.poll() is not None, "haproxy is there")
        assert self.process.poll() is None, self.log_text()
        return self

    def log_text(self):
        with open(self.log.name) as file:
            return file.read()

    def statistics(self):
        """Rows of `show stat` by the name of the server."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_S)
            connection.connect(self.admin)
            connection.sendall(b"show stat\n")
            text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        rows = csv.DictReader(io.StringIO(text.lstrip("# ")))
        return {row["svname"]: row for row in rows if row["pxname"] == "user_services"}

    def is_up(self, number):
        return self.statistics()["user-service-%d" % number]["status"] == "UP"

    def requests(self, number):
        return int(self.statistics()["user-service-%d" % number]["stot"])

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
        self.log.close()
        self.folder.cleanup()
