"""A memory alarm that comes and goes under load: saves go on, none waits for its end, and the checker judges."""

import os
import random
import time

import pytest

import table
from clients import Clients
from stage import Stage
from support.broker import Broker
from support.wait import eventually

ALARM_S = float(os.environ.get("ALARM_TEST_SECONDS", "1"))
CONNECTIONS = 16
REPLIES_OF_EACH = 3  # who waits for the end of the alarm has none


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
    clients = Clients(stage.user.port, stage.attempts, "alarm", connections=CONNECTIONS, plain=True).start()
    eventually(lambda: clients.statuses.get(200, 0) > 200, "saves are confirmed")
    alarm = table.memory_alarm(stage, random.Random(1))
    next(alarm)
    eventually(lambda: stage.user.metric("user_service_broker_blocked") == 1, "it is blocked")
    assert "blocked" in stage.user.get("/readyz").json()["detail"]
    confirmed, replies = clients.statuses[200], list(clients.replies)
    time.sleep(ALARM_S)  # the length of the alarm is what is tested
    eventually(lambda: all(now - before >= REPLIES_OF_EACH for now, before in zip(clients.replies, replies)),
               "each client goes on under the alarm")
    assert stage.user.metric("user_service_broker_blocked") == 1
    assert clients.statuses[200] - confirmed <= CONNECTIONS, "confirmed under the alarm"
    during = sum(clients.replies) - sum(replies)
    next(alarm, None)
    confirmed = clients.statuses[200]
    eventually(lambda: clients.statuses[200] > confirmed + 200, "saves are confirmed again")
    clients.stop()
    print("alarm of %.0f s: %d saves during it; %s; longest reply %.2f s, longest time without one %.2f s" %
          (ALARM_S, during, clients.statuses, clients.longest_s, clients.longest_gap_s))
    assert set(clients.statuses) == {200, 202}, clients.statuses
    stage.settle()
    assert stage.check(min_ok=400) == 0
