"""What the pages name is there: the targets of links, paths, and the modules of ARCHITECTURE.md."""

import re
import urllib.parse

import pytest

from tree import ROOT, files, plant, with_braces_expanded

ARCHITECTURE = "ARCHITECTURE.md"
SOURCES = ("common", "user-service", "session-service")
PAGES = ("README.md", ARCHITECTURE, "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md",
         *("%s/**/README.md" % folder for folder in SOURCES))
FOLDERS = (*SOURCES, "scripts", "tests")

FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^()\s]+)[^()]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
# Not below another folder, as /var/lib/user-service/ and build/user-service/ are.
PATH = re.compile(r"(?:(?<=\s\./)|(?<=^\./)|(?<![\w./~-]))(?:%s)/[\w.*?{},<>\[\]/-]*" % "|".join(FOLDERS))
FILE_NAME = re.compile(r"[\w*?{},<>\[\]-]+\.(?:[ch]|py|sh)")
MODULE = re.compile(r"[a-z][a-z0-9_]*\*?")


def pages(root):
    return [path.relative_to(root).as_posix() for pattern in PAGES for path in sorted(root.glob(pattern))]


def paragraphs(text):
    return re.split(r"\n\s*\n", FENCE.sub("", text))


def code(text):
    """What is in backticks: of the fenced blocks the lines."""
    fenced = [line.strip() for block in FENCE.findall(text) for line in block.splitlines()[1:-1]]
    return fenced + [span for paragraph in paragraphs(text) for span in SPAN.findall(paragraph)]


def unpaired_backticks(root, page):
    """Beyond one nobody can tell code from prose."""
    for paragraph in paragraphs((root / page).read_text()):
        if paragraph.count("`") % 2:
            yield "%s: a backtick has no other: %s" % (page, paragraph)


def anchors(text):
    """As GitHub makes them of the headings."""
    headings = re.findall(r"^#+ +(.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def patterns(name):
    """A name with braces and <placeholders>, as names with globs at most."""
    return with_braces_expanded(re.sub(r"<[^<>]*>", "?*", name))


def is_there(root, path):
    """Each of what the braces mean; a module may be named without its suffix."""
    return all(any(root.glob(one)) or any(root.glob(one + ".[ch]")) for one in patterns(path.rstrip("/")))


def broken_links(root, page):
    text = (root / page).read_text()
    prose = "\n\n".join(SPAN.sub("", paragraph) for paragraph in paragraphs(text))
    for inline, reference in LINK.findall(prose):
        target = inline or reference
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = urllib.parse.unquote(target).partition("#")
        file = (root / page).parent / name if name else root / page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            yield "%s: a link leads nowhere: %s" % (page, target)


def unknown_paths(root, page):
    for span in code((root / page).read_text()):
        for path in PATH.findall(span):
            if not is_there(root, path.rstrip(".,")):
                yield "%s: there is no %s" % (page, path)


def unknown_files(root, page):
    """Those that are named without a folder."""
    for name in code((root / page).read_text()):
        if FILE_NAME.fullmatch(name) and not all(
                any(any((root / folder).rglob(one)) for folder in FOLDERS) for one in patterns(name)):
            yield "%s: there is no %s" % (page, name)


def unknown_modules(root):
    """Names alone, in the section Layering."""
    text = (root / ARCHITECTURE).read_text()
    layering = re.search(r"^## Layering\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if layering is None:
        yield "%s: there is no section Layering" % ARCHITECTURE
        return
    modules = [span for span in code(layering.group(1)) if MODULE.fullmatch(span)]
    if not modules:
        yield "%s: Layering names no module" % ARCHITECTURE
    for module in modules:
        if not any(any((root / folder).rglob(module + ".[ch]")) for folder in SOURCES):
            yield "%s: there is no module %s" % (ARCHITECTURE, module)


def problems(root):
    found = list(unknown_modules(root))
    for page in pages(root):
        for check in (unpaired_backticks, broken_links, unknown_paths, unknown_files):
            found += check(root, page)
    return found


def test_what_the_pages_name_is_there():
    assert {"README.md", ARCHITECTURE, "docs/operations.md"} <= set(pages(ROOT))
    found = problems(ROOT)
    assert not found, "\n".join(found)


README = """# Two services

Read [this](docs/use.md#how-to-use-it), [that][1], <https://example.com>, [there](https://example.com/none),
[below](#build-it), or ![a picture](docs/picture.svg "of it").

[1]: ARCHITECTURE.md

## Build it

`scripts/run.sh --once`, of `common/{slice,user*}.h` and `tests/unit/test_<module>.c`; state is in
`/var/lib/user-service/none.db`. `[no](link.md)`

```
./scripts/run.sh    # build/user-service/user-service
```
"""
CLEAN = {
    "README.md": README,
    "ARCHITECTURE.md": "# Architecture\n\n`common/user*.c`, `slice.h`, `common/`\n\n"
                       "## Layering\n\n`slice` and `user*`; `common/{user,slice}`\n\n## More\n\n`id`\n",
    "docs/use.md": "## How to use it\n\nSee [the first page](../README.md).\n",
    "docs/picture.svg": "",
    "scripts/run.sh": "",
    "common/slice.h": "",
    "common/user.h": "",
    "common/user_check.c": "",
    "tests/unit/test_user.c": "",
}


def plant_clean_tree(root):
    for path, text in CLEAN.items():
        plant(root, path, text)


def test_a_clean_tree_is_accepted(tmp_path):
    plant_clean_tree(tmp_path)
    assert len(files(tmp_path, (".",))) == len(CLEAN)
    assert pages(tmp_path) == ["README.md", "ARCHITECTURE.md", "docs/use.md"]
    assert problems(tmp_path) == []


@pytest.mark.parametrize("page, text, problem", (
    ("README.md", "[a](docs/gone.md)", "a link leads nowhere: docs/gone.md"),
    ("docs/use.md", "[a](docs/use.md)", "a link leads nowhere: docs/use.md"),
    ("CONTRIBUTING.md", "[a][1]\n\n[1]: gone.md", "a link leads nowhere: gone.md"),
    ("CHANGELOG.md", "![a](docs/gone.svg 'b')", "a link leads nowhere: docs/gone.svg"),
    ("README.md", "[a](#gone)", "a link leads nowhere: #gone"),
    ("README.md", "[a](docs/use.md#gone)", "a link leads nowhere: docs/use.md#gone"),
    ("README.md", "`scripts/gone.sh --once`", "there is no scripts/gone.sh"),
    ("README.md", "```\n./scripts/gone.sh\n```", "there is no scripts/gone.sh"),
    ("README.md", "1. It:\n\n   ```\n   ./scripts/gone.sh\n   ```", "there is no scripts/gone.sh"),
    ("README.md", "1. It:\n   ```\n   x\n   ```\n   [a](gone.md)", "a link leads nowhere: gone.md"),
    ("README.md", "one ` alone", "a backtick has no other: one ` alone"),
    ("docs/use.md", "`python3 -m pytest tests/gone`", "there is no tests/gone"),
    ("docs/use.md", "`common/{slice,gone}.h`", "there is no common/{slice,gone}.h"),
    ("docs/use.md", "`common/gone*`", "there is no common/gone*"),
    ("docs/use.md", "`tests/gone/test_<module>.c`", "there is no tests/gone/test_<module>.c"),
    ("CONTRIBUTING.md", "`user-service/main.c`", "there is no user-service/main.c"),
    ("CHANGELOG.md", "`session-service/main.c`", "there is no session-service/main.c"),
    ("ARCHITECTURE.md", "`gone.c`", "there is no gone.c"),
    ("docs/use.md", "`test_gone.py`", "there is no test_gone.py"),
    ("ARCHITECTURE.md", "## Layering\n\n`gone`", "there is no module gone"),
    ("ARCHITECTURE.md", "## Layering\n\n`slice` and `gone*`", "there is no module gone*"),
))
def test_what_is_planted_is_found(tmp_path, page, text, problem):
    plant_clean_tree(tmp_path)
    # In front, so that a section Layering is the first one.
    plant(tmp_path, page, text + "\n\n" + CLEAN.get(page, ""))
    assert problems(tmp_path) == ["%s: %s" % (page, problem)]


@pytest.mark.parametrize("text, problem", (
    ("# Architecture\n", "ARCHITECTURE.md: there is no section Layering"),
    ("## Layering\n\nNone.\n", "ARCHITECTURE.md: Layering names no module"),
))
def test_an_architecture_without_modules_is_found(tmp_path, text, problem):
    plant_clean_tree(tmp_path)
    plant(tmp_path, "ARCHITECTURE.md", text)
    assert problems(tmp_path) == [problem]
