"""What the network and the machine can do to us: a silent path, no descriptors, no room for the log."""

import os
import resource
import socket
import time

import pytest

from support.load import Load
from support.proxy import Proxy
from support.store import effects, inbox_and_effects, inbox_ids
from support.wait import PATIENCE_S, eventually

BOTH = pytest.mark.parametrize("name", ["user-service", "session-service"])
SPIN_S = 0.5
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(service):
    with open("/proc/%d/stat" % service.process.pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@pytest.fixture
def path(world, broker):
    """A proxy before the broker, and the arguments to go through it."""
    proxy = Proxy(broker.port)
    world.closers.append(proxy.close)
    proxy.arguments = ("--heartbeat", "1s", "--amqp-url",
                       "amqp://guest:guest@127.0.0.1:%d/" % proxy.port)
    return proxy


def missed_heartbeats(service):
    return sum("two heartbeats" in e["error"] for e in service.events("broker.disconnected"))


def test_a_silent_path_is_noticed_by_the_user_service(world, path):
    user = world.user_service("--confirm-timeout", "1s", *path.arguments).wait_ready()
    session = world.session_service().wait_ready()
    load = Load(user.port, 8, 100000, "silent", interval_s=0.02).start()
    eventually(lambda: len(load.ok) > 50, "some saves")
    missed = missed_heartbeats(user)  # by a machine that stood still
    path.stall()
    eventually(lambda: missed_heartbeats(user) > missed, "the heartbeat is missed")
    stored = load.statuses.get(202, 0)
    eventually(lambda: load.statuses.get(202, 0) > stored + 50, "saves go on into the outbox")
    path.cut()
    path.resume()
    user.wait_ready()
    load.stop()
    load.join()
    # None has waited for longer than its deadline: 5 s later the clients' loop says 504.
    assert set(load.statuses) == {200, 202}, load.statuses
    eventually(lambda: user.metric("user_service_outbox_saves") == 0, "the outbox is empty")
    eventually(lambda: set(load.ok) <= inbox_ids(session.state.name), "every success is handled")
    ids, took_effect = inbox_and_effects(session.state.name)
    assert took_effect == len(ids)


def test_a_silent_path_is_noticed_by_the_session_service(world, path):
    session = world.session_service(*path.arguments).wait_ready()
    missed = missed_heartbeats(session)
    path.stall()
    world.publish('{"id":1}', message_id="m1")
    eventually(lambda: missed_heartbeats(session) > missed, "the heartbeat is missed")
    eventually(lambda: session.get("/readyz").status_code == 503, "it is not ready")
    assert session.get("/healthz").status_code == 200
    path.cut()
    path.resume()
    session.wait_ready()
    eventually(lambda: "m1" in session.handled_ids(), "it is delivered again")
    assert effects(session.state.name) == 1


def settled_descriptors(pid):
    """None while they change."""
    seen = []
    for _ in range(2):
        seen.append({int(name) for name in os.listdir("/proc/%d/fd" % pid)})
        time.sleep(0.1)
    return seen[0] if seen[0] == seen[1] else None


@BOTH
def test_out_of_descriptors_it_waits_and_does_not_spin(name, world):
    service = world.service(name).wait_ready()
    pid = service.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_ones = eventually(lambda: settled_descriptors(pid), "the last connection is closed")
    lowest_free = min(set(range(len(open_ones) + 1)) - open_ones)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    waiting = [socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S) for _ in range(20)]
    try:
        # Who spins gets as much of the processors as this test, which spins.
        begin, used = time.process_time(), cpu_seconds(service)
        while time.process_time() - begin < SPIN_S:
            pass
        used = cpu_seconds(service) - used
        assert used < SPIN_S / 4, "%.2f s of a processor" % used
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for one in waiting:
            one.close()
    eventually(lambda: service.get("/healthz") is not None, "it answers again")
    service.wait_ready()


@BOTH
def test_a_log_that_takes_nothing_stops_nothing(name, world):
    """/dev/full: each write fails as on a full disk."""
    service = world.service(name).wait_ready()
    service.stop()
    service.log.close()
    service.log = open("/dev/full", "wb")
    service.log_text = lambda: ""
    service.start().wait_ready()
    if name == "user-service":
        assert service.save({"name": "Ada"}).status_code in (200, 202)
    else:
        world.publish('{"id":1}', message_id="m1")
        eventually(lambda: inbox_ids(service.state.name) == {"m1"}, "it is handled")
    assert service.metric("log_lost_writes_total") > 0
    service.stop()
