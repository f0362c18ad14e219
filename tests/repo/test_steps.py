"""What the lists of scripts/test.sh name is there: a file that is left out by a wrong name would run after all. And what
the system tests begin with."""

import os
import re

from tree import ROOT

LISTS = ("unsanitized", "address_sanitized", "thread_sanitized")


def named(text):
    found = {name: words.split() for name, words in re.findall(r'^(\w+)="([^"]*)"$', text, re.MULTILINE)}
    return {name: found[name] for name in LISTS}


def judge(lists):
    all_names = [name for names in lists.values() for name in names]
    wrong = [name for name in all_names if not os.path.exists(os.path.join(ROOT, "tests", "system", "test_%s.py" % name))]
    return wrong + [name for name in set(all_names) if all_names.count(name) > 1]


def test_the_files_that_sanitizers_leave_out():
    with open(os.path.join(ROOT, "scripts", "test.sh")) as file:
        lists = named(file.read())
    assert all(lists.values())
    assert judge(lists) == []


def test_a_planted_mistake_is_found():
    assert judge(named('unsanitized="readme no-such"\naddress_sanitized="tls\n  json_cases"\nthread_sanitized="tls"\n')) == [
        "no-such", "tls"]


def test_the_files_that_begin_early():
    with open(os.path.join(ROOT, "tests", "system", "conftest.py")) as file:
        (names,) = re.findall(r"^BEGIN_EARLY = \(([^)]*)\)", file.read(), re.MULTILINE)
    early = re.findall(r'"(\w+)"', names)
    assert early and judge({"early": early}) == []
