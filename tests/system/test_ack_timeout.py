"""The broker closes the channel of a consumer that does not acknowledge for too long (30 min by default)."""

import contextlib
import os
import signal
import sqlite3

from support.proxy import Proxy
from support.store import FILE, effects, inbox_ids
from support.wait import eventually

SAVES = 20
TIMEOUT_MS = 1500
PATIENT_TIMEOUT_MS = 1800000
TIMED_OUT = "delivery acknowledgement on channel 1 timed out"


def set_broker(broker, **values):
    broker.evaluate(", ".join("ok = application:set_env(rabbit, %s, %d)" % one for one in values.items()))


@contextlib.contextmanager
def impatient(broker):
    """It looks each 0.2 s instead of once a minute."""
    set_broker(broker, consumer_timeout=TIMEOUT_MS, channel_tick_interval=200)
    try:
        yield
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


class Consumer:
    """A queue, a session-service behind a proxy, and how it is kept from acknowledging."""

    def __init__(self, world, held):
        self.world, self.held, self.queue = world, held, "%s.%s" % (world.queue, held.__name__)
        world.closers.append(lambda: world.delete(self.queue))
        proxy = Proxy(world.broker.port)
        world.closers.append(proxy.close)
        self.session = world.session_service("--queue", self.queue, "--amqp-url",
                                             "amqp://guest:guest@127.0.0.1:%d/" % proxy.port).wait_ready()
        # A save that takes long is one all the same, and not put into the outbox.
        self.user = world.user_service("--queue", self.queue, "--confirm-timeout", "600s").wait_ready()
        self.keys = ["before"]
        self.save("before")
        eventually(lambda: "before" in self.session.handled_ids(), "it consumes")
        self.address = "(127.0.0.1:%d ->" % proxy.pairs[0][1].getsockname()[1]

    def save(self, key):
        assert self.user.save({"id": key, "name": "Ada"}, Idempotency_Key=key).status_code == 200

    def put_some(self):
        self.keys += ["held-%d" % number for number in range(SAVES)]
        for key in self.keys[1:]:
            self.save(key)

    def is_channel_closed(self):
        return any("Channel error on connection" in line and self.address in line
                   for line in broker_log(self.world.broker).splitlines())

    def judge(self):
        session = self.session
        lost = eventually(lambda: session.events("broker.disconnected"), "it notices")
        assert TIMED_OUT in lost[0]["error"], lost
        eventually(lambda: len(session.events("consumer.consuming")) >= 2, "it consumes again")
        session.wait_ready()
        eventually(lambda: inbox_ids(session.state.name) == set(self.keys), "each is handled")
        eventually(lambda: session.metric('session_service_deliveries_total{outcome="duplicate"}') > 0,
                   "what had been handled came again")
        assert effects(session.state.name) == len(self.keys)
        handled = [e["message_id"] for e in session.events("user.saved") if e["outcome"] == "handled"]
        assert sorted(handled) == sorted(self.keys)
        self.save("after")
        eventually(lambda: "after" in session.handled_ids(), "it goes on")
        session.stop()
        assert self.world.count(self.queue) == 0  # all acked: with no consumer left nothing comes back


def test_a_channel_that_the_broker_has_closed(world, broker):
    """For one that stands still, and for one that cannot commit: both at once, as it is the broker's waiting that
    takes long. The channels after these have time: what comes again is handled one by one, and acked at the end."""
    with contextlib.ExitStack() as holds:
        with impatient(broker):
            consumers = [Consumer(world, held) for held in (stopped, locked_store)]
            for one in consumers:
                holds.enter_context(one.held(one.session))
                one.put_some()
            for one in consumers:
                eventually(one.is_channel_closed, "the broker closes the channel")
        eventually(lambda: consumers[1].session.metric("session_service_store_paused") == 1, "it pauses")
    for one in consumers:
        one.judge()
