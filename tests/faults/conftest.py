"""What is beside the tests, and tests/support, can be imported."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

from support.broker import take_sigterm_for_ctrl_c  # noqa: E402


def pytest_configure():
    take_sigterm_for_ctrl_c()
