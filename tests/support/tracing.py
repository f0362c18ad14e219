"""Calls of a running process that fail, or take long, by strace."""

import os
import subprocess

from support.wait import eventually


def is_traced(pid):
    """All of its threads: strace takes one after the other."""
    for task in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/status" % (pid, task)) as file:
                if "TracerPid:\t0\n" in file.read():
                    return False
        except FileNotFoundError:
            pass  # it has ended meanwhile
    return True


def _attach(pid, *arguments):
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-p", str(pid), *arguments],
                              stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: is_traced(pid), "strace is attached")
    return tracer


def inject(pid, calls, fault):
    """Returns strace when it is attached; `fault` as strace has it: error=EIO."""
    return _attach(pid, "-o", "/dev/null", "-e", "trace=" + calls, "-e", "inject=%s:%s" % (calls, fault))


def trace(pid, calls, path):
    """Returns strace when it is attached: it writes the calls to a file."""
    return _attach(pid, "-o", path, "-e", "trace=" + calls)


def count_failed(path, error):
    with open(path) as file:
        return file.read().count(" = -1 %s " % error)
