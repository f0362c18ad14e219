"""pyflakes has nothing to say about the Python files."""

import importlib.util
import sys

import pytest

from tree import output_of_failure, plant, tracked


@pytest.fixture(scope="module", autouse=True)
def the_judge():
    if importlib.util.find_spec("pyflakes") is None:
        pytest.skip("SKIPPED: there is no pyflakes (package python3-pyflakes) to judge the Python files")


def complaint(*files):
    return output_of_failure(sys.executable, "-m", "pyflakes", *files)


def test_all_python_files():
    files = tracked("*.py")
    assert files
    found = complaint(*files)
    assert not found, found


@pytest.mark.parametrize("mistake, words", (
    ("import os\n", "imported but unused"),
    ("def double(x):\n    return 2 * y\n", "undefined name"),
))
def test_a_planted_mistake_is_found(tmp_path, mistake, words):
    assert complaint(plant(tmp_path, "a.py", "import os\nprint(os.name)\n")) == ""
    assert words in complaint(plant(tmp_path, "a.py", mistake))
