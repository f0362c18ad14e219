"""What is read off a run: wrk's own figures, CPU and memory of processes, system calls."""

import json
import os
import re
import signal
import subprocess
import threading
import time

from support.tracing import is_traced

HERE = os.path.dirname(os.path.abspath(__file__))
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
WRK_EXTRA_SECONDS = 60


def cpu_seconds(pid):
    """User and system time of all threads of a process."""
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def resident_bytes(pid, field="VmRSS"):
    """RssAnon: without what is mapped from files, which are mostly libraries."""
    with open("/proc/%d/status" % pid) as file:
        return int(re.search(r"^%s:\s+(\d+) kB" % field, file.read(), re.M).group(1)) * 1024


def wrk(port, connections, seconds, body_bytes):
    """Fails where wrk does; replies that are no success are counted, not hidden."""
    command = ["wrk", "-t1", "-c%d" % connections, "-d%.0f" % max(1, seconds), "--timeout", "10s",
               "-s", os.path.join(HERE, "load.lua"), "http://127.0.0.1:%d/users/save" % port,
               "--", str(body_bytes)]
    out = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=seconds + WRK_EXTRA_SECONDS)
    found = re.search(r"^RESULT (.*)$", out.stdout, re.M)
    if out.returncode != 0 or found is None:
        raise RuntimeError("%s: %s" % (" ".join(command), out.stdout))
    result = json.loads(found.group(1))
    result["accepted"] = result["replies"] - result["refused"]
    return result


def run_load(target, broker_pid, connections, seconds, warm_up_seconds, body_bytes):
    """One timed run against a service that is up."""
    if warm_up_seconds > 0:
        wrk(target.port, connections, warm_up_seconds, body_bytes)
    own, broker = cpu_seconds(target.pid), cpu_seconds(broker_pid)
    result = wrk(target.port, connections, seconds, body_bytes)
    own, broker = cpu_seconds(target.pid) - own, cpu_seconds(broker_pid) - broker
    accepted = max(1, result["accepted"])
    result.update(rate=result["accepted"] / result["seconds"],
                  service_cpu_us=own / accepted * 1e6, broker_cpu_us=broker / accepted * 1e6,
                  rss_bytes=resident_bytes(target.pid),
                  private_bytes=resident_bytes(target.pid, "RssAnon"))
    return result


class SystemCalls:
    """Counts the system calls of a process while it is in this context."""

    def __init__(self, pid):
        self.pid = pid
        self.counts = {}

    def __enter__(self):
        self.process = subprocess.Popen(
            ["strace", "-c", "-f", "-q", "-U", "name,calls", "-p", str(self.pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 20
        while not is_traced(self.pid):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("strace does not attach: " + self.process.stderr.read())
            time.sleep(0.02)
        return self

    def __exit__(self, *unused):
        self.process.send_signal(signal.SIGINT)
        text = self.process.communicate(timeout=30)[1]
        for name, calls in re.findall(r"^\s*([a-z_0-9]+)\s+(\d+)\s*$", text, re.M):
            if name != "total":
                self.counts[name] = int(calls)
        return False

    def total(self):
        return sum(self.counts.values())


class MemoryWatch:
    """Samples a process's resident memory, once a second."""

    def __init__(self, pid, seconds=1.0):
        self.pid, self.seconds = pid, seconds
        self.samples = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        begin = time.monotonic()
        while not self.stopped.wait(self.seconds):
            self.samples.append((round(time.monotonic() - begin, 1), resident_bytes(self.pid)))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.stopped.set()
        self.thread.join()
        return False
