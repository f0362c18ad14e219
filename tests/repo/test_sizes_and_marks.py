"""What is small stays small, and nothing is left for later."""

import re

import pytest

from tree import ROOT, files, plant

FOLDERS = ("common", "user-service", "session-service", "scripts", "tests")
SUFFIXES = (".c", ".h", ".py", ".sh")
LINES_OF_A_FILE = 500
FILES_IN_SCRIPTS = 10
MARKS = re.compile(r"\bTODO\b|\bFIXME\b|\bXXX\b|\bHACK\b")


def too_long(root):
    lines = {path: len((root / path).read_text().splitlines()) for path in files(root, FOLDERS, *SUFFIXES)}
    return ["%s has %d lines" % one for one in lines.items() if one[1] > LINES_OF_A_FILE]


def marks(root):
    return ["%s:%d: %s" % (path, number, line) for path in files(root, FOLDERS, *SUFFIXES)
            for number, line in enumerate((root / path).read_text().splitlines(), 1) if MARKS.search(line)]


def scripts(root):
    return files(root, ("scripts",))


def test_no_file_is_too_long():
    assert not too_long(ROOT)


def test_nothing_is_marked_for_later():
    found = marks(ROOT)
    assert not found, "\n".join(found)


def test_scripts_are_few():
    found = scripts(ROOT)
    assert len(found) <= FILES_IN_SCRIPTS, "%d: %s" % (len(found), " ".join(found))


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_planted_is_found(tmp_path, folder, suffix):
    path = "%s/below/a%s" % (folder, suffix)
    plant(tmp_path, path, "line\n" * LINES_OF_A_FILE)
    assert too_long(tmp_path) == marks(tmp_path) == []
    plant(tmp_path, path, "line\n" * LINES_OF_A_FILE + "one more")
    assert too_long(tmp_path) == ["%s has 501 lines" % path]


@pytest.mark.parametrize("mark", ("todo", "fixme", "xxx", "hack"))
def test_a_planted_mark_is_found(tmp_path, mark):
    plant(tmp_path, "tests/a.sh", "# a shackle\nmktemp -t a." + 6 * "X" + "\n")
    assert marks(tmp_path) == []
    plant(tmp_path, "common/a.c", "int a;\n// %s: more\n" % mark.upper())
    assert marks(tmp_path) == ["common/a.c:2: // %s: more" % mark.upper()]


def test_one_script_too_many_is_found(tmp_path):
    for number in range(FILES_IN_SCRIPTS + 1):
        plant(tmp_path, "scripts/%d.py" % number, "")
    plant(tmp_path, "scripts/__pycache__/1.pyc", "")
    assert len(scripts(tmp_path)) == FILES_IN_SCRIPTS + 1
