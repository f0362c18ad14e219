"""Awaiting a condition."""

import os
import time

# What must happen is given this long, and only what never happens uses it up: a busy machine is slow, and a
# test that judges how long something takes compares it with something else of the same run.
PATIENCE_S = 60
# Under a wrapper, such as valgrind, everything takes longer.
SLOWNESS = 20 if os.environ.get("SERVICES_WRAPPER") else 1


def wait_until(condition, seconds, what):
    """Returns the first true value of condition(); fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("not within %s s: %s" % (seconds, what))
        time.sleep(0.02)


def eventually(condition, what):
    """wait_until() with the patience that every machine satisfies."""
    return wait_until(condition, PATIENCE_S * SLOWNESS, what)
