"""How the binaries are hardened, as readelf shows it. The build is a release build: others are not hardened."""

import functools
import os
import re
import subprocess

import pytest

from support.services import binary, why_no_release
from tree import ROOT, SERVICES, plant

# What: (readelf's options, a pattern, whether it is to be found).
HARDENING = {
    "position independent (PIE)": ("--file-header", r"Type: +DYN", True),
    "relocations read-only (RELRO)": ("--program-headers", r"GNU_RELRO", True),
    "bound at the start (NOW)": ("--dynamic", r"FLAGS_1.*NOW", True),
    "stack not executable (NX)": ("--program-headers", r"GNU_STACK .* RW +0x", True),
    "nothing writable is executable": ("--program-headers", r"LOAD .* [R ]WE ", False),
    "stack protector": ("--dyn-syms", r"__stack_chk_fail", True),
    "checked library calls (FORTIFY)": ("--dyn-syms", r"__[a-z]+_chk@", True),
    "no path of libraries of its own (RPATH)": ("--dynamic", r"R(UN)?PATH", False),
}


@functools.lru_cache(maxsize=None)
def readelf(program, option):
    return subprocess.run(["readelf", "--wide", option, program], check=True, text=True, stdout=subprocess.PIPE,
                          env=dict(os.environ, LC_ALL="C")).stdout


def has(program, what):
    option, pattern, is_there = HARDENING[what]
    return bool(re.search(pattern, readelf(str(program), option))) == is_there


@pytest.mark.skipif(why_no_release() is not None, reason="SKIPPED: nothing was checked: %s" % why_no_release())
@pytest.mark.parametrize("what", HARDENING)
@pytest.mark.parametrize("service", SERVICES)
def test_of_the_services(service, what):
    assert has(binary(service), what), "%s: not so: %s" % (binary(service), what)


@pytest.mark.parametrize("kind, sanitizer, is_refused", (
    ("Release", "", False), ("Debug", "", True), ("RelWithDebInfo", "", True), ("Release", "thread", True)))
def test_a_build_that_is_no_release_is_refused(tmp_path, kind, sanitizer, is_refused):
    plant(tmp_path, "CMakeCache.txt", "CMAKE_BUILD_TYPE:STRING=%s\nSANITIZE:STRING=%s\n" % (kind, sanitizer))
    assert (why_no_release(tmp_path) is not None) == is_refused


def test_the_page_lists_what_is_checked():
    page = (ROOT / "docs/security.md").read_text()
    assert re.findall(r"^ {4}(\S.*\S) {2,}yes$", page, re.MULTILINE) == list(HARDENING)


PROGRAM = """
#include <string.h>
int main(int count, char **words)
{
    char text[16];
    strcpy(text, words[0]);
    return text[count];
}
"""
WRITABLE_CODE = """
.section .both,"awx",%progbits
.byte 0
.section .note.GNU-stack,"",%progbits
"""
HARDENED = ("-O2", "-D_FORTIFY_SOURCE=2", "-fstack-protector-all", "-fPIE", "-pie",
            "-Wl,-z,relro,-z,now,-z,noexecstack")
# What takes away one thing from a hardened program.
WITHOUT = {
    "position independent (PIE)": ("-fno-pie", "-no-pie"),
    "relocations read-only (RELRO)": ("-Wl,-z,norelro",),
    "bound at the start (NOW)": ("-Wl,-z,lazy",),
    "stack not executable (NX)": ("-Wl,-z,execstack",),
    "nothing writable is executable": ("writable_code.s",),
    "stack protector": ("-fno-stack-protector",),
    "checked library calls (FORTIFY)": ("-U_FORTIFY_SOURCE",),
    "no path of libraries of its own (RPATH)": ("-Wl,-rpath,/tmp",),
}


def missing_in_a_program(folder, *flags):
    plant(folder, "program.c", PROGRAM)
    plant(folder, "writable_code.s", WRITABLE_CODE)
    subprocess.run(["cc", *HARDENED, *flags, "-o", "program", "program.c"], cwd=folder, check=True, timeout=60)
    return [what for what in HARDENING if not has(folder / "program", what)]


def test_a_hardened_program_is_accepted(tmp_path):
    assert missing_in_a_program(tmp_path) == []


@pytest.mark.parametrize("what", HARDENING)
def test_what_a_program_lacks_is_found(tmp_path, what):
    assert missing_in_a_program(tmp_path, *WITHOUT[what]) == [what]
