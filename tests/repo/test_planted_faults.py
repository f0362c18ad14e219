"""Each planted fault is a patch of the present sources: who changes the code that it breaks moves it along."""

import re

import pytest

from tree import ROOT, output_of_failure

PATCHES = sorted((ROOT / "tests/faults/planted").glob("*.patch"))


def complaint(patch):
    return output_of_failure("git", "apply", "--check", patch)


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_it_applies(patch):
    assert complaint(patch) == ""


def test_one_that_does_not_apply_is_found(tmp_path):
    assert len(PATCHES) >= 18
    stale = tmp_path / "stale.patch"
    stale.write_text(re.sub(r"^-(?!-)", "-not there ", (ROOT / "tests/faults/planted/no-tombstone.patch").read_text(), flags=re.MULTILINE))
    assert complaint(stale) != ""
