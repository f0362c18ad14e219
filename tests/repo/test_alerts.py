"""The alerts of docs/operations.md: each is an expression over metrics that a service has, and promtool
takes it as a rule."""

import json
import re
import shutil

import pytest

from tree import ROOT, files, output_of_failure, plant

PAGE = "docs/operations.md"
FOLDERS = ("common", "user-service", "session-service")
ROW = re.compile(r"\| `([^`]+)`(?: for ([0-9]+) min)? \| ")
COMPARISON = re.compile(r" ([<>]=?|[!=]=) ")
LABELS = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"|\b(?:by|without|on|ignoring)\s*\([^)]*\)")
WORD = re.compile(r"[A-Za-z_:][\w:]*(?!\w|\s*\()")
OPERATORS = {"and", "or", "unless", "bool", "offset"}


def alerts(page):
    """(expression, minutes) of each row of the tables that begin with "alert when", and the lines that are wrong."""
    tables = re.findall(r"^\| alert when.*\n((?:.+\n?)*)", page, re.MULTILINE)
    rows = [row for table in tables for row in table.splitlines() if not row.startswith("|---")]
    found = [ROW.match(row) for row in rows]
    wrong = ["is not an expression, or one and 'for N min': " + row for row, alert in zip(rows, found) if not alert]
    wrong += ["is not in a table that begins with 'alert when': " + line for line in page.splitlines()
              if line not in rows and ROW.match(line) and COMPARISON.search(ROW.match(line).group(1))]
    # An escaped | is the expression's own.
    return [(one.group(1).replace(r"\|", "|"), int(one.group(2) or 0)) for one in found if one], wrong


def metrics_of(expression):
    """Every word that is no label, function or operator."""
    words = WORD.findall(re.sub(r"(?<![\w.])[\d.]+[a-z]*", "", LABELS.sub("", expression)))
    return sorted(set(words) - OPERATORS)


def metrics_of_services(root):
    """All string literals that could be names of metrics: they are in the modules' tables."""
    sources = [(root / path).read_text() for path in files(root, FOLDERS, ".c", ".h")]
    return {name for source in sources for name in re.findall(r'"([a-z0-9_]+)"', source)}


def problems(page, metrics):
    found, result = alerts(page)
    if not found and not result:
        result.append("there are no alerts")
    for expression, minutes in found:
        result += ["no service has the metric %s: %s" % (metric, expression)
                   for metric in metrics_of(expression) if metric not in metrics]
        if not metrics_of(expression):
            result.append("is about no metric: " + expression)
    return result


def complaint_of_promtool(page, folder):
    if shutil.which("promtool") is None:
        pytest.skip("SKIPPED: there is no promtool (package prometheus) to judge the expressions")
    rules = [{"alert": "Alert%d" % number, "for": "%dm" % minutes, "expr": expression}
             for number, (expression, minutes) in enumerate(alerts(page)[0], 1)]
    # JSON is YAML.
    file = plant(folder, "rules.json", json.dumps({"groups": [{"name": "services", "rules": rules}]}))
    return output_of_failure("promtool", "check", "rules", file)


def test_the_alerts_are_of_metrics_that_exist():
    found = problems((ROOT / PAGE).read_text(), metrics_of_services(ROOT))
    assert not found, "\n".join(found)


def test_promtool_takes_the_alerts(tmp_path):
    complaint = complaint_of_promtool((ROOT / PAGE).read_text(), tmp_path)
    assert not complaint, complaint


def page_with(*alert_rows):
    return "\n".join(("# Alerts", "", "| alert when | it means | do |", "|---|---|---|", *alert_rows, "", "More."))


METRICS = {"http_connections", "http_connection_limit", "log_lost_writes_total"}
CLEAN = page_with("| `http_connections > 0.9 * http_connection_limit` for 1 min | x | y |",
                  r'| `sum by (class) (rate(log_lost_writes_total{class=~"a\|b"}[5m])) > 1e3` | x | y |')


def test_a_clean_page_is_accepted(tmp_path):
    assert len(alerts(CLEAN)[0]) == 2
    assert problems(CLEAN, METRICS) == []
    assert complaint_of_promtool(CLEAN, tmp_path) == ""


@pytest.mark.parametrize("row, problem", (
    ("| `http_connections == 1` always | x | y |", "is not an expression"),
    ("| http_connections == 1 | x | y |", "is not an expression"),
    ("| `http_connection == 1` | x | y |", "no service has the metric http_connection:"),
    ("| `rate(outbox_rows[5m]) > 1` | x | y |", "no service has the metric outbox_rows:"),
    ("| `vector(1) > 0` | x | y |", "is about no metric"),
))
def test_a_planted_row_is_found(row, problem):
    assert [one[:len(problem)] for one in problems(page_with(row), METRICS)] == [problem]


def test_an_alert_outside_of_the_tables_is_found():
    found = problems(CLEAN + "\n\n| alert | do |\n|---|---|\n| `http_connections == 1` | y |\n", METRICS)
    assert [one[:24] for one in found] == ["is not in a table that b"]
    assert problems(CLEAN + "\n\n| option | it |\n|---|---|\n| `--queue` | y |\n", METRICS) == []


def test_a_page_without_alerts_is_found():
    assert problems("# Alerts\n", METRICS) == ["there are no alerts"]
    assert problems(page_with(), METRICS) == ["there are no alerts"]


def test_a_planted_expression_is_found(tmp_path):
    page = page_with("| `http_connections ==` | x | y |")
    assert problems(page, METRICS) == []
    assert "parse error" in complaint_of_promtool(page, tmp_path)


def test_names_of_metrics_are_the_literals_of_all_sources(tmp_path):
    plant(tmp_path, "common/http_metrics.h", '#pragma once\n{"http_connections", GAUGE}\n')
    plant(tmp_path, "user-service/a.c", 'name = "user_service_saves_total";\n// http_replies_total\n')
    assert metrics_of_services(tmp_path) == {"http_connections", "user_service_saves_total"}
