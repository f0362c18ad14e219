"""The rooms of the source folders: what each may include is read from its README.md. And which modules are pure."""

import collections
import pathlib
import re

import pytest

from tree import ROOT, files, plant, with_braces_expanded

FOLDERS = ("common", "user-service", "session-service")
SERVICES = ("user-service", "session-service")
# They do no input or output and read no clock.
PURE = ("user-service/{admission,event_clock,key_window}.[ch]",
        "session-service/{ack_window,event_content}.[ch]", "session-service/store/{store_order,store_json,store_postgres_array,store_postgres_fold,store_postgres_partitions,store_postgres_schema}.[ch]",
        "common/base/{backoff,hex,json_canonical,json_text,slice,traceparent,utf8}.[ch]",
        "common/http/{form,http_syntax}.[ch]",
        "common/log/log_format.[ch]",
        "common/amqp/{broker_refusal,broker_url,broker_url_parameters,confirm_window,message,nack_streak,queue_arguments}.[ch]", "common/user/*.[ch]")
STORE_HEADERS = ("session-service/store/{store,store_reader}.h",)
LIBRARIES = {"libmicrohttpd": r"microhttpd", "rabbitmq-c": r"rabbitmq-c/|amqp[a-z_]*\.h", "libsystemd": r"systemd/",
             "OpenSSL": r"openssl/", "SQLite": r"sqlite3", "libpq": r"libpq-fe\.h", "jansson": r"jansson", "inih": r"ini\.h", "libuuid": r"uuid/"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.MULTILINE)
MAY_USE = re.compile(r"^- \*\*May use:\*\* (.*)\.$", re.MULTILINE)
FIRST_FILE_LINES_MAX = 8  # title, purpose, three points, and what is between them

# In the files `of`, except those of `but_for`, no line matches `forbids`.
Rule = collections.namedtuple("Rule", "name of but_for forbids")
RULES = (
    Rule("a pure module does no input or output and reads no clock", of=PURE, but_for=(),
         forbids=r'^\s*#\s*include\s*[<"](?:\S*/)?(?:unistd\.h|sys/socket\.h|sys/epoll\.h|poll\.h|pthread\.h|(clock|broker)\.h)'),
    # Splitting a given time into a date is formatting; asking for the time is not.
    Rule("a pure module includes time.h", of=PURE, but_for=("common/log/log_format.c", "session-service/store/store_postgres_partitions.c"),
         forbids=r"^\s*#\s*include\s*<time\.h>"),
    Rule("a pure module asks for the time", of=PURE, but_for=(), forbids=r"\b(clock_gettime|gettimeofday|time)\("),
    # So that another store can stand behind the same headers. Comments may say what is behind them now.
    Rule("a header of the store names a database", of=STORE_HEADERS, but_for=(),
         forbids=r"^\s*#\s*include\s*[<\"](?:common/database/|sqlite|libpq|\S*_internal\.h)|\bstruct (?:database|statement)\b|\bsqlite3_|\bPG(?:conn|result)\b"),
)
PRAGMA_ONCE = "no #pragma once"
NO_SOURCES = "no sources"
NO_FIRST_FILE = "the room has no README.md that says in a few lines what it may use"
NOT_LISTED = "the room includes what its README.md does not list"
NOT_USED = "the README.md lists what the room does not include"
ROOM_CIRCLE = "rooms that include each other"
FILE_CIRCLE = "files that include each other"
OUTSIDE_A_ROOM = "a file of common/ that is in no room"
OTHER_SERVICE = "common/ knows no service, and no service another"


def is_one_of(path, patterns):
    return any(pathlib.PurePath(path).match(one) for pattern in patterns for one in with_braces_expanded(pattern))


def room_of(path):
    return path.rpartition("/")[0]


def library_of(header):
    return next((name for name, pattern in LIBRARIES.items() if re.match(pattern, header)), None)


def included(root, path):
    """(kind, name) of each #include of a file: a path of ours, or a library."""
    for quote, name in INCLUDE.findall((root / path).read_text()):
        library = library_of(name)
        if library:
            yield "library", library
        elif quote == '"':
            yield "ours", (pathlib.PurePath(name) if name.startswith(FOLDERS)
                           else pathlib.PurePath(room_of(path)) / name).as_posix()


def listed_in(readme):
    """The rooms and libraries that a room may use; None where it does not say so."""
    text = readme.read_text() if readme.is_file() else ""
    found = MAY_USE.search(text)
    if not found or len(text.partition("\n\n## ")[0].splitlines()) > FIRST_FILE_LINES_MAX:
        return None
    return {word.strip("` ") for word in re.split("[,;]", found.group(1))}


def circles(graph):
    """The sets of nodes from which one can come back to them."""
    reach = {node: set() for node in graph}
    for node in graph:
        todo = list(graph[node])
        while todo:
            next_node = todo.pop()
            if next_node not in reach[node]:
                reach[node].add(next_node)
                todo += graph.get(next_node, ())
    return {frozenset(other for other in reach[node] if node in reach.get(other, ())) for node in graph
            if node in reach[node]}


def modules(root, sources):
    """Which module each file is of: a .h and its .c are one, and all that include an _internal.h are one."""
    module = {}
    for path in sources:
        internal = [name for kind, name in included(root, path) if kind == "ours" and name.endswith("_internal.h")]
        module[path] = (internal or [path])[0].rpartition(".")[0].removesuffix("_internal")
    for path in sources:
        module[path] = module.get(path[:-1] + "c", module[path])
    return module


def room_violations(root, sources):
    rooms = collections.defaultdict(set)
    for path in sources:
        rooms[room_of(path)] |= {room_of(name) if kind == "ours" else name for kind, name in included(root, path)}
    for room, uses in rooms.items():
        uses.discard(room)
        if room == "common":
            yield OUTSIDE_A_ROOM, room
        for other in SERVICES:
            if not room.startswith(other):
                yield from ((OTHER_SERVICE, "%s: %s" % (room, use)) for use in uses if use.startswith(other))
        listed = listed_in(root / room / "README.md")
        if listed is None:
            yield NO_FIRST_FILE, room
            continue
        yield from ((NOT_LISTED, "%s: %s" % (room, use)) for use in sorted(uses - listed))
        yield from ((NOT_USED, "%s: %s" % (room, use)) for use in sorted(listed - uses))
    # A service and its own rooms are one house: there the files are looked at, not the rooms.
    common = {room: uses for room, uses in rooms.items() if room.startswith("common")}
    yield from ((ROOM_CIRCLE, ", ".join(sorted(circle))) for circle in circles(common))


def file_circles(root, sources):
    module = modules(root, sources)
    graph = collections.defaultdict(set)
    for path in sources:
        graph[module[path]] |= {module[name] for kind, name in included(root, path)
                                if kind == "ours" and module.get(name, module[path]) != module[path]}
    yield from ((FILE_CIRCLE, ", ".join(sorted(circle))) for circle in circles(dict(graph)))


def violations(root):
    """(rule, place) of each."""
    sources = files(root, FOLDERS, ".c", ".h")
    found = [] if sources else [(NO_SOURCES, str(root))]
    for path in sources:
        lines = (root / path).read_text().splitlines()
        for rule in RULES:
            if is_one_of(path, rule.of) and not is_one_of(path, rule.but_for):
                found += [(rule.name, "%s:%d: %s" % (path, number, line))
                          for number, line in enumerate(lines, 1) if re.search(rule.forbids, line)]
        if path.endswith(".h") and "#pragma once" not in lines:
            found.append((PRAGMA_ONCE, path))
    return found + list(room_violations(root, sources)) + list(file_circles(root, sources))


def test_the_rules_hold():
    found = violations(ROOT)
    assert not found, "\n".join("%s: %s" % one for one in found)


def test_the_rules_are_of_files_that_exist():
    patterns = {pattern for rule in RULES for pattern in (*rule.of, *rule.but_for)}
    stale = [one for pattern in patterns for one in with_braces_expanded(pattern) if not any(ROOT.glob(one))]
    assert not stale, "rules about files that are gone: %s" % stale


def plant_tree(root):
    """A clean one: three rooms, and a service."""
    for room, uses in (("common/base", "OpenSSL"), ("common/http", "`common/base`; libmicrohttpd"),
                       ("common/log", "`common/base`"), ("user-service", "`common/http`")):
        plant(root, room + "/README.md", "# %s\n\nIt does this.\n\n- **May use:** %s.\n" % (room, uses))
    plant(root, "common/base/slice.h", "#pragma once\n")
    plant(root, "common/base/digest.c", '#include <openssl/evp.h>\n#include "slice.h"\n')
    plant(root, "common/http/reply_internal.h", '#pragma once\n#include "common/http/reply.h"\n')
    plant(root, "common/http/reply.h", '#pragma once\n#include "common/base/slice.h"\n')
    plant(root, "common/http/reply.c", '#include <microhttpd.h>\n#include "common/http/reply_internal.h"\n')
    plant(root, "common/log/log_format.c", '#include <time.h>\n#include "common/base/slice.h"\n')
    plant(root, "user-service/main.c", '#include "common/http/reply.h"\n#include <unistd.h>\n')


PLANTED = (
    (OTHER_SERVICE, "common/base/a.c", '#include "user-service/a.h"'),
    (OTHER_SERVICE, "user-service/a.c", '#include "session-service/a.h"'),
    (NOT_LISTED, "common/base/a.c", "# include <amqp_framing.h>"),
    (NOT_LISTED, "common/base/a.c", "#include <rabbitmq-c/amqp.h>"),
    (NOT_LISTED, "common/log/a.c", "#include <systemd/sd-daemon.h>"),
    (NOT_LISTED, "common/http/a.c", '#include "common/log/log.h"'),
    (NOT_LISTED, "user-service/a.c", "#include <sqlite3.h>"),
    (NOT_USED, "common/log/README.md", "# log\n\n- **May use:** `common/base`; OpenSSL."),
    (NO_FIRST_FILE, "common/user/a.c", ""),
    (NO_FIRST_FILE, "common/log/README.md", "# log\n" + "\nIt does more.\n" * 4 + "- **May use:** `common/base`."),
    (OUTSIDE_A_ROOM, "common/a.c", '#include "common/base/slice.h"'),
    (ROOM_CIRCLE, "common/base/a.c", '#include "common/http/reply.h"'),
    (FILE_CIRCLE, "common/base/slice.c", '#include "common/base/a.h"'),
    ("a pure module does no input or output and reads no clock", "common/http/form.c", "#include <unistd.h>"),
    ("a pure module does no input or output and reads no clock", "common/base/backoff.c", '#include "clock.h"'),
    ("a pure module includes time.h", "common/amqp/confirm_window.c", "#include <time.h>"),
    ("a pure module asks for the time", "common/log/log_format.c", '#include "common/base/slice.h"\nx = time(NULL);'),
    ("a header of the store names a database", "session-service/store/store.h", '#include "common/database/database.h"'),
    ("a header of the store names a database", "session-service/store/store_reader.h", "struct database;"),
    (PRAGMA_ONCE, "common/base/a.h", ""),
)


@pytest.mark.parametrize("rule, path, text", PLANTED)
def test_a_planted_violation_is_found(tmp_path, rule, path, text):
    plant_tree(tmp_path)
    if rule == FILE_CIRCLE:
        plant(tmp_path, "common/base/a.h", '#pragma once\n#include "common/base/slice.h"\n')
    plant(tmp_path, path, text + "\n")
    assert rule in {name for name, place in violations(tmp_path)}


def test_every_rule_has_a_planted_violation():
    assert ({rule.name for rule in RULES} | {PRAGMA_ONCE, NO_FIRST_FILE, NOT_LISTED, NOT_USED, ROOM_CIRCLE, FILE_CIRCLE,
                                             OUTSIDE_A_ROOM, OTHER_SERVICE} == {rule for rule, path, text in PLANTED})


def test_a_tree_without_sources_is_found(tmp_path):
    assert [name for name, place in violations(tmp_path)] == [NO_SOURCES]


def test_a_clean_tree_is_accepted(tmp_path):
    plant_tree(tmp_path)
    assert violations(tmp_path) == []
