"""The tables of options, metrics and log events: what is wrong must not compile, and what is there is documented.

Both compilers read small sources that have one mistake each. A right source goes through the same checks first, so that
a refusal is one of the mistake, and the compiler's message must be the one that names it. For the documents a small
program prints the tables, and docs/monitoring.md must have the same rows.
"""

import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "monitoring.md"
FOLDERS = {"common": "both", "user-service": "user-service", "session-service": "session-service"}
COMPILERS = [pytest.param(name, marks=pytest.mark.skipif(
    shutil.which(name) is None, reason="SKIPPED: %s is missing: it has not tried what must not compile" % name))
    for name in ("gcc", "clang")]


def sources(*patterns):
    return {path: path.read_text() for folder in FOLDERS for pattern in patterns
            for path in sorted((ROOT / folder).rglob(pattern))}


def compiler_flags():
    """Those of a build, but without -Werror: what is wrong must be refused in every build."""
    dependencies = re.findall(r"IMPORTED_TARGET (.+)\)", (ROOT / "cmake/Dependencies.cmake").read_text())
    modules = re.sub(r">=\S+", "", " ".join(dependencies)).split()
    paths = subprocess.run(["pkg-config", "--cflags", *modules], stdout=subprocess.PIPE, text=True, check=True)
    warnings = (ROOT / "cmake/Compiler.cmake").read_text().split("if(WERROR)")[0]
    return ["-std=gnu11", "-D_GNU_SOURCE", '-DPROJECT_VERSION="0"', "-I", str(ROOT), *paths.stdout.split(),
            *re.findall(r"-W[\w=-]+", warnings)]


def compile_source(compiler, source, *arguments):
    return subprocess.run([compiler, *compiler_flags(), *arguments, "-x", "c", "-"], input=source, text=True,
                          timeout=60, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


OPTIONS = """
#include "common/options/options.h"
enum mode { MODE_ON, MODE_OFF };
struct settings {
    char *text;
    enum mode mode;
    int64_t number;
    bool flag;
    int narrow_number;
    char array[8];
    float fraction;
};
#define ROW(...) OPTION_ROW(struct settings, __VA_ARGS__)
static const struct option_row rows[] = {
    ROW(text, TEXT("FILE"), "text", NULL, "a text", .secret = true)
    ROW(mode, CHOICE(enum mode, "MODE", "on|off"), "mode", "on", "a choice")
    ROW(number, INTEGER(1, 9), "number", "1", "a number")
    ROW(number, DURATION(1, 9), "duration", "1ms", "a duration")
    ROW(number, SIZE(1, 9), "size", "1", "a size")
    ROW(flag, FLAG, "flag", NULL, "a flag")
    %s
};
const struct option_row *first_row(void);
const struct option_row *first_row(void) { return rows; }
"""
OTHER_OPTION_TYPE = "the option's kind asks for another C type"
WRONG_OPTIONS = {
    "an int under an integer": ('ROW(narrow_number, INTEGER(1, 9), "x", NULL, "h")', OTHER_OPTION_TYPE),
    "an int under a duration": ('ROW(narrow_number, DURATION(1, 9), "x", NULL, "h")', OTHER_OPTION_TYPE),
    "an int under a size": ('ROW(narrow_number, SIZE(1, 9), "x", NULL, "h")', OTHER_OPTION_TYPE),
    "an array under a text": ('ROW(array, TEXT("FILE"), "x", NULL, "h")', OTHER_OPTION_TYPE),
    "an int under a choice": (
        'ROW(narrow_number, CHOICE(enum mode, "MODE", "on|off"), "x", "on", "h")', OTHER_OPTION_TYPE),
    "a choice that is no enum": (
        'ROW(fraction, CHOICE(float, "MODE", "on|off"), "x", "on", "h")', "a choice is an enum"),
    "a choice under a flag": ('ROW(mode, FLAG, "x", NULL, "h")', OTHER_OPTION_TYPE),
    "a number without a range": ('ROW(number, INTEGER, "x", NULL, "h")', "OPTION_C_TYPE_INTEGER"),
    "a text with a range": ('ROW(text, TEXT("FILE", 1, 9), "x", NULL, "h")', "OPTION_C_TYPE_TEXT"),
    "a member that is not there": ('ROW(nothing, TEXT("FILE"), "x", NULL, "h")', "nothing"),
}

METRICS = """
#include "common/metrics/metrics.h"
#define METRICS(METRIC) \\
    METRIC(count, COUNTER, "count_total", "A count.", .scale = 0.001) \\
    METRIC(level, GAUGE, "level", "A level.") \\
    METRIC(time, HISTOGRAM, "time_seconds", "A time.") \\
    METRIC(replies, COUNTERS("class", "2xx", "4xx"), "replies_total", "Replies.")
struct metrics { METRICS(METRIC_MEMBER) uint64_t plain; metric_counter also; };
struct other_metrics { int nothing; };
#define ROW(...) METRIC_ROW(struct metrics, __VA_ARGS__)
METRIC_TABLE(append_metrics, struct metrics, METRICS(ROW) %s)
void append(struct buffer *text, const struct metrics *metrics, const struct other_metrics *other);
void append(struct buffer *text, const struct metrics *metrics, const struct other_metrics *other)
{
    (void)other;
    append_metrics(text, metrics);
    %s
}
"""
OTHER_METRIC_TYPE = "the metric's kind asks for another C type"
WRONG_METRICS = {
    "a histogram over a counter": ('ROW(count, HISTOGRAM, "x", "h")', "", OTHER_METRIC_TYPE),
    "a gauge over a counter": ('ROW(count, GAUGE, "x", "h")', "", OTHER_METRIC_TYPE),
    "a counter over a histogram": ('ROW(time, COUNTER, "x", "h")', "", OTHER_METRIC_TYPE),
    "a counter that is not atomic": ('ROW(plain, COUNTER, "x", "h")', "", OTHER_METRIC_TYPE),
    "one label value too many": (
        'ROW(replies, COUNTERS("class", "2xx", "4xx", "5xx"), "x", "h")', "", OTHER_METRIC_TYPE),
    "one label value too few": ('ROW(replies, COUNTERS("class", "2xx"), "x", "h")', "", OTHER_METRIC_TYPE),
    "labels for a counter that has none": ('ROW(also, COUNTERS("class", "2xx"), "x", "h")', "", OTHER_METRIC_TYPE),
    "a row too many": ('ROW(absent, COUNTER, "x", "h")', "", "absent"),
    "the table of another struct": ("", "append_metrics(text, other);", "incompatible"),
}

EVENTS = """
#include "common/log/log_events.h"
void log_something(struct buffer *lines);
void log_something(struct buffer *lines)
{
    log_at(&event_broker_connected, log_string("name", "a"));
    log_event(&event_service_stopped, NULL, 0);
    log_append(lines, &event_service_stopped, NULL, 0);
    log_format_line(lines, LOG_FORMAT_TEXT, "a", 0, &event_service_stopped, NULL, 0);
    %s
}
"""
WRONG_EVENTS = {
    "an event of no table": ('log_at(&event_of_no_table, log_string("name", "a"));', "event_of_no_table"),
    "a text for log_at": ('log_at("broker.connected", log_string("name", "a"));', "incompatible"),
    "a text for log_event": ('log_event("service.stopped", NULL, 0);', "incompatible"),
    "a text for log_append": ('log_append(lines, "service.stopped", NULL, 0);', "incompatible"),
    "a text for log_format_line": ('log_format_line(lines, LOG_FORMAT_TEXT, "a", 0, "a.b", NULL, 0);', "incompatible"),
    "the event of a service in common": ('log_at(&event_user_saved, log_string("name", "a"));', "event_user_saved"),
}

WRONG = [pytest.param(OPTIONS, rows[:-1], rows[-1], id=what) for what, rows in WRONG_OPTIONS.items()]
WRONG += [pytest.param(METRICS, rows[:-1], rows[-1], id=what) for what, rows in WRONG_METRICS.items()]
WRONG += [pytest.param(EVENTS, rows[:-1], rows[-1], id=what) for what, rows in WRONG_EVENTS.items()]


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("source", [OPTIONS, METRICS, EVENTS], ids=["options", "metrics", "events"])
def test_what_is_right_compiles_without_a_word(compiler, source):
    compiled = compile_source(compiler, source.replace("%s", ""), "-fsyntax-only", "-Werror")
    assert (compiled.returncode, compiled.stdout) == (0, "")


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("source, mistake, message", WRONG)
def test_what_is_wrong_is_refused_for_that_reason(compiler, source, mistake, message):
    compiled = compile_source(compiler, source % mistake, "-fsyntax-only")
    errors = [line.replace("\\'", "'") for line in compiled.stdout.splitlines() if "error:" in line]
    assert compiled.returncode != 0
    assert any(message in line for line in errors), compiled.stdout


METRICS_H = (ROOT / "common/metrics/metrics.h").read_text()
METRIC_C_TYPES = set(re.findall(r"^#define METRIC_C_TYPE_\w+(?:\(.*?\))? (.+)$", METRICS_H, re.MULTILINE))

# What would go around the tables: a pattern, and the files that may have it.
DETOURS = {
    "an offset that no check has seen": (
        r"\.offset = |\boffsetof\(",
        {"common/options/options.h", "common/metrics/metrics.h", "common/user/user_event.c"}),  # the last: of a message, which is in no table
    "a metric that is in no list": (
        r"^ +(%s) [^*]*;" % "|".join(["_Atomic", *sorted(METRIC_C_TYPES)]), {"common/metrics/metrics.h"}),
    "rows of metrics with a count by hand": (
        r"\bmetrics_render\(", {"common/metrics/metrics.h", "common/metrics/metrics.c"}),
    "an event that is in no list": (
        r"struct log_event \w+ =|\(struct log_event\)|LOG_EVENT_DEFINE\(", {"common/log/log.h"}),
}


@pytest.mark.parametrize("what", DETOURS)
def test_nothing_goes_around_the_tables(what):
    pattern, allowed = DETOURS[what]
    found = {str(path.relative_to(ROOT)) for path, text in sources("*.[ch]").items()
             if re.search(pattern, text, re.MULTILINE)}
    assert found - allowed == set()
    assert found != set(), "the pattern finds nothing any more, not even where it is allowed"


# What it says of a kind of metric comes from metrics.c, which is compiled with it.
PRINTER = """
%(includes)s
#include <stdio.h>
struct all { %(members)s int unused; };
#define ROW(...) METRIC_ROW(struct all, __VA_ARGS__)
static const struct metric_row rows[] = {%(rows)s {.name = NULL}};
#define PRINT_EVENT(event, level, name, meaning, action) \\
    puts("event\\t" name "\\t" #level "\\t" meaning "\\t" action);
int main(void)
{
    static const struct all none;
    struct buffer text;
    buffer_init(&text, 1024 * 1024);
    metrics_render(&text, rows, sizeof(rows) / sizeof(rows[0]) - 1, &none);
    for (const struct metric_row *row = rows; row->name != NULL; row++) {
        printf("metric\\t%%s\\t%%s", row->name, row->label == NULL ? "" : row->label);
        for (size_t i = 0; i < row->count; i++) {
            printf("%%s%%s", i == 0 ? ": " : ", ", row->values[i] == NULL ? "?" : row->values[i]);
        }
        printf("\\t%%s\\n", row->help);
    }
    %(events)s
    fwrite(text.data, 1, text.length, stdout);
    buffer_done(&text);
}
"""


def lists_in(folder, pattern):
    """The lists that the folder's headers define, each with its header."""
    return [(name, str(path.relative_to(ROOT))) for path, text in sources("*.h").items()
            if path.relative_to(ROOT).parts[0] == folder for name in re.findall(pattern, text, re.MULTILINE)]


def metric_lists(folder):
    return lists_in(folder, r"^#define (\w+_METRICS)\(METRIC\)")


def event_lists(folder):
    return lists_in(folder, r"^#define (\w+_LOG_EVENTS)\(EVENT\)")


def print_tables(folder, scratch):
    metrics, events = metric_lists(folder), event_lists(folder)
    headers = sorted({header for _, header in metrics + events})
    # Two lists may have members of the same name, so each list has a struct of its own.
    source = PRINTER % {
        "includes": "".join(f'#include "{header}"\n' for header in headers) + '#include "common/metrics/metrics.h"',
        "members": " ".join(f"struct {{ {name}(METRIC_MEMBER) }} m_{name};" for name, _ in metrics),
        "rows": " ".join(f"{name}(ROW_{name})" for name, _ in metrics),
        "events": " ".join(f"{name}(PRINT_EVENT)" for name, _ in events),
    }
    rows = "".join(f"#define ROW_{name}(member, ...) ROW(m_{name}.member, __VA_ARGS__)\n" for name, _ in metrics)
    program = scratch / folder
    rendering = [str(ROOT / "common" / name) for name in ("metrics/metrics.c", "base/buffer.c")]
    compiled = compile_source("gcc", rows + source, "-Werror=switch", "-o", str(program), *rendering)
    assert compiled.returncode == 0, "a kind of metric that metrics.c does not render?\n" + compiled.stdout
    return subprocess.run([str(program)], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The rows that the page must have: lists of cells, of the metrics and of the events."""
    scratch = tmp_path_factory.mktemp("tables")
    rows = {"metric": [], "event": []}
    for folder, owner in FOLDERS.items():
        printed = print_tables(folder, scratch)
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", "\n".join(printed), re.MULTILINE))
        for line in printed:
            kind, *cells = line.split("\t")
            if kind == "metric":
                name, labels, text = cells
                rows[kind].append((f"`{name}`", owner, labels, types[name], text))
            elif kind == "event":
                name, level, *texts = cells
                rows[kind].append((f"`{name}`", owner, level.lower(), *texts))
    return rows


def rows_of_page(text, heading):
    """The rows of the table whose first column has this heading."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [tuple(cell.strip() for cell in row.strip().strip("|").split(" | ")) for row in table[1].splitlines()]


def differences(rows, text, heading):
    documented = rows_of_page(text, heading)
    return ([f"missing or out of date: | {' | '.join(row)} |" for row in rows if row not in documented]
            + [f"not so in the code: | {' | '.join(row)} |" for row in documented if row not in rows])


def test_the_tables_are_read(tables):
    """A list that nobody found would be documented by nobody."""
    shown = {name for text in sources("*.c").values()
             for name in re.findall(r"^METRIC_TABLE\(\w+, [\w ]+, (\w+)\(ROW\)\)", text, re.MULTILINE)}
    assert shown == {name for folder in FOLDERS for name, _ in metric_lists(folder)}
    defined = {name for text in sources("*.h").values()
               for name in re.findall(r"^(\w+)\(LOG_EVENT_DEFINE\)", text, re.MULTILINE)}
    assert defined == {name for folder in FOLDERS for name, _ in event_lists(folder)}
    for kind, at_least in (("metric", 30), ("event", 30)):
        assert len(tables[kind]) == len({row[:2] for row in tables[kind]}) >= at_least
    assert not any("?" in row[2] for row in tables["metric"]), "an index of a family of counters has no name"


def test_each_event_says_what_happened_and_what_to_do(tables):
    for name, _, level, meaning, action in tables["event"]:
        assert meaning.endswith("."), name
        assert action.endswith(".") if level in ("warning", "error") else action == "", name


@pytest.mark.parametrize("kind", ["metric", "event"])
def test_all_are_documented_as_they_are(tables, kind):
    assert differences(tables[kind], PAGE.read_text(), kind) == []


@pytest.mark.parametrize("kind", ["metric", "event"])
def test_a_difference_is_found(tables, kind):
    rows = tables[kind]
    lines = [f"| {' | '.join(row)} |\n" for row in rows]
    row = lines[3]

    def differences_of_page_with(new_row):
        page = f"| {kind} | and so on |\n|---|---|\n" + "".join(lines).replace(row, new_row)
        return differences(rows, page, kind)

    assert differences_of_page_with(row) == []
    assert len(differences_of_page_with("")) == 1
    assert len(differences_of_page_with(row + row.replace("`", "`x_", 1))) == 1
    assert len(differences_of_page_with(row.replace(". |", ", or not. |"))) == 2


def test_the_pages_name_no_metric_and_no_event_that_is_not_there(tables):
    """Also in prose, such as the alerts of docs/operations.md."""
    known = {row[0].strip("`") for rows in tables.values() for row in rows}
    groups = "|".join(sorted({name.split(".")[0] for name in known if "." in name}))
    for page in [ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text()
        named = set(re.findall(rf"`((?:{groups})\.(?![ch]`)[a-z_]+)`", text))
        named |= set(re.findall(r"\b(?:user|session)_service_[a-z_]+|\b(?:http|log|broker)_[a-z_]+_total\b", text))
        assert named - known == set(), page.name
