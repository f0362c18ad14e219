"""The outbox: saves are taken while the broker is away, and every 202 arrives, once."""

import os
import random
import signal
import sqlite3
import subprocess

import pytest
import requests

from support.load import Load
from support.proxy import Proxy
from support.services import Service
from support.store import OUTBOX, inbox_and_effects, inbox_ids, outbox_ids
from support.tracing import inject
from support.wait import PATIENCE_S, eventually


def depth(user):
    return user.metric("user_service_outbox_saves")


def wait_forwarded(user):
    eventually(lambda: depth(user) == 0, "the outbox is empty")


def assert_each_once(load, session):
    accepted = set(load.ok)
    eventually(lambda: accepted <= inbox_ids(session.state.name), "every success is handled")
    # More may arrive yet, of what was not answered.
    seen, took_effect = inbox_and_effects(session.state.name)
    assert seen <= set(load.attempted), sorted(seen - set(load.attempted))[:10]
    assert took_effect == len(seen)


def test_away_it_is_degraded_and_takes_what_comes(away):
    user = away.user_service()
    reply = user.save({"id": 7, "name": "Ada"}, Idempotency_Key="first")
    assert reply.status_code == 202
    assert reply.json() == {"success": True, "data": {"id": 7, "name": "Ada"}, "id": "first",
                            "stored": "outbox"}
    ready = user.get("/readyz")
    assert ready.status_code == 200 and ready.json()["status"] == "degraded"
    assert "not connected" in ready.json()["detail"]


def test_both_killed_again_and_again(world, broker, tmp_path):
    """Whatever is killed when: every success is handled exactly once."""
    seed = int(os.environ.get("OUTBOX_TEST_SEED", random.randrange(1 << 30)))
    print("OUTBOX_TEST_SEED=%d" % seed)
    moments = random.Random(seed)
    session = world.session_service().wait_ready()
    broker.write_down_queues()
    attempted, ok = [], []
    for number in range(4):
        user = world.user_service("--state-dir", str(tmp_path), "--confirm-timeout", "2s")
        load = Load(user.port, 16, 100000, "round%d" % number).start()
        eventually(lambda: len(load.ok) > 50, "some saves")
        if number == 1:  # the user-service is killed while the broker is away
            broker.kill()
        if number in (1, 2):
            enough = moments.randrange(50, 500)
            eventually(lambda: load.statuses.get(202, 0) > enough, "some 202")
        if number == 2:
            broker.start()
            eventually(lambda: user.metric("user_service_outbox_forwarded_total") > 0, "some are forwarded")
        more = len(load.ok) + moments.randrange(0, 500)
        eventually(lambda: len(load.ok) > more, "more saves")
        user.kill()
        load.stop()
        load.join()
        attempted += load.attempted
        ok += load.ok
    user = world.user_service("--state-dir", str(tmp_path))
    wait_forwarded(user)
    load.attempted, load.ok = attempted, ok
    assert_each_once(load, session)
    user.stop()
    session.stop()


def given_up_for_nacks(user):
    return [e["error"] for e in user.events("broker.disconnected") if "refused every message" in e["error"]]


def test_what_the_queue_refuses_waits(world, broker):
    """A broker that refuses everything gets another connection soon, and one later each time: RabbitMQ 3.10 refuses
    a channel for good that knew the limit, or is younger than the last leader of the queue and older than the next."""
    user = world.user_service().wait_ready()
    broker.limit_queue(world.queue)
    load = Load(user.port, 4, 10 ** 6, "nack", interval_s=0.05).start()
    try:
        eventually(lambda: len(given_up_for_nacks(user)) >= 2, "it is given up twice")
        taken = len(load.ok)
        eventually(lambda: len(load.ok) > taken + 8, "saves go on")
    finally:
        load.stop()
        load.join()
        broker.lift_limit(world.queue)
    assert set(load.statuses) <= {200, 202} and load.statuses[202] > 8, load.statuses
    assert ["for %d s" % s in e for s, e in zip((1, 2), given_up_for_nacks(user))] == [True] * 2
    session = world.session_service().wait_ready()
    wait_forwarded(user)
    assert_each_once(load, session)


def test_a_deleted_queue_loses_nothing(world):
    user = world.user_service().wait_ready()
    load = Load(user.port, 16, 10 ** 6, "gone").start()
    try:
        for _ in range(2):
            enough = len(load.ok) + 300
            eventually(lambda: len(load.ok) > enough, "some saves")
            world.delete()  # what it held is gone with it: only what comes now can be judged
        attempted = len(load.attempted)
        after_deletion = len(load.ok)
        eventually(lambda: len(load.ok) > after_deletion + 300, "saves after the deletion")
    finally:
        load.stop()
        load.join()
    assert set(load.statuses) <= {200, 202}, load.statuses
    wait_forwarded(user)
    session = world.session_service().wait_ready()
    # A reply that was under way at the deletion was true before it, however late the load comes to read it.
    late = set(load.ok) & set(load.attempted[attempted:])
    assert len(late) > 200
    eventually(lambda: not late - inbox_ids(session.state.name), "every later success is handled")


def test_a_late_confirm_is_a_202_and_a_duplicate(world, broker):
    user = world.user_service("--confirm-timeout", "500ms", "--heartbeat", "60s").wait_ready()
    session = world.session_service().wait_ready()
    broker.freeze()
    try:
        load = Load(user.port, 8, 8, "late").start().join()
        # Without the deadline the clients' loop would have said 504, 5 s later.
        assert load.statuses == {202: 8} and load.longest_s > 0.49
    finally:
        broker.thaw()
    wait_forwarded(user)
    assert_each_once(load, session)
    eventually(lambda: session.metric('session_service_deliveries_total{outcome="duplicate"}') > 0, "the second copy is a duplicate")


def test_a_drain_hands_over_to_the_outbox(world, broker):
    user = world.user_service("--confirm-timeout", "600s", "--drain-timeout", "1s", "--heartbeat", "60s").wait_ready()
    broker.freeze()
    try:
        load = Load(user.port, 8, 8, "drain").start()
        eventually(lambda: user.metric("user_service_saves_in_flight") == 8, "8 in flight")
        user.signal(signal.SIGTERM)
        load.join()
        assert load.statuses == {202: 8}
        assert user.process.wait(PATIENCE_S) == 0
        assert sorted(outbox_ids(user.state.name)) == sorted(load.ok)
    finally:
        broker.thaw()


def as_root(*command):
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run(prefix + list(command), check=True, stdin=subprocess.DEVNULL)


@pytest.fixture
def tiny_disk(tmp_path):
    """A directory on a file system of 1 MiB."""
    path = str(tmp_path / "state")
    os.mkdir(path)
    as_root("mount", "-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs", path)
    try:
        yield path
    finally:
        as_root("umount", "--lazy", path)


def test_a_full_disk_refuses_and_keeps_what_it_has(away, tiny_disk):
    user = away.service("user-service", "--state-dir", tiny_disk, "--outbox-min-free", "128KiB",
                        "--confirm-timeout", "600s")
    taken, refused = [], []
    while len(refused) < 20:
        key = "full-%d" % (len(taken) + len(refused))
        reply = user.save({"name": "x" * 200, "key": key, "pad": "y" * 2000}, Idempotency_Key=key)
        if reply.status_code == 202:
            taken.append(key)
            continue
        assert (reply.status_code, reply.json()["reason"]) == (503, "outbox-full"), reply.text
        assert int(reply.headers["Retry-After"]) > 0
        refused.append(key)
        assert len(taken) < 9000, "it never fills"
    assert len(taken) > 50
    eventually(lambda: user.get("/readyz").status_code == 503, "it says so")
    assert "full" in user.get("/readyz").json()["detail"]
    assert user.process.poll() is None and user.get("/healthz").status_code == 200
    eventually(lambda: depth(user) == len(taken), "the metric counts them")
    print("%d taken before it was full" % len(taken))
    away.appear()
    session = away.session_service()
    wait_forwarded(user)
    eventually(lambda: set(taken) <= inbox_ids(session.state.name), "every 202 arrives")
    # And nothing of what was refused.
    assert inbox_and_effects(session.state.name) == (set(taken), len(taken))
    user.wait_ready()
    assert user.save({"name": "Ada"}).status_code == 200
    user.stop()


def test_a_row_that_is_no_save_is_told_and_kept(world, tmp_path):
    state = str(tmp_path)
    world.user_service("--state-dir", state).stop()
    connection = sqlite3.connect(os.path.join(state, OUTBOX))
    with connection:
        connection.executemany("INSERT INTO outbox (message_id, body, traceparent, saved_at_ms)"
                               " VALUES (?, '{\"id\":1}', '', 1)", [("x" * 129,), ("good",)])
    connection.close()
    user = world.user_service("--state-dir", state)
    eventually(lambda: outbox_ids(state) == ["x" * 129], "the good one is forwarded")
    assert user.metric("user_service_outbox_unreadable_rows") == 1
    assert [e["error"] for e in user.events("outbox.unreadable")] == [
        "row 1 is not a save, and stays: its message id is not valid"]
    assert world.get()[1].message_id == "good" and world.count() == 0


def test_a_limit_of_bytes(away):
    user = away.user_service("--outbox-max-bytes", "64KiB")
    replies = [user.save({"name": "x" * 200, "pad": "y" * 3000}) for _ in range(30)]
    statuses = [reply.status_code for reply in replies]
    assert statuses[:10] == [202] * 10 and statuses[-1] == 503
    assert replies[-1].json()["reason"] == "outbox-full"
    assert replies[-1].json()["detail"] == "there is no connection to the broker, and the outbox is full; not saved"
    assert user.metric('user_service_saves_total{outcome="outbox_full"}') == statuses.count(503)
    assert user.metric('user_service_saves_total{outcome="outbox_unavailable"}') == 0
    assert "--outbox-max-bytes" in user.events("outbox.refuses")[0]["error"]
    assert user.metric("user_service_outbox_bytes") <= 65536
    assert user.metric("user_service_outbox_refused_total") > 5


def test_a_failed_fsync_is_no_success(away):
    user = away.user_service()
    assert user.save({"name": "Ada"}, Idempotency_Key="before").status_code == 202
    tracer = inject(user.process.pid, "fsync,fdatasync", "error=EIO")
    try:
        reply = user.save({"name": "Ada"}, Idempotency_Key="during")
        # What was written before the failed fsync may be there when the file is opened again.
        assert reply.status_code == 504 and reply.json()["outcome"] == "unknown", reply.text
        eventually(lambda: "Input/output error" in user.get("/readyz").text, "it says why")
        refused = eventually(lambda: [reply for reply in [user.save({"name": "Ada"})] if reply.status_code == 503],
                             "it waits until it tries again")[0]
        assert refused.json()["reason"] == "outbox-unavailable", refused.text
        assert refused.json()["detail"] == ("there is no connection to the broker, and the outbox cannot write to its "
                                            "file; not saved")
        assert int(refused.headers["Retry-After"]) > 0
        assert user.metric('user_service_saves_total{outcome="outbox_unavailable"}') >= 1
        assert user.metric('user_service_saves_total{outcome="outbox_full"}') == 0
        assert "I/O error" in user.events("outbox.refuses")[0]["error"]
        assert user.events("http.refused")[-1]["reason"] == "outbox-unavailable"
    finally:
        tracer.terminate()
        tracer.wait(PATIENCE_S)
    eventually(lambda: user.save({"name": "Ada"}, Idempotency_Key="after").status_code == 202, "it goes on by itself")
    assert "before" in away.stored() and "after" in away.stored()


def test_a_disk_that_hangs_hangs_no_client(away):
    """strace holds each fsync back for longer than a client is left to wait."""
    user = away.user_service("--confirm-timeout", "500ms")
    tracer = inject(user.process.pid, "fsync,fdatasync", "delay_enter=120000000")
    try:
        load = Load(user.port, 4, 4, "hang").start().join()
        assert load.statuses == {504: 4}, load.statuses
        assert user.get("/healthz").status_code == 200
    finally:
        tracer.terminate()
        tracer.wait(PATIENCE_S)
    eventually(lambda: user.save({"name": "Ada"}, Idempotency_Key="after").status_code == 202, "it goes on by itself")
    assert "after" in away.stored()


def test_a_broker_slower_than_the_deadline_is_forwarded_to(world):
    """A confirm that comes after the deadline is one: or the same would be forwarded for ever."""
    proxy = Proxy(world.broker.port)
    world.closers.append(proxy.close)
    user = world.user_service("--confirm-timeout", "100ms", "--amqp-url",
                              "amqp://guest:guest@127.0.0.1:%d/" % proxy.port).wait_ready()
    proxy.delay_s = 0.15
    load = Load(user.port, 4, 8, "slow").start().join()
    assert load.statuses == {202: 8}, load.statuses
    eventually(lambda: user.metric("user_service_outbox_forwarded_total") == 8, "all forwarded")
    # Each twice at the most: once when it was taken, once from the outbox.
    assert world.count() <= 16


def test_a_second_process_is_refused(away):
    user = away.user_service()
    second = subprocess.run(user.arguments_elsewhere(),
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S,
                            env=user.environment)
    assert second.returncode == 2
    assert "in use by process %d" % user.process.pid in second.stderr


def test_a_damaged_outbox_is_refused_and_kept(away):
    path = os.path.join(away.state.name, OUTBOX)
    with open(path, "wb") as file:
        file.write(b"no database" * 1000)
    user = Service("user-service", "--state-dir", away.state.name)  # it never answers
    refused = subprocess.run(user.arguments, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             text=True, timeout=PATIENCE_S, env=user.environment)
    assert refused.returncode == 2 and OUTBOX in refused.stderr, refused.stderr
    with open(path, "rb") as file:
        assert file.read() == b"no database" * 1000
    user.close()


def test_off_it_tells_what_it_leaves_behind(away):
    user = away.user_service()
    assert user.save({"name": "Ada"}).status_code == 202
    user.stop()
    user = away.user_service("--outbox", "off")
    assert [e["saves"] for e in user.events("outbox.left_behind")] == [1]
    user.stop()
    assert len(away.stored()) == 1


def test_off_it_needs_no_directory(away):
    user = away.service("user-service", "--outbox", "off", "--state-dir", "/proc/none")
    reply = user.save({"name": "Ada"})
    assert (reply.status_code, reply.json()["reason"]) == (503, "disconnected")
    assert "user_service_outbox_saves" not in requests.get(user.base + "/metrics", timeout=PATIENCE_S).text
