"""C is formatted as .clang-format says, by the version of clang-format that Debian 12 has."""

import re
import shutil
import subprocess

import pytest

from tree import ROOT, output_of_failure, plant, tracked

VERSION = "14"


@pytest.fixture(scope="module", autouse=True)
def the_judge():
    if shutil.which("clang-format") is None:
        pytest.skip("SKIPPED: the format is judged by clang-format %s (Debian 12); there is none" % VERSION)
    shown = subprocess.run(["clang-format", "--version"], check=True, text=True, stdout=subprocess.PIPE).stdout
    if re.search(r"version (\d+)", shown).group(1) != VERSION:
        pytest.skip("SKIPPED: the format is judged by clang-format %s (Debian 12); this is %s" % (VERSION, shown))


def complaint(*files):
    return output_of_failure("clang-format", "--style=file:%s/.clang-format" % ROOT, "--dry-run", "-Werror", *files)


def test_all_is_formatted():
    files = tracked("*.c", "*.h")
    assert files
    found = complaint(*files)
    assert not found, found


@pytest.mark.parametrize("name", ("a.c", "a.h"))
def test_what_is_not_formatted_is_found(tmp_path, name):
    assert complaint(plant(tmp_path, name, "int twice(int x)\n{\n    return 2 * x;\n}\n")) == ""
    assert "code should be clang-formatted" in complaint(
        plant(tmp_path, name, "int twice (int x) {\n  return 2*x;\n}\n"))
