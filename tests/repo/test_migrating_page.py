"""docs/migrating.md: its table of requests is the one that tests send, what --compat sets is what the code has, and each
difference has an option that exists, or says that there is none."""

import re

from support.demo_requests import REQUESTS, page_rows
from tree import ROOT

PAGE = (ROOT / "docs/migrating.md").read_text()
SETTINGS = {service: (ROOT / service / "settings.c").read_text() for service in ("user-service", "session-service")}
HEADERS = "".join((ROOT / path).read_text() for path in (
    "common/service/common_settings.h", "user-service/settings.h", "session-service/settings.h"))


def table(heading):
    found = re.search(r"^\| %s \|.*\n\|[-|]+\n((?:\|.*\n)+)" % heading, PAGE, re.MULTILINE)
    return found.group(1).splitlines()


def cells(row):
    return [cell.strip() for cell in row.strip("|").split(" |")]


def test_the_requests_are_those_that_are_sent():
    assert len(REQUESTS) >= 20
    assert table("request") == page_rows()


def test_what_compat_sets_is_what_the_code_has():
    rows = {cells(row)[0].strip("`"): [cell.strip("`") for cell in cells(row)[1:3]] for row in table("option")}
    for column, (service, text) in enumerate(SETTINGS.items()):
        presets = re.search(r"demo_presets\[\] = \{(.*?)\};", text, re.DOTALL).group(1)
        expected = {"--" + name: value or "(empty)" for name, value in re.findall(r'\{"([a-z-]+)", "(.*?)"\}', presets)}
        assert {name: values[column] for name, values in rows.items() if values[column]} == expected, service


def test_each_option_that_is_named_exists():
    names = set(re.findall(r"--([a-z][a-z-]+)", PAGE)) - {"config", "check-config"}
    assert names and not [name for name in names if '"%s"' % name not in HEADERS]


def test_each_difference_says_what_relaxes_it():
    rows = [row for row in re.findall(r"^\|.*\|$", PAGE, re.MULTILINE) if row.count("|") == 3 and not row.startswith("|---")]
    rows = [row for row in rows if cells(row)[1] != "relaxed by"]
    assert len(rows) >= 30
    assert [row for row in rows if not cells(row)[1]] == []
