"""A memory alarm that comes and goes under load: saves go on, none waits beyond its deadline, and the checker judges."""

import os
import random
import time

import pytest

import table
from clients import Clients
from stage import Stage
from support.broker import Broker
from support.wait import wait_until

ALARM_S = float(os.environ.get("ALARM_TEST_SECONDS", "5"))
CONFIRM_TIMEOUT_S = 1.5  # the stage's
BUSY_S = 1.5  # what a busy machine may add, between a late confirm and the reply


@pytest.fixture
def stage():
    broker = Broker().start()
    one = None
    try:
        one = Stage(broker)
        yield one.start()
    finally:
        if one is not None:
            one.close()
        broker.close()


def test_an_alarm_under_load(stage):
    clients = Clients(stage.user.port, stage.attempts, "alarm", connections=16, plain=True).start()
    wait_until(lambda: clients.statuses.get(200, 0) > 200, 30, "saves are confirmed")
    alarm = table.memory_alarm(stage, random.Random(1))
    next(alarm)
    wait_until(lambda: stage.user.metric("user_service_broker_blocked") == 1, 10, "it is blocked")
    assert "blocked" in stage.user.get("/readyz").json()["detail"]
    confirmed, stored = clients.statuses[200], clients.statuses.get(202, 0)
    time.sleep(ALARM_S)  # the length of the alarm is what is tested
    assert stage.user.metric("user_service_broker_blocked") == 1
    during = clients.statuses.get(202, 0) - stored
    assert clients.statuses[200] - confirmed <= 16, "confirmed under the alarm"
    next(alarm, None)
    confirmed = clients.statuses[200]
    wait_until(lambda: clients.statuses[200] > confirmed + 200, 30, "saves are confirmed again")
    clients.stop()
    print("alarm of %.0f s: %d saves during it; %s; longest reply %.2f s, longest time without one %.2f s" %
          (ALARM_S, during, clients.statuses, clients.longest_s, clients.longest_gap_s))
    assert set(clients.statuses) == {200, 202}, clients.statuses
    assert during > 50 * ALARM_S
    assert max(clients.longest_s, clients.longest_gap_s) < CONFIRM_TIMEOUT_S + BUSY_S
    stage.settle()
    assert stage.check(min_ok=400) == 0
