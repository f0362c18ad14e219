"""The broker closes the channel of a consumer that does not acknowledge for too long (30 min by default)."""

import contextlib
import os
import signal
import sqlite3

import pytest

from support.store import FILE, effects, inbox_ids
from support.wait import eventually

SAVES = 50
TIMEOUT_MS = 1500
PATIENT_TIMEOUT_MS = 1800000
TIMED_OUT = "delivery acknowledgement on channel 1 timed out"


def set_broker(broker, **values):
    broker.ctl("eval", " ".join("application:set_env(rabbit, %s, %d)," % (name, value)
                                for name, value in values.items()) + " ok.")


@pytest.fixture
def impatient(broker):
    """It looks each 0.2 s instead of once a minute."""
    set_broker(broker, consumer_timeout=TIMEOUT_MS, channel_tick_interval=200)
    try:
        yield broker
    finally:
        set_broker(broker, consumer_timeout=PATIENT_TIMEOUT_MS, channel_tick_interval=60000)


@contextlib.contextmanager
def stopped(session):
    session.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        session.signal(signal.SIGCONT)


@contextlib.contextmanager
def locked_store(session):
    """Nothing can be committed: it pauses, with what was delivered unacknowledged."""
    connection = sqlite3.connect(os.path.join(session.state.name, FILE), isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()


def broker_log(broker):
    directory = os.path.join(broker.directory, "log")
    text = ""
    for name in os.listdir(directory):
        with open(os.path.join(directory, name), errors="replace") as file:
            text += file.read()
    return text


@pytest.mark.parametrize("held", [stopped, locked_store], ids=lambda one: one.__name__)
def test_a_channel_that_the_broker_has_closed(world, impatient, held):
    session = world.session_service().wait_ready()
    user = world.user_service().wait_ready()
    assert user.save({"name": "Ada"}, Idempotency_Key="before").status_code == 200
    eventually(lambda: "before" in session.handled_ids(), "it consumes")
    closed_before = broker_log(impatient).count("timed out")
    with held(session):
        keys = ["held-%d" % number for number in range(SAVES)]
        for key in keys:
            assert user.save({"id": key, "name": "Ada"}, Idempotency_Key=key).status_code == 200
        eventually(lambda: broker_log(impatient).count("timed out") > closed_before, "the broker closes the channel")
        # The next one has time: what comes again is handled one by one, and acked at the end.
        set_broker(impatient, consumer_timeout=PATIENT_TIMEOUT_MS)
        if held is locked_store:
            eventually(lambda: session.metric("session_service_store_paused") == 1, "it pauses")
    lost = eventually(lambda: session.events("broker.disconnected"), "it notices")
    assert TIMED_OUT in lost[0]["error"], lost
    eventually(lambda: len(session.events("consumer.consuming")) >= 2, "it consumes again")
    session.wait_ready()
    eventually(lambda: inbox_ids(session.state.name) == {"before", *keys}, "each is handled")
    eventually(lambda: session.metric('session_service_deliveries_total{outcome="duplicate"}') > 0, "what had been handled came again")
    assert effects(session.state.name) == SAVES + 1
    handled = [e["message_id"] for e in session.events("user.saved") if e["outcome"] == "handled"]
    assert sorted(handled) == sorted(["before", *keys])
    assert user.save({"name": "Ada"}, Idempotency_Key="after").status_code == 200
    eventually(lambda: "after" in session.handled_ids(), "it goes on")
    session.stop()
    assert world.count() == 0  # all acked: with no consumer left nothing comes back
