"""The cluster of all tests, in the namespace that scripts/test-machines.sh has made."""

import faulthandler
import os
import sys

import pytest

TESTS = os.path.abspath(os.path.join(__file__, "..", "..", ".."))
sys.path[:0] = [os.path.join(TESTS, "faults"), TESTS]

from support.cluster import Cluster  # noqa: E402

TEST_SECONDS = 300


def pytest_configure(config):
    if "CLUSTER_NAMESPACE" not in os.environ:
        raise pytest.UsageError("these tests are run by scripts/test-machines.sh")


@pytest.fixture(autouse=True)
def deadline():
    """A test that hangs ends the run with every thread's stack."""
    faulthandler.dump_traceback_later(TEST_SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def cluster():
    one = Cluster()
    try:
        yield one.start()
    finally:
        one.close()
