"""What scripts/test-machines.sh has prepared: an engine of its own, on loopback ports of its own."""

import faulthandler
import os
import sys

import pytest

sys.path.insert(0, os.path.abspath(os.path.join(__file__, "..", "..", "..")))

from support.compose import Compose  # noqa: E402

ONE = ("docker-compose.yml", "tests/machines/docker/quick.yml")
TEST_SECONDS = 300
SETUP_SECONDS = 900


def pytest_configure(config):
    if "DOCKER_HOST" not in os.environ:
        raise pytest.UsageError("these tests are run by scripts/test-machines.sh")


@pytest.fixture(autouse=True)
def deadline():
    """A test that hangs ends the run with every thread's stack."""
    faulthandler.dump_traceback_later(TEST_SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def compose():
    faulthandler.dump_traceback_later(SETUP_SECONDS, exit=True)
    return Compose(*ONE).up()  # ends with its engine


@pytest.fixture(scope="session")
def cluster(compose):
    """Made of the one broker, with what is in it."""
    faulthandler.dump_traceback_later(SETUP_SECONDS, exit=True)
    return Compose(*ONE, "docker-compose.cluster.yml", "tests/machines/docker/quick.cluster.yml").up()
