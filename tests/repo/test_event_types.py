"""Each type of event is told of where users, operators and the checker of the faults look for it."""

import re

import pytest

from tree import ROOT

LIST = ROOT / "common/user/user_event.h"
TYPES = re.findall(r"^ +TYPE\(ARGUMENT, \w+, \w+, +\"([\w.]+)\"", LIST.read_text(), re.MULTILINE)
PAGES = ("README.md", "docs/guarantee.md", "docs/operations.md", "docs/user-service.8", "tests/faults/attempts.py")


def missing(types, text):
    return [name for name in types if not re.search(r"(?<![\w.])%s(?!\w|\.\w)" % re.escape(name), text)]


def test_the_types_are_read():
    """A type that nobody found would be told of by nobody."""
    assert len(TYPES) == len(re.findall(r"TYPE\(ARGUMENT,", LIST.read_text())) >= 2
    assert missing(["user.saved", "user.left"], "`user.saved`, user.left_behind and user.left.") == []
    assert missing(["user.left", "user.lef"], "user.left_behind") == ["user.left", "user.lef"]


@pytest.mark.parametrize("page", PAGES)
def test_each_type_is_named(page):
    assert missing(TYPES, (ROOT / page).read_text()) == [], "see 'A worked example: a new type of event' in CONTRIBUTING.md"


def test_the_reason_unknown_type_names_all():
    row = re.search(r"^\| `unknown-type` \|.*$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)[0]
    assert missing(TYPES, row) == []
