"""A private PostgreSQL: a cluster of its own, on a local socket and a port of loopback; nothing is shared.

As a program: `postgres.py run --dir D --port P` runs one until SIGTERM.
"""

import argparse
import glob
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.broker import free_port  # noqa: E402
from support.wait import PATIENCE_S, eventually  # noqa: E402

SUPERUSER = "postgres"
START_SECONDS = 120


def folder_of_programs():
    """Of the newest release that is installed; None where there is no server."""
    folders = [os.path.dirname(path) for path in glob.glob("/usr/lib/postgresql/*/bin/initdb")]
    return max(folders, key=lambda folder: float(folder.split("/")[-2]), default=None)


MISSING = None if folder_of_programs() else (
    "there is no PostgreSQL: scripts/install-dependencies.sh test installs it")


class Postgres:
    """No program of it runs as root, and every user may connect without a password unless a test says else."""

    def __init__(self, port=None, directory=None):
        self.bin = folder_of_programs()
        self.directory = directory or tempfile.mkdtemp(prefix="postgres-")
        self.port = port or free_port()
        self.data = os.path.join(self.directory, "data")
        self.process = None
        self.numbers = itertools.count(1)

    def as_server(self, *command):
        if os.getuid() != 0:
            return list(command)
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]

    def program(self, name):
        return os.path.join(self.bin, name)

    def make(self):
        """The files of a new one."""
        self._own_directory()
        subprocess.run(self.as_server(self.program("initdb"), "-D", self.data, "-A", "trust", "-U", SUPERUSER,
                                      "-E", "UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-sync"),
                       check=True, stdout=subprocess.DEVNULL, cwd="/")

    def _own_directory(self):
        if os.getuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
        os.chmod(self.directory, 0o755)

    def start(self, *settings):
        if not os.path.exists(self.data):
            self.make()
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "port=%d" % self.port,
                   "-c", "unix_socket_directories=" + self.directory, "-c", "fsync=on", "-c", "max_connections=60",
                   "-c", "log_min_messages=warning",
                   "-c", "dynamic_shared_memory_type=mmap"]  # one that is killed leaves nothing in /dev/shm
        for setting in settings:
            options += ["-c", setting]
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(self.as_server(self.program("postgres"), "-D", self.data, *options),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                                            start_new_session=True)
        eventually(self.is_up, "PostgreSQL takes connections")
        return self

    def is_up(self):
        if self.process.poll() is not None:
            raise AssertionError("PostgreSQL ended with %s:\n%s" % (self.process.returncode, self.log_text()[-3000:]))
        return subprocess.run([self.program("pg_isready"), "-q", "-h", self.directory, "-p", str(self.port)],
                              check=False).returncode == 0

    def log_text(self):
        with open(os.path.join(self.directory, "log"), errors="replace") as file:
            return file.read()

    def pids(self):
        """The postmaster and its children."""
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], check=False,
                                  stdout=subprocess.PIPE, text=True).stdout.split()
        return [self.process.pid] + [int(pid) for pid in children]

    def signal_all(self, number):
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def freeze(self):
        self.signal_all(signal.SIGSTOP)

    def thaw(self):
        self.signal_all(signal.SIGCONT)

    def kill(self):
        """As a failing machine does it, but for what the system has not written yet."""
        pids = self.pids()
        self.signal_all(signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        for pid in pids[1:]:
            eventually(lambda one=pid: not os.path.exists("/proc/%d" % one), "the children are gone")

    def restart(self, *settings):
        self.stop()
        return self.start(*settings)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.process.send_signal(signal.SIGINT)  # ends the sessions
            self.process.wait(START_SECONDS)

    def close(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def sql(self, statement, database="postgres", user=SUPERUSER):
        """The rows, as lists of texts."""
        done = subprocess.run([self.program("psql"), "-X", "-A", "-t", "-q", "-F", "\x1f", "-v", "ON_ERROR_STOP=1",
                               "-h", self.directory, "-p", str(self.port), "-U", user, "-d", database, "-f", "-"],
                              input=statement, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=PATIENCE_S)
        if done.returncode != 0:
            raise AssertionError("psql: " + done.stderr)
        return [line.split("\x1f") for line in done.stdout.splitlines()]

    def database(self, encoding="UTF8"):
        """A new one for a test."""
        name = "test%d" % next(self.numbers)
        self.sql("CREATE DATABASE %s ENCODING '%s' LOCALE 'C' TEMPLATE template0" % (name, encoding))
        return Database(self, name)


class Database:
    def __init__(self, server, name):
        self.server = server
        self.name = name

    def url(self, user=SUPERUSER, port=None, parameters=""):
        return "postgresql://%s@127.0.0.1:%d/%s%s" % (user, port or self.server.port, self.name, parameters)

    def sql(self, statement, user=SUPERUSER):
        return self.server.sql("SET search_path = session_service, public;\n" + statement, self.name, user)

    def rows(self, query):
        """As objects."""
        lines = self.sql("SELECT row_to_json(rows) FROM (%s) rows" % query)
        return [json.loads(line[0]) for line in lines]

    def one(self, query):
        return self.sql(query)[0][0]

    def drop(self):
        self.server.sql("DROP DATABASE IF EXISTS %s WITH (FORCE)" % self.name)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["run"])
    parser.add_argument("--dir", required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    server = Postgres(given.port, given.dir)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.start()
        print(server.directory, flush=True)
        signal.pause()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
