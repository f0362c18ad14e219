"""SIGTERM under load: what was accepted is answered, what was logged is acked, exit 0."""

import os
import signal
import socket

from support.load import Load
from support.services import status_of_signal
from support.store import outbox_ids
from support.tracing import inject
from support.wait import PATIENCE_S, eventually


def test_user_service(world):
    user = world.user_service("--confirm-timeout", "60s").wait_ready()
    session = world.session_service().wait_ready()
    load = Load(user.port, 32, 10 ** 6, "drain").start()
    eventually(lambda: len(load.ok) > 300, "some saves")
    user.signal(signal.SIGTERM)
    assert user.process.wait(PATIENCE_S) == 0
    load.stop()
    load.join()
    # A connection on which nothing was accepted may close while a request is on its way.
    assert set(load.statuses) <= {200, 202, 503, "ConnectionRefusedError", "ConnectionResetError",
                                  "RemoteDisconnected", "BrokenPipeError"}, load.statuses
    # A 202, where the confirms were late, may wait in the outbox for the next start.
    eventually(lambda: set(load.ok) <= set(session.handled_ids()) | set(
        outbox_ids(user.state.name)), "every success is in the log or the outbox")
    accepted = {e["message_id"] for e in session.events("user.saved")}
    assert accepted <= set(load.ok), "accepted, and not answered with success"
    assert [e["event"] for e in user.events()][-1] == "service.stopped"


def test_user_service_with_a_frozen_broker(world, broker):
    """What was accepted is answered: with its confirm, or when the time to drain is over as unknown."""
    options = ("--outbox", "off", "--confirm-timeout", "600s", "--heartbeat", "60s", "--drain-timeout")
    users = [world.user_service(*options, drain).wait_ready() for drain in ("600s", "1s")]
    broker.freeze()
    try:
        patient, hasty = (Load(user.port, 8, 8, "frozen%d" % user.port, timeout=600).start() for user in users)
        for user in users:
            eventually(lambda: user.metric("user_service_saves_in_flight") == 8, "8 in flight")
            user.signal(signal.SIGTERM)
        hasty.join()
        assert hasty.statuses == {504: 8}
        assert users[1].process.wait(PATIENCE_S) == 0
        assert not patient.statuses and users[0].process.poll() is None
    finally:
        broker.thaw()
    patient.join()
    assert patient.statuses == {200: 8}
    assert users[0].process.wait(PATIENCE_S) == 0


def threads(pid):
    """Their states by their names."""
    found = {}
    for task in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/stat" % (pid, task)) as file:
                name, state = file.read().split("(", 1)[1].rsplit(") ", 1)
        except OSError:
            continue  # it has ended meanwhile
        found[name] = state[0]
    return found


def test_what_comes_when_the_publisher_has_ended(away):
    """A disk that hangs keeps one save, and with it the HTTP loop: what that takes meanwhile is answered too."""
    user = away.user_service("--confirm-timeout", "600s", "--drain-timeout", "1s", "--request-timeout", "600s")
    pid = user.process.pid
    body = b'{"name":"Ada"}'
    with socket.create_connection(("127.0.0.1", user.port), timeout=PATIENCE_S) as slow:
        slow.sendall(b"POST /users/save HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                     b"Content-Length: %d\r\n\r\n" % len(body) + body[:5])
        tracer = inject(pid, "fsync,fdatasync", "delay_enter=120000000")
        try:
            load = Load(user.port, 1, 1, "hangs").start()
            eventually(lambda: threads(pid)["outbox"] == "t", "the disk hangs")
            user.signal(signal.SIGTERM)
            eventually(lambda: "publisher" not in threads(pid), "the publisher has ended")
            slow.sendall(body[5:])
            reply = slow.recv(65536)
            assert reply.startswith(b"HTTP/1.1 503 ") and b"draining" in reply, reply
        finally:
            tracer.terminate()
            tracer.wait(PATIENCE_S)
    load.join()
    assert load.statuses == {202: 1}
    assert user.process.wait(PATIENCE_S) == 0


def test_session_service(world):
    """Stopped with more to do, again and again; the last one finds what the others have not acked."""
    world.declare().connection.close()
    published, logged, stops_under_load = 0, set(), 0
    while stops_under_load < 2:
        if len(logged) == published:
            there, channel = world.count(), world.channel()
            for number in range(published, published + 5000):
                channel.basic_publish("", world.queue, '{"id":%d}' % number)
            published += 5000
            eventually(lambda: world.count() >= there + 5000, "the queue has them")
            channel.connection.close()
        session = world.session_service().wait_ready()
        eventually(lambda: session.metric('session_service_deliveries_total{outcome="bare"}') > 50, "some are handled")
        session.stop()
        logged.update(e["user"]["id"] for e in session.events("user.saved"))
        stops_under_load += len(logged) < published
    session = world.session_service().wait_ready()
    eventually(lambda: logged | {e["user"]["id"] for e in session.events("user.saved")} >= set(range(published)),
               "each is logged by one of them")


def test_with_a_delay_it_says_so_first_and_still_takes_what_comes(world):
    """Who asks /readyz learns of the end while new connections are still accepted."""
    patient = world.patient_user_service("--drain-delay", "600s").wait_ready()
    hasty = world.patient_user_service("--drain-delay", "1s").wait_ready()
    for user in (patient, hasty):
        user.signal(signal.SIGTERM)
    eventually(lambda: patient.get("/readyz").status_code == 503, "it is not ready")
    assert patient.get("/readyz").json()["detail"] == "draining"
    reply = patient.save()  # over a new connection
    assert reply.status_code == 200 and reply.headers["Connection"] == "close"
    assert hasty.process.wait(PATIENCE_S) == 0
    assert patient.process.poll() is None and patient.save().status_code == 200
    patient.signal(signal.SIGTERM)
    assert patient.process.wait(PATIENCE_S) == status_of_signal(signal.SIGTERM)
