"""Two brokers of two releases, in the roots that scripts/test-machines.sh has made."""

import faulthandler
import os
import shutil
import sys

import pytest

TESTS = os.path.abspath(os.path.join(__file__, "..", "..", ".."))
sys.path.insert(0, TESTS)

from support.broker import INETRC, Broker  # noqa: E402

TEST_SECONDS = 600


def pytest_configure(config):
    if "UPGRADE_DATA" not in os.environ:
        raise pytest.UsageError("these tests are run by scripts/test-machines.sh")


@pytest.fixture(autouse=True)
def deadline():
    """A test that hangs ends the run with every thread's stack."""
    faulthandler.dump_traceback_later(TEST_SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


class RootBroker(Broker):
    """One that runs in a root. Its directory is there at the same path."""

    def __init__(self, root, name):
        self.wrapper = ("chroot", root)
        super().__init__(os.path.join(os.environ["UPGRADE_DATA"], name))

    def _write_configuration(self):
        environment = super()._write_configuration()
        environment["ERL_INETRC"] = shutil.copy(INETRC, self.directory)
        return environment

    def output(self):
        with open(self._path("out"), errors="replace") as file:
            return file.read()


@pytest.fixture
def make_broker():
    """Of `release`, "OLD" or "NEW", in a directory of that name: two may be made of one directory."""
    made = []

    def make(release, name):
        made.append(RootBroker(os.environ["UPGRADE_%s_ROOT" % release], name))
        return made[-1]

    yield make
    for one in made:
        one.close()
