"""The layering rules of ARCHITECTURE.md, by the #include lines of the three source folders."""

import collections
import pathlib
import re

import pytest

from tree import ROOT, files, plant, with_braces_expanded

FOLDERS = ("common", "user-service", "session-service")
EVERYWHERE = "{common,user-service,session-service}/*.[ch]"
# They do no input or output and read no clock.
PURE = ("user-service/{confirm_window,admission,key_window}.[ch]",
        "session-service/{ack_window,verdict,event_content}.[ch]",
        "common/{backoff,nack_streak,form,user,user_*,json_text,utf8,http_syntax,log_format,slice,message}.[ch]")


def include(path):
    """A line that includes this, from whatever folder."""
    return r'^\s*#\s*include\s*[<"](?:\S*/)?(?:%s)' % path


# In the files `of`, except those of `but_for`, no line matches `forbids`.
Rule = collections.namedtuple("Rule", "name of but_for forbids")
RULES = (
    Rule("common knows no service",
         of=("common/*.[ch]",), but_for=(),
         forbids=include("(user|session)-service/")),
    Rule("the user-service knows the session-service",
         of=("user-service/*.[ch]",), but_for=(),
         forbids=include("session-service/")),
    Rule("the session-service knows the user-service",
         of=("session-service/*.[ch]",), but_for=(),
         forbids=include("user-service/")),
    Rule("only common/broker* includes rabbitmq-c",
         of=(EVERYWHERE,), but_for=("common/broker{,_*}.[ch]",),
         forbids=include(r"rabbitmq-c/|amqp[a-z_]*\.h")),
    Rule("only common/http_* includes libmicrohttpd",
         of=(EVERYWHERE,), but_for=("common/http_{server,connection,request,reply,framing,listen,internal}.[ch]",),
         forbids=include("microhttpd")),
    Rule("only common/{notify,http_listen,log}.c include libsystemd",
         of=(EVERYWHERE,), but_for=("common/{notify,http_listen,log}.c",),
         forbids=include("systemd/")),
    Rule("only common/{broker_tls,auth_tokens,digest,base64}.c include OpenSSL",
         of=(EVERYWHERE,), but_for=("common/{broker_tls,auth_tokens,digest,base64}.c", "common/broker_internal.h"),
         forbids=include("openssl/")),
    Rule("only common/database.c includes SQLite",
         of=(EVERYWHERE,), but_for=("common/database.c",),
         forbids=include("sqlite3")),
    Rule("a pure module does no input or output and reads no clock",
         of=PURE, but_for=(),
         forbids=include(r"unistd\.h|sys/socket\.h|sys/epoll\.h|poll\.h|pthread\.h|(clock|broker)\.h")),
    # Splitting a given time into a date is formatting; asking for the time is not.
    Rule("a pure module includes time.h",
         of=PURE, but_for=("common/log_format.c",),
         forbids=include(r"time\.h")),
    Rule("a pure module asks for the time",
         of=PURE, but_for=(),
         forbids=r"\b(clock_gettime|gettimeofday|time)\("),
)
PRAGMA_ONCE = "no #pragma once"
NO_SOURCES = "no sources"


def is_one_of(path, patterns):
    return any(pathlib.PurePath(path).match(one) for pattern in patterns for one in with_braces_expanded(pattern))


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
    return found


def test_the_rules_hold():
    found = violations(ROOT)
    assert not found, "\n".join("%s: %s" % one for one in found)


def test_the_rules_are_of_files_that_exist():
    patterns = {pattern for rule in RULES for pattern in (*rule.of, *rule.but_for)}
    stale = [one for pattern in patterns for one in with_braces_expanded(pattern) if not any(ROOT.glob(one))]
    assert not stale, "rules about files that are gone: %s" % stale


PLANTED = (
    ("common knows no service", "common/a.c", '#include "user-service/a.h"'),
    ("common knows no service", "common/a.h", '#pragma once\n#include "../session-service/a.h"'),
    ("the user-service knows the session-service", "user-service/a.c", '#include "session-service/a.h"'),
    ("the session-service knows the user-service", "session-service/a.c", '#include "user-service/a.h"'),
    ("only common/broker* includes rabbitmq-c", "user-service/a.c", "#include <rabbitmq-c/amqp.h>"),
    ("only common/broker* includes rabbitmq-c", "common/connector.c", "# include <amqp_framing.h>"),
    ("only common/broker* includes rabbitmq-c", "common/brokerage.c", "#include <amqp.h>"),
    ("only common/http_* includes libmicrohttpd", "session-service/a.c", "#include <microhttpd.h>"),
    ("only common/http_* includes libmicrohttpd", "common/http_syntax.c", "#include <microhttpd.h>"),
    ("only common/{notify,http_listen,log}.c include libsystemd", "user-service/a.c",
     "#include <systemd/sd-daemon.h>"),
    ("only common/{broker_tls,auth_tokens,digest,base64}.c include OpenSSL", "common/http_reply.c",
     "#include <openssl/evp.h>"),
    ("only common/database.c includes SQLite", "session-service/store.c", "#include <sqlite3.h>"),
    ("a pure module does no input or output and reads no clock", "common/form.c", "#include <unistd.h>"),
    ("a pure module does no input or output and reads no clock", "session-service/verdict.c",
     '#include "common/clock.h"'),
    ("a pure module does no input or output and reads no clock", "common/user_event.c", '#include "clock.h"'),
    ("a pure module includes time.h", "user-service/confirm_window.c", "#include <time.h>"),
    ("a pure module asks for the time", "common/log_format.c", "x = time(NULL);"),
    (PRAGMA_ONCE, "common/a.h", ""),
)


@pytest.mark.parametrize("rule, path, text", PLANTED)
def test_a_planted_violation_is_found(tmp_path, rule, path, text):
    plant(tmp_path, "common/slice.h", '#pragma once\n#include "common/message.h"\n')
    plant(tmp_path, path, text + "\n")
    assert [name for name, place in violations(tmp_path)] == [rule]


def test_every_rule_has_a_planted_violation():
    assert {rule.name for rule in RULES} | {PRAGMA_ONCE} == {rule for rule, path, text in PLANTED}


def test_a_tree_without_sources_is_found(tmp_path):
    assert [name for name, place in violations(tmp_path)] == [NO_SOURCES]


def test_a_clean_tree_is_accepted(tmp_path):
    plant(tmp_path, "common/broker.h", "#pragma once\n")
    plant(tmp_path, "common/broker_internal.c", "#include <amqp.h>\n")
    plant(tmp_path, "common/http_reply.c", "#include <microhttpd.h>\n")
    plant(tmp_path, "common/log.c", "#include <systemd/sd-journal.h>\n#include <time.h>\n")
    plant(tmp_path, "common/broker_internal.h", "#pragma once\n#include <openssl/ssl.h>\n")
    plant(tmp_path, "common/database.c", '#include <sqlite3.h>\n#include "common/clock.h"\n')
    plant(tmp_path, "common/log_format.c", "#include <time.h>\n")
    plant(tmp_path, "user-service/main.c", '#include "user-service/settings.h"\n#include <unistd.h>\n')
    assert violations(tmp_path) == []
