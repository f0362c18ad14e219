"""The reasons of dead letters and the problems of HTTP: what the code says is on the pages, and nothing else is."""

import re

from tree import ROOT, files

SOURCES = ("common", "user-service", "session-service")


def sources(*folders):
    return "\n".join((ROOT / path).read_text() for path in files(ROOT, folders, ".c", ".h"))


def rows(page, heading):
    """The first cells of the table that begins with this heading, without their backticks."""
    table = re.search(r"^\| %s \|.*\n\|[-|]+\n((?:\|.*\n)+)" % heading, (ROOT / page).read_text(), re.MULTILINE)
    return [row.split("|")[1].strip().strip("`") for row in table.group(1).splitlines()]


def reasons_of_letters():
    defined = re.search(r"#define DEAD_LETTER_REASONS((?:.*\\\n)+.*\n)",
                        (ROOT / "session-service/consumer_status.h").read_text())
    return re.findall(r'"([a-z-]+)"', defined.group(1))


def test_each_reason_of_a_letter_is_on_the_pages():
    reasons = reasons_of_letters()
    assert len(reasons) == len(set(reasons)) >= 10
    assert sorted(rows("docs/operations.md", "reason")) == sorted(reasons)
    manual = (ROOT / "docs/session-service.8").read_text()
    told = re.search(r"\\fIdead-letter-reason\\fR \(([^)]*)\)", manual).group(1)
    assert sorted(re.split(r",\s+", told)) == sorted(reasons)


def test_each_reason_that_is_set_is_counted_by_its_name():
    text = sources("common/user", "session-service")
    found = re.findall(r'set_impossible\(\w+, "([a-z-]+)"\)|refuse\(\w+, "([a-z-]+)",|reason = "([a-z-]+)"', text)
    used = {one for match in found for one in match if one}
    assert used == set(reasons_of_letters())


def test_each_reason_of_a_503_is_on_the_page():
    text = (ROOT / "user-service/reply.c").read_text()
    table = re.search(r"refusals\[EVENT_OUTCOMES\] = \{(.*?)^\};", text, re.MULTILINE | re.DOTALL).group(1)
    reasons = re.findall(r'\[EVENT_\w+\] =\s*\{"([a-z-]+)",\s*"[^"]', table)
    reasons += re.findall(r'\\"reason\\":\\"([a-z-]+)\\"', sources("common", "session-service"))
    assert len(reasons) >= 10
    told = re.findall(r"^\| `([a-z-]+)` \| [^|]*\|$", (ROOT / "docs/http.md").read_text().split("| reason |")[1].split("\n\n")[0],
                      re.MULTILINE)
    assert sorted(told) == sorted(reasons)


def test_each_problem_is_on_the_page():
    """In the code its name follows a status, or what is replied to."""
    names = set(re.findall(r'(?:(?:\b[45]\d\d|\basker|&reply),\s*|\.problem = )"([a-z-]+)"', sources(*SOURCES)))
    assert len(names) >= 20
    assert sorted(rows("docs/http.md", "type")) == sorted(names)
