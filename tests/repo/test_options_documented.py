"""The manual pages and the sample files have exactly the options of --help, and the samples are valid, as
they are and with every line in force."""

import collections
import re
import shutil
import subprocess

import pytest

from support.certificates import Authority
from support.services import binary
from tree import ROOT, SERVICES, plant

# What else has options: a section of the manual page, and these words before --help.
COMMANDS = {"user-service": {}, "session-service": {"DEAD LETTERS": ("dead-letters",), "MIGRATE STORE": ("migrate-store",),
                                                         "TABLES IN POSTGRESQL": ("schema",)}}
NO_DEFAULT = "none"  # The sample has an example there.


def run(service, *arguments):
    return subprocess.run([binary(service), *map(str, arguments)], env={}, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)


def help_of(service, *words):
    shown = run(service, *words, "--help")
    assert shown.returncode == 0, shown.stdout
    return shown.stdout


def options_of_help(text):
    return re.findall(r"^  --([a-z-]+)(?: .*)?$", text, re.MULTILINE)


def options_of_manual(text):
    names = re.findall(r"^\.BI? \\-\\-([a-z\\-]+)(?: .*)?$", text, re.MULTILINE)
    return [name.replace("\\", "") for name in names]


def defaults_of_help(text):
    return re.findall(r"^  --([a-z-]+) .*\n(?:      .*\n)*?      default ([^;\n]*)", text, re.MULTILINE)


def settings_of_sample(text):
    return re.findall(r"^#([a-z-]+) = (.*)$", text, re.MULTILINE)


def differences(what, expected, found):
    """One that is there twice is one too many."""
    expected, found = collections.Counter(expected), collections.Counter(found)
    assert expected, "there is nothing to compare %s with" % what
    return (["%s: is missing: %s" % (what, one) for one in expected - found] +
            ["%s: does not exist: %s" % (what, one) for one in found - expected])


def problems_of_manual(service, manual):
    text = manual.read_text()
    options = set(options_of_help(help_of(service)))
    found = []
    for section, words in COMMANDS[service].items():
        options |= set(options_of_help(help_of(service, *words)))
        if "\n.SH %s\n" % section not in text:
            found.append("%s: is missing: the section %s" % (manual.name, section))
    return found + differences(manual.name, options, options_of_manual(text))


def problems_of_sample(service, sample):
    defaults = defaults_of_help(help_of(service))
    settings = settings_of_sample(sample.read_text())
    examples = {name for name, value in defaults if value == NO_DEFAULT}
    found = differences(sample.name, [name for name, value in defaults], [name for name, value in settings])
    return found + differences(sample.name, ["%s = %s" % one for one in defaults if one[0] not in examples],
                               ["%s = %s" % one for one in settings if one[0] not in examples])


def in_force(sample, example_files):
    text = re.sub(r"^#([a-z-]+ = )", r"\1", sample.read_text(), flags=re.MULTILINE)
    folders = r"= (/etc/[a-z-]+/|/run/credentials/[a-z-]+\.service/file_)"
    return plant(example_files, sample.name, re.sub(folders, "= %s/" % example_files, text))


def problems(service, manual, sample, example_files):
    found = problems_of_manual(service, manual) + problems_of_sample(service, sample)
    for file in (sample, in_force(sample, example_files)):
        checked = run(service, "--config", file, "--check-config")
        if checked.returncode != 0:
            found.append("%s: is not accepted: %s" % (file, checked.stdout))
    return found


@pytest.fixture(scope="module")
def example_files(tmp_path_factory):
    """What the examples in the samples name must be there when they are in force."""
    folder = tmp_path_factory.mktemp("examples")
    authority = Authority(folder, "ca")
    shutil.copy(authority.ca, folder / "amqp-cert.pem")
    shutil.copy(authority.ca_key, folder / "amqp-key.pem")
    plant(folder, "auth-tokens", "an-example-of-a-token\n")
    return folder


@pytest.mark.parametrize("service", SERVICES)
def test_all_options_are_documented(service, example_files):
    found = problems(service, ROOT / "docs" / (service + ".8"), ROOT / "docs" / (service + ".conf"), example_files)
    assert not found, "\n".join(found)


PLANTED = {
    "an option the manual lacks": (".8", r"^\.BI \\-\\-queue ", ".BI ", "8: is missing: queue"),
    "an option of the command that the manual lacks": (".8", r"^\.B \\-\\-dry\\-run", ".B ", "8: is missing: dry-run"),
    "a command the manual lacks": (".8", r"^\.SH DEAD LETTERS", ".SH LETTERS",
                                   "8: is missing: the section DEAD LETTERS"),
    "an option only the manual has": (".8", r"^(\.BI \\-\\-)queue ", r"\1quaue ", "8: does not exist: quaue"),
    "an option the manual has twice": (".8", r"^(\.BI \\-\\-queue .*)", r"\1\n\1", "8: does not exist: queue"),
    "an option the sample lacks": (".conf", r"^#prefetch = .*\n", "", "conf: is missing: prefetch"),
    "an option only the sample has": (".conf", r"^#prefetch = ", "#postfetch = ", "conf: does not exist: postfetch"),
    "an example the sample lacks": (".conf", r"^#amqp-ca-file = .*\n", "", "conf: is missing: amqp-ca-file"),
    "another default": (".conf", r"^(#prefetch = ).*", r"\g<1>501", "conf: does not exist: prefetch = 501"),
    "a sample that is not accepted": (".conf", r"^#prefetch = .*", "prefetch = many", "conf: is not accepted: "),
    "an example that is not accepted": (".conf", r"^(#amqp-ca-file = ).*", r"\1/etc/session-service/none.pem",
                                        "conf: is not accepted: "),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_difference_is_found(tmp_path, example_files, what):
    changed, pattern, replacement, problem = PLANTED[what]
    pages = {}
    for suffix in (".8", ".conf"):
        text = (ROOT / "docs" / ("session-service" + suffix)).read_text()
        if suffix == changed:
            text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
            assert count == 1
        pages[suffix] = plant(tmp_path, "session-service" + suffix, text)
    found = problems("session-service", pages[".8"], pages[".conf"], example_files)
    assert any(problem in one for one in found), found


def test_a_member_has_the_words_of_its_option_in_their_order():
    """So that who knows one of the two finds the other: --max-body-bytes is max_body_bytes."""
    headers = ("common/service/common_settings.h", "user-service/settings.h", "session-service/settings.h")
    rows = re.findall(r'OPTION\((\w+),\s*[A-Z]+\(.*?\),\s*\\?\s*"([a-z-]+)"',
                      "".join((ROOT / path).read_text() for path in headers), re.DOTALL)
    assert len(rows) >= 40
    assert [row for row in rows if not re.fullmatch(row[1].replace("-", "_") + "(_ms|_bytes)?", row[0])] == []
