"""SIGTERM under load: what was accepted is answered, what was logged is acked, exit 0."""

import signal

from support.load import Load
from support.store import outbox_ids
from support.wait import PATIENCE_S, eventually


def test_user_service(world):
    user = world.user_service().wait_ready()
    session = world.session_service().wait_ready()
    load = Load(user.port, 32, 100000, "drain").start()
    eventually(lambda: len(load.ok) > 300, "some saves")
    user.signal(signal.SIGTERM)
    assert user.process.wait(PATIENCE_S) == 0
    load.stop()
    load.join()
    # Attempts after the end cannot connect; none that was accepted is without its answer.
    assert set(load.statuses) <= {200, 202, 503, "ConnectionRefusedError", "ConnectionResetError",
                                  "RemoteDisconnected", "BrokenPipeError"}, load.statuses
    assert load.statuses.get("ConnectionResetError", 0) == 0 or load.statuses[200] > 300
    # A 202, where a confirm took more than half a second, may wait in the outbox for the next start.
    eventually(lambda: set(load.ok) <= set(session.handled_ids()) | set(
        outbox_ids(user.state.name)), "every success is in the log or the outbox")
    accepted = {e["message_id"] for e in session.events("user.saved")}
    assert accepted <= set(load.attempted)
    assert [e["event"] for e in user.events()][-1] == "service.stopped"


def test_user_service_with_a_frozen_broker(world, broker):
    user = world.user_service("--outbox", "off", "--confirm-timeout", "60s",
                              "--drain-timeout", "1s").wait_ready()
    broker.freeze()
    try:
        load = Load(user.port, 8, 8, "frozen").start()
        eventually(lambda: user.metric("user_service_saves_in_flight") == 8, "8 in flight")
        user.signal(signal.SIGTERM)
        load.join()
        assert load.statuses == {504: 8}
        assert user.process.wait(PATIENCE_S) == 0
    finally:
        broker.thaw()


def test_session_service(world):
    channel = world.declare()
    for number in range(20000):
        channel.basic_publish("", world.queue, '{"id":%d}' % number)
    eventually(lambda: world.count() == 20000, "the queue has them all")
    channel.connection.close()
    logged = set()
    stops = []
    for _ in range(3):
        session = world.session_service().wait_ready()
        eventually(lambda: len(session.events("user.saved")) > 500, "some are handled")
        session.stop()
        logged.update(e["user"]["id"] for e in session.events("user.saved"))
        stops.append((len(logged), world.count()))
        if world.count() == 0:
            break
    # Nothing is skipped: what is no longer in the queue has been logged. What the last one held is in
    # the queue again a moment after its connection is closed.
    eventually(lambda: len(logged) >= 20000 - world.count(), "logged, or queued (logged and queued after each stop: %s)" % stops)
