"""CONTRIBUTING.md does what it says: each of its commands, and its worked example on a copy of the tree."""

import os
import re
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(ROOT, "CONTRIBUTING.md")) as file:
    PAGE = file.read()
# The README's test command is what CI has run before.
ALREADY_RUN = ("scripts/test.sh",)


def blocks(language):
    return re.findall(r"^```%s\n(.*?)^```$" % language, PAGE, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("") for line in block.splitlines() if line not in ALREADY_RUN]


def run(command, folder=ROOT, **environment):
    done = subprocess.run(["bash", "-c", command], cwd=folder, stdin=subprocess.DEVNULL, text=True, timeout=900,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, **environment))
    assert done.returncode == 0, "%s\n%s" % (command, done.stdout[-4000:])
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command(command):
    output = run(command)
    # One that names a test that is no more would pass with nothing run.
    if "ctest" in command:
        assert re.search(r"tests passed, 0 tests failed out of [1-9]|100% tests passed", output), output
        assert "No tests were found" not in output
    elif "pytest" in command:
        assert re.search(r"^[1-9]\d* passed", output, re.MULTILINE), output


def test_the_page_has_commands_of_each_kind():
    text = "\n".join(COMMANDS)
    for kind in ("ctest --test-dir build ", "pytest -q tests/repo", "pytest -q tests/system", "pytest -q tests/faults",
                 "faults.sh", "sweep.py", "build-asan-ubsan", "fuzz.sh", "test-machines.sh", "clang-format", "guards.py"):
        assert kind in text, kind


def test_the_worked_example(tmp_path):
    """Its diff applies to this tree, and what it adds compiles, is documented, and passes its own test."""
    tree = tmp_path / "tree"
    for name in subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True,
                               text=True).stdout.split("\0"):
        if name and os.path.exists(os.path.join(ROOT, name)):
            os.makedirs(tree / os.path.dirname(name), exist_ok=True)
            shutil.copy2(os.path.join(ROOT, name), tree / name)
    (example,) = blocks("diff")
    (tmp_path / "example.patch").write_text(example)
    run("git init -q && git add --all && git apply ../example.patch", tree)
    run("scripts/build.sh release", tree)
    run("git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror", tree)
    own = os.environ.copy()
    own.pop("SERVICES_BUILD_DIR", None)
    for command in [line for block in blocks("sh") for line in block.splitlines()]:
        assert " passed" in run(command, tree, SERVICES_BUILD_DIR=str(tree / "build"))
