"""Runs a program under callgrind and adds up, for each object file, what it executed itself."""

import os
import re
import subprocess
import tempfile

ALLOCATORS = ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc")
RUN_SECONDS = 300


def command(out):
    return ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, "--compress-strings=no",
            "--compress-pos=no", "-q"]


class Counts:
    def __init__(self):
        self.by_object = {}
        self.allocations = 0

    def add(self, name, instructions):
        self.by_object[name] = self.by_object.get(name, 0) + instructions


def read(path):
    """The format: https://valgrind.org/docs/manual/cl-format.html"""
    counts = Counts()
    current, called, is_call_cost = "", "", False
    with open(path) as file:
        for line in file:
            if line.startswith("ob="):
                current = os.path.basename(line[3:].strip())
            elif line.startswith("cfn="):
                called = re.sub(r"'\d+$", "", line[4:].strip())
            elif line.startswith("calls="):
                is_call_cost = True  # the next line is what the callee cost
                if called in ALLOCATORS:
                    counts.allocations += int(line[6:].split()[0])
            elif line[0].isdigit():
                if not is_call_cost:
                    counts.add(current, int(line.split()[1]))
                is_call_cost = False
    return counts


def run(program, *arguments):
    with tempfile.TemporaryDirectory(prefix="callgrind-") as directory:
        out = os.path.join(directory, "out")
        subprocess.run(command(out) + [program, *arguments, directory], check=True,
                       stdin=subprocess.DEVNULL, timeout=RUN_SECONDS)
        return read(out)


def per_item(small, large, items):
    """The difference of two runs: what starting and ending cost is in both."""
    objects = {name: (large.by_object[name] - small.by_object.get(name, 0)) / items
               for name in large.by_object}
    return objects, (large.allocations - small.allocations) / items
