"""One machine for all tests, in the order of a package's life: what scripts/test-machines.sh has booted."""

import faulthandler
import os
import sys

import pytest

sys.path.insert(0, os.path.abspath(os.path.join(__file__, "..", "..", "..")))

TEST_SECONDS = 420


def pytest_configure(config):
    if "MACHINE_LEADER" not in os.environ:
        raise pytest.UsageError("these tests are run by scripts/test-machines.sh")


@pytest.fixture(autouse=True)
def deadline():
    """A test that hangs ends the run with every thread's stack."""
    faulthandler.dump_traceback_later(TEST_SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
