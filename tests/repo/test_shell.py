"""shellcheck has nothing to say about the shell scripts."""

import shutil

import pytest

from tree import output_of_failure, plant, tracked

WITHOUT_SUFFIX = (".ci/run", "systemd/refresh-credentials", "systemd/reload")


@pytest.fixture(scope="module", autouse=True)
def the_judge():
    if shutil.which("shellcheck") is None:
        pytest.skip("SKIPPED: there is no shellcheck to judge the scripts")


def test_all_scripts():
    scripts = tracked("*.sh", *WITHOUT_SUFFIX)
    assert len(scripts) > len(WITHOUT_SUFFIX)
    found = output_of_failure("shellcheck", *scripts)
    assert not found, found


def test_a_planted_mistake_is_found(tmp_path):
    assert output_of_failure("shellcheck", plant(tmp_path, "a.sh", '#!/bin/sh\nrm -r "$1"\n')) == ""
    assert "SC2086" in output_of_failure("shellcheck", plant(tmp_path, "a.sh", "#!/bin/sh\nrm -r $1\n"))
