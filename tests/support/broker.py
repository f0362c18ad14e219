"""A private RabbitMQ on loopback: its own directory, ports, cookie and epmd; nothing is shared.

As a program: `broker.py run --dir D --port P` runs one until SIGTERM, `broker.py ctl --dir D ARG...`
is rabbitmqctl for it.
"""

import argparse
import atexit
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

BIN = "/usr/lib/rabbitmq/bin"
# Where /etc/hosts is missing, Erlang does not know localhost.
INETRC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "localhost.inetrc")
# What never happens uses these up: a busy machine takes minutes for a start.
START_SECONDS = 240
CTL_SECONDS = 300
STOP_SECONDS = 120


# Below the ephemeral range, where no client socket can take it meanwhile. Each of the processes that
# share a test run has its own part: what one hands out and has not bound yet, no other takes. Of two runs
# at once on one machine, one says where its ports begin.
FIRST_PORT = int(os.environ.get("FIRST_TEST_PORT", "20000"))
PORTS = 4500
PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
handed_out = set()


def free_port():
    """Each one once."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % PROCESSES  # one that replaces another has a new number
    for_each = PORTS // PROCESSES
    first = FIRST_PORT + process * for_each
    for _ in range(200):
        port = random.randrange(first, first + for_each)
        if port in handed_out:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                handed_out.add(port)
                return port
            except OSError:
                continue
    raise RuntimeError("no free port on loopback from %d on" % first)


def take_sigterm_for_ctrl_c():
    """So that what this process has started is ended with it. Of no other thread than the main one."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def return_port(port):
    """It may be handed out again: who had it has ended."""
    handed_out.discard(port)


class Broker:
    wrapper = ()  # a command that runs the broker's commands

    def __init__(self, directory=None, port=None):
        self.own_directory = directory is None
        self.directory = os.path.abspath(directory or tempfile.mkdtemp(prefix="private-rabbitmq-"))
        os.makedirs(self.directory, exist_ok=True)
        state = os.path.join(self.directory, "ports.json")
        if os.path.exists(state):
            with open(state) as file:
                self.ports = json.load(file)
        else:
            self.ports = {"amqp": port or free_port(), "dist": free_port(), "epmd": free_port()}
            with open(state, "w") as file:
                json.dump(self.ports, file)
        self.port = self.ports["amqp"]
        self.process = None
        self.said_before = 0  # bytes of its output
        self.environment = self._write_configuration()
        atexit.register(self.close)

    def _path(self, name):
        return os.path.join(self.directory, name)

    def _write_configuration(self):
        with open(self._path("rabbit.conf"), "w") as file:
            file.write("distribution.listener.interface = 127.0.0.1\n")
            file.write("log.console = false\n")
            file.write("max_message_size = 16777216\n")  # the default since 4.0
        with open(self._path("plugins"), "w") as file:
            file.write("[].\n")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RABBITMQ_")}
        environment.update(
            HOME=self.directory,
            RABBITMQ_NODENAME="private%d@localhost" % self.port,
            RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(self.port),
            RABBITMQ_DIST_PORT=str(self.ports["dist"]),
            ERL_EPMD_ADDRESS="127.0.0.1",
            ERL_EPMD_PORT=str(self.ports["epmd"]),
            RABBITMQ_MNESIA_BASE=self._path("data"),
            RABBITMQ_LOG_BASE=self._path("log"),
            RABBITMQ_CONFIG_FILE=self._path("rabbit"),
            RABBITMQ_ENABLED_PLUGINS_FILE=self._path("plugins"),
            RABBITMQ_CONF_ENV_FILE="/dev/null",
            RABBITMQ_PID_FILE=self._path("pid"),
            ERL_CRASH_DUMP=self._path("crash"),
            ERL_INETRC=INETRC,
            LC_ALL="C.UTF-8",
        )
        return environment

    def url(self, vhost="/", user="guest", password="guest"):
        return "amqp://%s:%s@127.0.0.1:%d/%s" % (
            user, password, self.port, "" if vhost == "/" else vhost)

    def start(self):
        self.launch()
        return self.await_started()

    def launch(self):
        pid_file = self._path("pid")
        if os.path.exists(pid_file):
            os.unlink(pid_file)
        with open(self._path("out"), "ab") as out:
            self.said_before = out.tell()
            self.process = subprocess.Popen(
                [*self.wrapper, BIN + "/rabbitmq-server"], env=self.environment,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)

    def await_started(self):
        """By what it prints: rabbitmqctl would take a tenth of the processor that the start takes."""
        deadline = time.monotonic() + START_SECONDS
        while "completed with" not in self._said():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("RabbitMQ did not start:\n" + self._tail())
            time.sleep(0.05)
        return self

    def _said(self):
        """Since it was launched."""
        with open(self._path("out"), errors="replace") as file:
            file.seek(self.said_before)
            return file.read()

    def _tail(self):
        with open(self._path("out"), errors="replace") as file:
            return file.read()[-2000:]

    def ctl(self, *arguments, check=True, timeout=CTL_SECONDS):
        result = subprocess.run(
            [*self.wrapper, BIN + "/rabbitmqctl", "-q", *arguments], env=self.environment, timeout=timeout,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if check and result.returncode != 0:
            raise RuntimeError("rabbitmqctl %s: %s" % (" ".join(arguments), result.stdout))
        return result.stdout

    def evaluate(self, expression):
        """What it is in the running broker, as text, by a program that takes a hundredth of what rabbitmqctl does."""
        with open(self._path(".erlang.cookie")) as file:
            cookie = file.read().strip()
        node = self.environment["RABBITMQ_NODENAME"]
        result = subprocess.run([*self.wrapper, "erl_call", "-c", cookie, "-n", node, "-e"],
                                input=expression + ".\n", env=self.environment, timeout=CTL_SECONDS,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if not result.stdout.startswith("{ok, "):  # its exit code says nothing of that
            raise RuntimeError("%s: %s" % (expression, result.stdout))
        return result.stdout[len("{ok, "):-1]

    def write_down_queues(self):
        """RabbitMQ 3.10 writes down which quorum queues live on a node only now and then: one killed just
        after a declaration comes back with a queue that nobody serves."""
        self.evaluate("[ok = dets:sync(T) || T <- dets:all()]")

    def limit_queue(self, queue):
        """To one message: more are refused."""
        self.evaluate('ok = rabbit_policy:set(<<"/">>, <<"%s">>, <<"^%s$">>, [{<<"max-length">>, 1},'
                      ' {<<"overflow">>, <<"reject-publish">>}], 0, <<"queues">>, <<"test">>)' % (
                          queue, queue.replace(".", "[.]")))

    def lift_limit(self, queue):
        self.evaluate('ok = rabbit_policy:delete(<<"/">>, <<"%s">>, <<"test">>)' % queue)

    def alarm(self):
        """It has no memory any more, until calm()."""
        self.evaluate("ok = vm_memory_monitor:set_vm_memory_high_watermark(0.0000001)")

    def calm(self):
        self.evaluate("ok = vm_memory_monitor:set_vm_memory_high_watermark(0.4)")

    def add_user(self, name, password, configure=".*", write=".*", read=".*"):
        """One who may do everything, or what the patterns allow."""
        self.evaluate('rabbit_auth_backend_internal:add_user(<<"%s">>, <<"%s">>, <<"test">>)' % (name, password))
        self.set_rights(name, configure, write, read)

    def set_rights(self, name, configure=".*", write=".*", read=".*"):
        """Of connections that are made from now on, and of channels that have not used the old ones yet."""
        patterns = ", ".join('<<"%s">>' % one.replace("\\", "\\\\") for one in (configure, write, read))
        self.evaluate('rabbit_auth_backend_internal:set_permissions(<<"%s">>, <<"/">>, %s, <<"test">>)' % (
            name, patterns))

    def close_connections_of(self, name):
        """Those that are open now."""
        self.evaluate('[rabbit_networking:close_connection(Pid, "by the test") || [{pid, Pid}, {user, User}] <-'
                      ' rabbit_networking:connection_info_all([pid, user]), User =:= <<"%s">>]' % name)

    def _pids(self):
        """The whole session of the server: the shell, beam.smp and its helpers."""
        if self.process is None:
            return []
        out = subprocess.run(["ps", "-o", "pid=,comm=", "-s", str(self.process.pid)],
                             stdout=subprocess.PIPE, text=True).stdout
        return [(int(line.split()[0]), line.split(None, 1)[1]) for line in out.splitlines()]

    def _signal_beam(self, number):
        sent = 0
        for pid, name in self._pids():
            if name.startswith("beam"):
                os.kill(pid, number)
                sent += 1
        if sent == 0:
            raise RuntimeError("there is no beam.smp to signal")

    def kill(self):
        self._signal_beam(signal.SIGKILL)
        self.process.wait(STOP_SECONDS)

    def freeze(self):
        """Returns when every thread has stopped."""
        self._signal_beam(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_SECONDS
        while not all(self._is_stopped(pid) for pid, name in self._pids()
                      if name.startswith("beam")):
            if time.monotonic() > deadline:
                raise RuntimeError("beam.smp does not stop at SIGSTOP")
            time.sleep(0.01)

    @staticmethod
    def _is_stopped(pid):
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/stat" % (pid, task)) as file:
                if file.read().rsplit(")", 1)[1].split()[0] != "T":
                    return False
        return True

    def thaw(self):
        self._signal_beam(signal.SIGCONT)

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        try:
            self._signal_beam(signal.SIGCONT)
            self._signal_beam(signal.SIGTERM)
            self.process.wait(STOP_SECONDS)
        except (RuntimeError, subprocess.TimeoutExpired):
            for pid, _ in self._pids():
                os.kill(pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)

    def close(self):
        """Ends everything that was started, epmd too. May be repeated."""
        if self.process is None:
            return
        self.stop()
        self.process = None
        epmd = shutil.which("epmd", path="/usr/bin:/usr/lib/erlang/bin")
        if epmd:
            subprocess.run([*self.wrapper, epmd, "-port", str(self.ports["epmd"]), "-kill"],
                           env=self.environment, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=STOP_SECONDS)
        if self.own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--dir", required=True)
    run.add_argument("--port", type=int)
    ctl = commands.add_parser("ctl")
    ctl.add_argument("--dir", required=True)
    ctl.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.command == "ctl":
        sys.stdout.write(Broker(options.dir).ctl(*options.arguments))
        return 0
    signals = {signal.SIGTERM, signal.SIGINT}
    # Both interrupt a start, also where a shell has them ignored: what was started by then is ended below.
    for number in signals:
        signal.signal(number, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    broker = Broker(options.dir, options.port)
    try:
        # The broker must not inherit the mask.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        broker.start()
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        print("ready " + broker.url(), flush=True)
        signal.sigwait(signals)
    except KeyboardInterrupt:
        pass
    finally:
        broker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
