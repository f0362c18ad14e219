"""The wall clock jumps by hours, forward and back, while saves run: no deadline follows it, and no id comes twice."""

import glob
import os
import subprocess

import pytest
import requests

from support.load import Load
from support.services import binary
from support.store import inbox_and_effects, inbox_ids
from support.wait import PATIENCE_S, eventually

LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
CONFIRM_TIMEOUT_S = 1
HOUR_S = 3600


def is_sanitized():
    libraries = subprocess.run(["ldd", binary("user-service")], stdout=subprocess.PIPE, text=True).stdout
    return "libasan" in libraries or "libtsan" in libraries


class Clock:
    """The daemons' wall clock; their monotonic one is the machine's."""

    def __init__(self, directory):
        self.path = str(directory / "clock")
        self.jump("+0")
        self.environment = {"LD_PRELOAD": LIBRARY, "FAKETIME_TIMESTAMP_FILE": self.path, "FAKETIME_NO_CACHE": "1",
                            "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def jump(self, offset):
        with open(self.path + ".new", "w") as file:
            file.write(offset + "\n")
        os.rename(self.path + ".new", self.path)


@pytest.fixture
def clock(tmp_path):
    if LIBRARY is None:
        pytest.skip("SKIPPED: libfaketime is missing (Debian's package faketime): no clock jumps")
    if is_sanitized():
        pytest.skip("SKIPPED: a sanitizer's library must be loaded before libfaketime's: no clock jumps")
    return Clock(tmp_path)


def save_some(user, ids, status):
    """Without keys: the service makes the ids."""
    for _ in range(20):
        reply = user.save({"name": "Ada"})
        assert reply.status_code in status, reply.text
        ids.append(reply.json()["id"])


def outbox_saves(user):
    return user.metric("user_service_outbox_saves")


def outbox_age(user):
    age = user.metric("user_service_outbox_oldest_age_seconds")
    assert age >= 0
    return age


def test_the_clock_jumps_while_saves_run(world, broker, clock):
    session = world.session_service(environment=clock.environment).wait_ready()
    user = world.user_service("--confirm-timeout", "%ds" % CONFIRM_TIMEOUT_S,
                              environment=clock.environment).wait_ready()
    ids = []
    load = Load(user.port, 8, 10 ** 6, "clock", interval_s=0.01).start()
    try:
        for offset in ("+6h", "+0", "-6h", "+3h", "-3h", "+0"):
            clock.jump(offset)
            save_some(user, ids, (200, 202))
            enough = len(load.ok) + 50
            eventually(lambda: len(load.ok) > enough, "saves go on")
            assert user.is_ready() or user.metric("user_service_broker_connected") == 1
    finally:
        load.stop()
        load.join()
    assert set(load.statuses) <= {200, 202}, load.statuses
    assert not user.events("broker.disconnected") and not session.events("broker.disconnected")

    # Nothing is late yet: the first of those that wait is sent to the broker.
    eventually(lambda: outbox_saves(user) == 0 and user.metric("user_service_saves_in_flight") == 0, "all is confirmed")
    user.wait_ready()
    broker.freeze()
    try:
        for offset in ("+6h", "-6h"):
            waiting = Load(user.port, 4, 4, "wait" + offset).start()
            # Either at the publisher, or, with the confirms late, in the outbox already.
            eventually(lambda: user.metric("user_service_saves_in_flight") + waiting.statuses.get(202, 0) >= 4,
                       "they are taken")
            clock.jump(offset)
            waiting.join()
            # One that waited for hours would be answered by its client's patience.
            assert waiting.statuses == {202: 4}
            assert offset == "-6h" or waiting.longest_s > CONFIRM_TIMEOUT_S - 0.01
            load.ok += waiting.ok
            outbox_age(user)
        clock.jump("+0")
        save_some(user, ids, (202,))
        clock.jump("+12h")
        # No save is older than one before, so the oldest is of +6h.
        assert 6 * HOUR_S <= outbox_age(user) < 7 * HOUR_S
        clock.jump("-6h")
        assert outbox_age(user) == 0
    finally:
        broker.thaw()
    clock.jump("+0")
    eventually(lambda: outbox_saves(user) == 0, "it is forwarded")
    assert outbox_age(user) == 0
    assert len(set(ids)) == len(ids) == 140
    expected = set(ids) | set(load.ok)
    eventually(lambda: expected <= inbox_ids(session.state.name), "each is handled")
    ids_there, took_effect = inbox_and_effects(session.state.name)
    assert took_effect == len(ids_there)
    moments = [e["saved_at_ms"] for e in session.events("user.saved")]
    assert max(moments) - min(moments) > 5 * HOUR_S * 1000, "the clock has not jumped"
    assert requests.get(session.base + "/sessions", timeout=PATIENCE_S).status_code == 200
    user.stop()
    session.stop()
