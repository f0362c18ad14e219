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
    # Each fence is matched once: the end of one block is not the beginning of another.
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


COMMANDS = [line for block in blocks("") for line in block.splitlines() if line not in ALREADY_RUN]
# It changes the tree that it runs in.
FORMAT = [command for command in COMMANDS if "clang-format -i" in command]


def copy_of_the_tree(tree):
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if os.path.exists(os.path.join(ROOT, name)):
            os.makedirs(tree / os.path.dirname(name), exist_ok=True)
            shutil.copy2(os.path.join(ROOT, name), tree / name)
    run("git init -q && git add --all", tree)
    return tree


def is_the_judging_format():
    return "version 14." in subprocess.run(["clang-format", "--version"], stdout=subprocess.PIPE, check=True, text=True).stdout


def run(command, folder=ROOT, **environment):
    done = subprocess.run(["bash", "-c", command], cwd=folder, stdin=subprocess.DEVNULL, text=True, timeout=900,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, **environment))
    assert done.returncode == 0, "%s\n%s" % (command, done.stdout[-4000:])
    return done.stdout


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in FORMAT])
def test_a_command(command):
    output = run(command)
    # One that names a test that is no more would pass with nothing run.
    if "ctest" in command:
        assert re.search(r"tests passed, 0 tests failed out of [1-9]|100% tests passed", output), output
        assert "No tests were found" not in output
    elif "pytest" in command:
        assert re.search(r"^[1-9]\d* passed", output, re.MULTILINE), output


def test_the_page_has_commands_of_each_kind():
    assert all(re.match(r"[\w/.]", command) for command in COMMANDS), COMMANDS
    text = "\n".join(COMMANDS)
    for kind in ("ctest --test-dir build ", "pytest -q tests/repo", "pytest -q tests/system", "pytest -q tests/faults",
                 "faults.sh", "sweep.py", "build-asan-ubsan", "fuzz.sh", "test-machines.sh", "clang-format", "guards.py"):
        assert kind in text, kind


def test_the_command_that_formats(tmp_path):
    """It repairs what is not formatted, and changes nothing else."""
    if not is_the_judging_format():
        pytest.skip("SKIPPED: another clang-format than 14 formats otherwise")
    tree = copy_of_the_tree(tmp_path / "tree")
    with open(tree / "common/base/clock.c", "a") as file:
        file.write("int  not_formatted ;\n")
    (command,) = FORMAT
    run(command, tree)
    assert run("git diff", tree).splitlines()[-1] == "+int not_formatted;"


def test_the_worked_example(tmp_path):
    """Its diff applies to this tree, and what it adds compiles, is documented, and passes its own test."""
    tree = copy_of_the_tree(tmp_path / "tree")
    (example,) = blocks("diff")
    (tmp_path / "example.patch").write_text(example)
    run("git apply ../example.patch", tree)
    run("scripts/build.sh release", tree)
    if is_the_judging_format():
        run("git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror", tree)
    for command in [line for block in blocks("sh") for line in block.splitlines()]:
        assert " passed" in run(command, tree, SERVICES_BUILD_DIR=str(tree / "build"))
