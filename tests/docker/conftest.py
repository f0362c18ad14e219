"""What scripts/test-docker.sh has prepared: an engine of its own, on loopback ports of its own."""

import faulthandler
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.compose import Compose  # noqa: E402

TEST_SECONDS = 300
SETUP_SECONDS = 900


def pytest_configure(config):
    if "DOCKER_HOST" not in os.environ:
        raise pytest.UsageError("these tests are run by scripts/test-docker.sh")


@pytest.fixture(autouse=True)
def deadline():
    """A test that hangs ends the run with every thread's stack."""
    faulthandler.dump_traceback_later(TEST_SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def bring_up(*files):
    faulthandler.dump_traceback_later(SETUP_SECONDS, exit=True)
    compose = Compose(*files)
    try:
        yield compose.up()
    finally:
        faulthandler.dump_traceback_later(SETUP_SECONDS, exit=True)
        compose.down()
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="module")
def compose():
    yield from bring_up()


@pytest.fixture(scope="module")
def cluster():
    yield from bring_up("docker-compose.yml", "docker-compose.cluster.yml")
