"""What the tests of the repository share. A tree is the repository, or one that a test has planted."""

import itertools
import pathlib
import re
import subprocess

from support import services

ROOT = pathlib.Path(services.ROOT)
SERVICES = ("user-service", "session-service")
NOT_OURS = {"node_modules", "__pycache__"}


def files(root, folders, *suffixes):
    """The files below the folders with one of the suffixes (without any: all), as paths from the root, sorted."""
    found = []
    for folder in folders:
        for path in (root / folder).rglob("*"):
            name = path.relative_to(root)
            if path.is_file() and not NOT_OURS & set(name.parts) and (not suffixes or path.suffix in suffixes):
                found.append(name.as_posix())
    return sorted(found)


def tracked(*patterns):
    """What git knows, and nobody has deleted: absolute paths."""
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, check=True, text=True,
                            stdout=subprocess.PIPE).stdout
    found = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in found if path.exists()]


def plant(root, path, text):
    """Writes a file of a planted tree; returns its path."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


def output_of_failure(*command):
    """Runs a checker; what it prints if it complains, else nothing."""
    done = subprocess.run([str(word) for word in command], cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    return "" if done.returncode == 0 else done.stdout or "it failed, and said nothing"


def with_braces_expanded(pattern):
    """a{b,c}{,d} -> ab abd ac acd, as a shell does it (no braces in braces)."""
    parts = re.split(r"\{([^{}]*)\}", pattern)
    alternatives = [[part] if i % 2 == 0 else part.split(",") for i, part in enumerate(parts)]
    return ["".join(words) for words in itertools.product(*alternatives)]
