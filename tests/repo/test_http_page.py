"""docs/http.md says the bounds of early replies as the code has them."""

import re

from tree import ROOT

UNITS = {"s": 1000, "MiB": 1024 * 1024, "connections": 1}


def constants():
    text = (ROOT / "common/http/http_linger.h").read_text()
    return {name: eval(value, {}) for name, value in re.findall(r"(HTTP_LINGER_\w+) = ([\d *]+),", text)}


def told():
    rows = re.findall(r"^\| `(HTTP_LINGER_\w+)` \| (\d+) (\S+)[ |]", (ROOT / "docs/http.md").read_text(), re.MULTILINE)
    return {name: int(number) * UNITS[unit] for name, number, unit in rows}


def test_each_bound_is_told():
    assert len(constants()) == 4
    assert told() == constants()
