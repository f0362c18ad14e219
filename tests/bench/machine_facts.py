"""On what it was measured."""

import os
import platform
import re
import subprocess


def _first_line(*command):
    try:
        out = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return "not there"
    return out.strip().splitlines()[0] if out.strip() else "not there"


def _package(name):
    return _first_line("dpkg-query", "-W", "-f", "${Version}", name)


def gather():
    with open("/proc/cpuinfo") as file:
        text = file.read()
    model = re.search(r"^model name\s*: (.*)$", text, re.M)
    with open("/proc/meminfo") as file:
        memory_kb = int(re.search(r"^MemTotal:\s+(\d+)", file.read(), re.M).group(1))
    with open("/etc/os-release") as file:
        system = re.search(r'^PRETTY_NAME="(.*)"$', file.read(), re.M).group(1)
    return {
        "processor": model.group(1) if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_kb / 1024 / 1024),
        "kernel": platform.release().split("-")[0],
        "system": system,
        "RabbitMQ": _package("rabbitmq-server"),
        "Erlang": _package("erlang-base"),
        "librabbitmq": _package("librabbitmq-dev"),
        "libmicrohttpd": _package("libmicrohttpd-dev"),
        "Node.js": _first_line("node", "--version"),
        "Go": _first_line("go", "version").replace("go version ", ""),
        "wrk": _package("wrk"),
        "compiler": _first_line("cc", "--version"),
    }
