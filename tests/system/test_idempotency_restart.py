"""A key stands for its user also after the process that took it has ended, however it has ended."""

import os
import shutil
import signal
import subprocess
import threading

import pytest
import requests

from support.preload import preload
from support.proxy import Proxy
from support.services import Service
from support.store import inbox_ids
from support.tracing import inject
from support.wait import PATIENCE_S, eventually

ADA, EVE = {"name": "Ada"}, {"name": "Eve"}
NOBODY = "amqp://guest:guest@127.0.0.1:1/"
KEYS = "idempotency-keys"
PLACE = 128
REPEATED = "user_service_repeated_keys_total"
REUSED = "/problems/idempotency-key-reused"


def end_by_sigterm(service):
    service.stop()


def end_by_kill(service):
    service.kill()


@pytest.fixture
def state(tmp_path):
    return str(tmp_path)


def file_of(state):
    return os.path.join(state, KEYS)


def bytes_of(state):
    with open(file_of(state), "rb") as file:
        return file.read()


def user_service(world, state, *arguments, **options):
    return world.patient_user_service("--state-dir", state, *arguments, **options)


def assert_reused(user, key, other=None):
    reply = user.save(other or EVE, Idempotency_Key=key)
    assert reply.status_code == 422 and reply.json()["type"] == REUSED, reply.text


@pytest.mark.parametrize("end", [end_by_sigterm, end_by_kill])
@pytest.mark.parametrize("outbox", ["on", "off"])
def test_a_key_stands_for_its_user_after_a_restart(world, state, end, outbox):
    user = user_service(world, state, "--outbox", outbox).wait_ready()
    session = world.session_service().wait_ready()
    first = user.save(ADA, Idempotency_Key="k1")
    assert first.status_code == 200
    assert requests.delete(user.base + "/users/7", headers={"Idempotency-Key": "k2"},
                           timeout=PATIENCE_S).status_code == 200
    end(user)
    user = user_service(world, state, "--outbox", outbox).wait_ready()
    assert_reused(user, "k1")
    assert_reused(user, "k2", {"id": "7"})  # another type
    # What was equal by its value is equal still, whatever the bytes are.
    for same in ('{ "name" : "Ada" }', r'{"na\u006de":"Ada"}'):
        again = user.post("/users/save", same, "application/json", "k1")
        assert again.status_code == 200 and again.json() == first.json()
    form = user.post("/users/save", "name=Ada", "application/x-www-form-urlencoded", "k1")
    assert form.json() == first.json()
    assert user.save(EVE, Idempotency_Key="k3").status_code == 200
    eventually(lambda: session.handled_ids()[-1:] == ["k3"], "all are handled")
    assert session.events("user.dead_lettered") == [] and inbox_ids(session.state.name) == {"k1", "k2", "k3"}


def test_a_kill_in_the_middle_leaves_no_key_for_another_user(world, state):
    """Whatever had reached the broker then: its key is not free."""
    proxy = Proxy(world.broker.port)
    world.closers.append(proxy.close)
    url = "amqp://guest:guest@127.0.0.1:%d/" % proxy.port
    user = user_service(world, state, "--amqp-url", url).wait_ready()
    proxy.swallowing = True
    threads = [threading.Thread(target=lambda n=n: pytest.raises(
        requests.RequestException, user.save, ADA, Idempotency_Key="k%d" % n)) for n in range(8)]
    for thread in threads:
        thread.start()
    eventually(lambda: user.metric("user_service_saves_in_flight") == 8, "all are sent")
    user.kill()
    for thread in threads:
        thread.join(PATIENCE_S)
    user = user_service(world, state).wait_ready()
    for n in range(8):
        assert_reused(user, "k%d" % n)
        assert user.save(ADA, Idempotency_Key="k%d" % n).status_code == 200
        assert_reused(user, "k%d" % n)


def test_what_was_answered_202_is_answered_202(world, state):
    user = user_service(world, state, "--amqp-url", NOBODY)
    first = user.save(ADA, Idempotency_Key="k1")
    assert first.status_code == 202
    again = user.save(ADA, Idempotency_Key="k1")  # so the outcome is on its way to the file
    assert again.text == first.text
    user.stop()
    user = user_service(world, state, "--amqp-url", NOBODY)
    again = user.save(ADA, Idempotency_Key="k1")
    assert again.status_code == 202 and again.text == first.text
    assert_reused(user, "k1")
    assert user.metric("user_service_outbox_saves") == 1


def test_an_unknown_outcome_is_kept_and_what_was_not_saved_is_not(world, broker, state):
    options = ("--outbox", "off", "--confirm-timeout", "500ms", "--heartbeat", "60s")
    user = world.user_service("--state-dir", state, *options).wait_ready()
    broker.freeze()
    try:
        assert user.save(ADA, Idempotency_Key="unknown").status_code == 504
    finally:
        broker.thaw()
    user.kill()
    user = world.user_service("--state-dir", state, "--outbox", "off", "--amqp-url", NOBODY)
    eventually(lambda: user.get("/readyz").status_code == 503, "it is unready")
    assert user.save(ADA, Idempotency_Key="refused").status_code == 503
    assert user.save(ADA, Idempotency_Key="unknown").status_code == 504  # it may be saved: nobody knows
    user.stop()
    user = user_service(world, state, "--outbox", "off").wait_ready()
    assert_reused(user, "unknown")
    assert user.save(EVE, Idempotency_Key="refused").status_code == 200
    assert user.save(ADA, Idempotency_Key="unknown").status_code == 200


@pytest.mark.parametrize("end", [end_by_sigterm, end_by_kill])
def test_a_clock_that_is_set_back_meanwhile_makes_no_save_older(world, state, tmp_path, end):
    flag = tmp_path / "back"
    environment = preload(tmp_path, "clock_back", CLOCK_BACK_FILE=str(flag))
    times = []
    for key in ("k1", "k2", "k3"):
        user = world.patient_user_service("--state-dir", state, environment=environment).wait_ready()
        assert user.save(ADA, Idempotency_Key=key).status_code == 200
        times.append(world.get()[1].headers["saved_at_ms"])
        end(user)
        flag.touch()
    assert times[0] < times[1] < times[2] < times[0] + 60000


def test_a_state_directory_without_the_file_gets_one(world, state):
    """As an earlier release has left it."""
    user = user_service(world, state, "--amqp-url", NOBODY, "--idempotency-keys", "0")
    assert user.save({"id": 1}, Idempotency_Key="k0").status_code == 202
    user.stop()
    assert not os.path.exists(file_of(state))
    user = user_service(world, state).wait_ready()
    assert user.save(ADA, Idempotency_Key="k1").status_code == 200
    assert os.stat(file_of(state)).st_mode & 0o777 == 0o600
    user.stop()
    user = user_service(world, state).wait_ready()
    assert_reused(user, "k1")
    assert {world.get()[1].message_id, world.get()[1].message_id} == {"k0", "k1"}


def test_the_file_holds_so_many_and_for_so_long(world, state):
    options = ("--idempotency-keys", "2", "--max-in-flight", "4")
    user = user_service(world, state, *options).wait_ready()
    for n in range(40):
        assert user.save(ADA, Idempotency_Key="k%d" % n).status_code == 200
    user.stop()
    assert os.stat(file_of(state)).st_size <= (1 + 2 + 4) * PLACE
    user = user_service(world, state, *options).wait_ready()
    assert user.metric("user_service_idempotency_keys") == 2
    assert_reused(user, "k39")
    assert_reused(user, "k38")
    assert user.save(EVE, Idempotency_Key="k37").status_code == 200
    user.stop()
    # One that was written with room for more is made anew.
    user = user_service(world, state, "--idempotency-keys", "1", "--max-in-flight", "1").wait_ready()
    assert os.stat(file_of(state)).st_size == (1 + 1) * PLACE
    assert_reused(user, "k37", ADA)
    assert user.save(EVE, Idempotency_Key="k39").status_code == 200
    user.stop()
    user = user_service(world, state, "--idempotency-retention", "1s").wait_ready()
    eventually(lambda: user.save(ADA, Idempotency_Key="k39").status_code == 200, "it is too old")


def test_what_a_torn_write_leaves_is_told_and_the_rest_is_known(world, state):
    user = user_service(world, state).wait_ready()
    for n in range(3):
        assert user.save(ADA, Idempotency_Key="k%d" % n).status_code == 200
    user.stop()
    with open(file_of(state), "r+b") as file:
        file.seek(3 * PLACE + 70)
        file.write(b"\xff" * 20)
    user = user_service(world, state).wait_ready()
    assert [e["records"] for e in user.events("keys.damaged")] == [1]
    assert_reused(user, "k0")
    assert_reused(user, "k1")
    assert user.save(EVE, Idempotency_Key="k2").status_code == 200
    user.stop()
    os.truncate(file_of(state), 2 * PLACE + 17)
    user = user_service(world, state).wait_ready()
    assert [e["records"] for e in user.events("keys.damaged")] == [1]
    assert_reused(user, "k0")


def test_a_file_that_is_not_its_own_is_refused_and_kept(world, state):
    with open(file_of(state), "wb") as file:
        file.write(b"no keys" * 1000)
    user = Service("user-service", "--state-dir", state)  # it never answers
    refused = subprocess.run(user.arguments, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                             timeout=PATIENCE_S, env=user.environment)
    assert refused.returncode == 2 and file_of(state) in refused.stderr, refused.stderr
    with open(file_of(state), "rb") as file:
        assert file.read() == b"no keys" * 1000
    user.close()


def refused_reason(reply):
    assert reply.status_code == 503 and int(reply.headers["Retry-After"]) > 0, reply.text
    return reply.json()["reason"]


def test_where_keys_cannot_be_written_saves_without_one_go_on(world, state):
    user = user_service(world, state).wait_ready()
    assert user.save(ADA, Idempotency_Key="before").status_code == 200
    tracer = inject(user.process.pid, "pwrite64", "error=ENOSPC")
    try:
        assert refused_reason(user.save(ADA, Idempotency_Key="during")) == "keys-unavailable"
        assert refused_reason(user.save(EVE, Idempotency_Key="during")) == "keys-unavailable"
        assert user.save(ADA).status_code == 200
        assert user.save(ADA, Idempotency_Key="before").status_code == 200  # known already
        assert_reused(user, "before")
        assert "No space left" in user.events("keys.refused")[0]["error"]
    finally:
        tracer.terminate()
        tracer.wait(PATIENCE_S)
    eventually(lambda: user.save(EVE, Idempotency_Key="during").status_code == 200, "it goes on by itself")
    assert len(user.events("keys.refused")) == len(user.events("keys.taken")) == 1
    assert user.metric('user_service_saves_total{outcome="keys_unavailable"}') >= 2
    assert world.count() == 3


def test_a_file_system_that_cannot_sync_a_directory(world, state):
    """Its names are as durable as it makes them by itself."""
    user = user_service(world, state, "--outbox", "off").wait_ready()
    tracer = inject(user.process.pid, "fsync", "error=EINVAL")
    try:
        assert user.save(ADA, Idempotency_Key="k1").status_code == 200
    finally:
        tracer.terminate()
        tracer.wait(PATIENCE_S)


def test_a_key_that_is_not_synced_is_no_success(world, state):
    user = user_service(world, state).wait_ready()
    tracer = inject(user.process.pid, "fdatasync", "error=EIO")
    try:
        reply = user.save(ADA, Idempotency_Key="during")
        assert reply.status_code == 504 and reply.json()["outcome"] == "unknown", reply.text
        assert refused_reason(user.save(ADA, Idempotency_Key="after")) == "keys-unavailable"
        assert user.save(ADA).status_code == 200
        assert_reused(user, "during")
    finally:
        tracer.terminate()
        tracer.wait(PATIENCE_S)
    # It is written again without a request that asks for it.
    eventually(lambda: user.events("keys.taken"), "the key is on disk")
    user.kill()
    user = user_service(world, state).wait_ready()
    assert_reused(user, "during")
    assert user.save(ADA, Idempotency_Key="during").status_code == 200


def test_what_was_not_saved_leaves_no_key_where_its_sync_failed(world, state):
    """The key was written, and the request is answered 503 while the file cannot be synced."""
    user = user_service(world, state, "--outbox", "off", "--amqp-url", NOBODY, "--confirm-timeout", "500ms")
    eventually(lambda: user.get("/readyz").status_code == 503, "it is unready")
    tracer = inject(user.process.pid, "fdatasync", "error=EIO")
    try:
        assert refused_reason(user.save(ADA, Idempotency_Key="refused")) != "keys-unavailable"
        eventually(lambda: user.events("keys.refused"), "its sync has failed")
    finally:
        tracer.terminate()
        tracer.wait(PATIENCE_S)
    eventually(lambda: user.events("keys.taken"), "what waited is on disk")
    eventually(lambda: not any(bytes_of(state)[PLACE:]), "its place is empty")
    user.kill()
    user = user_service(world, state, "--outbox", "off").wait_ready()
    assert user.save(EVE, Idempotency_Key="refused").status_code == 200


@pytest.mark.parametrize("size, room", [(1, ("--max-in-flight", "16")), (60000, ("--max-in-flight-bytes", "960KiB"))],
                         ids=["events", "bytes"])
def test_a_disk_that_hangs_holds_up_only_new_keys(world, state, size, room):
    """There is room for 16, whether by their number or by their size."""
    ada = {"name": "Ada", "note": "x" * size}
    user = world.user_service("--state-dir", state, "--confirm-timeout", "500ms", *room, "--outbox", "off").wait_ready()
    assert user.save(ada, Idempotency_Key="before").status_code == 200
    tracer = inject(user.process.pid, "fdatasync", "delay_enter=120000000")
    statuses = []
    threads = [threading.Thread(target=lambda n=n: statuses.append(
        user.save(ada, Idempotency_Key="k%d" % n).status_code)) for n in range(16)]
    try:
        for thread in threads:
            thread.start()
        eventually(lambda: 503 in statuses, "half of what may be under way waits for the disk")
        assert user.save(ada).status_code == 200
        assert user.save(ada, Idempotency_Key="before").status_code == 200
        eventually(lambda: refused_reason(user.save(ada, Idempotency_Key="late")) == "keys-unavailable", "it is the disk")
        for number in range(40):  # more than may be under way
            reply = user.save(ada, Idempotency_Key="more%d" % number)
            assert refused_reason(reply) == "keys-unavailable"
        for thread in threads:
            thread.join(PATIENCE_S)
        assert set(statuses) == {503, 504} and statuses.count(504) >= 8, statuses
        eventually(lambda: "'keys' has made no progress" in user.get("/readyz").text, "it says so")
    finally:
        tracer.terminate()
        tracer.wait(PATIENCE_S)
    eventually(lambda: user.save(ada, Idempotency_Key="after").status_code == 200, "it goes on by itself")


def test_a_stop_does_not_wait_for_a_disk_that_hangs(world, state):
    hangs = os.path.join(state, "hangs")
    user = user_service(world, state, "--confirm-timeout", "500ms", "--drain-timeout", "1s",
                        environment=preload(state, "slow_disk", FSYNC_HANGS_FILE=hangs)).wait_ready()
    open(hangs, "w").close()
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(user.save(ADA, Idempotency_Key="k").status_code))
    thread.start()
    eventually(lambda: world.count() == 1, "the key is written, and its save is at the broker")
    user.signal(signal.SIGTERM)
    assert user.process.wait(PATIENCE_S) == 1
    thread.join(PATIENCE_S)
    assert user.events("service.drain_timeout") and 200 not in statuses
    user = user_service(world, state).wait_ready()
    assert user.save(ADA, Idempotency_Key="k").status_code == 200


def test_a_key_that_is_refused_is_not_in_the_file(world, state):
    """Nor is a place for it, to be emptied: that would be work for a disk that is behind already."""
    user = user_service(world, state, "--max-in-flight", "16").wait_ready()
    tracer = inject(user.process.pid, "fdatasync", "delay_enter=120000000")
    statuses = []
    threads = [threading.Thread(target=lambda n=n: statuses.append(
        user.save(ADA, Idempotency_Key="k%d" % n).status_code)) for n in range(16)]
    try:
        for thread in threads:
            thread.start()
        eventually(lambda: 503 in statuses, "half of what may be under way waits for the disk")
    finally:
        tracer.terminate()
        tracer.wait(PATIENCE_S)
    for thread in threads:
        thread.join(PATIENCE_S)
    user.stop()
    kept = 16 - statuses.count(503)
    assert len(statuses) == 16 and os.path.getsize(file_of(state)) == (1 + kept) * PLACE, statuses


def test_a_slow_disk_says_nothing_about_the_broker(world, state):
    """Repetitions wait for the disk with their first request, and take no room from others."""
    user = user_service(world, state, "--overload-latency", "1s").wait_ready()
    limit = user.metric("user_service_saves_limit")
    tracer = inject(user.process.pid, "fdatasync", "delay_enter=1500000")
    try:
        for number in range(4):
            threads = [threading.Thread(target=user.save, args=(ADA,), kwargs={"Idempotency_Key": "k%d" % number})
                       for _ in range(12)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE_S)
    finally:
        tracer.terminate()
        tracer.wait(PATIENCE_S)
    assert user.metric(REPEATED) == 4 * 11
    assert user.metric("user_service_saves_limit") == limit


def move_file_away(state):
    os.rename(file_of(state), file_of(state) + ".away")
    return lambda: os.rename(file_of(state) + ".away", file_of(state))


def replace_file(state):
    """By a copy, as a back-up that is put in its place."""
    back = move_file_away(state)
    shutil.copy2(file_of(state) + ".away", file_of(state))
    return back


def move_lock_away(state):
    """Another process could write over the keys of this one."""
    lock = os.path.join(state, "lock")
    os.rename(lock, lock + ".away")
    return lambda: os.rename(lock + ".away", lock)


def move_directory_away(state):
    os.rename(state, state + ".away")
    os.mkdir(state, 0o700)

    def back():
        shutil.rmtree(state)
        os.rename(state + ".away", state)
    return back


@pytest.mark.parametrize("outbox", ["on", "off"])
@pytest.mark.parametrize("displace, name", [(move_file_away, KEYS), (replace_file, KEYS), (move_lock_away, "lock"),
                                            (move_directory_away, "")])
def test_a_file_that_is_not_in_its_place_does_not_count(world, tmp_path, displace, name, outbox):
    state = str(tmp_path / "state")
    user = user_service(world, state, "--outbox", outbox).wait_ready()
    assert user.save(ADA, Idempotency_Key="k1").status_code == 200
    back = displace(state)
    assert refused_reason(user.save(ADA, Idempotency_Key="k2")) == "keys-unavailable"
    detail = eventually(lambda: (lambda reply: reply.json()["detail"] if reply.status_code == 503 else None)(
        user.get("/readyz")), "it is not ready")
    refused, = user.events("keys.refused")
    for text in detail, refused["error"]:
        assert os.path.join(state, name) in text and "restart" in text, text
    assert user.save(ADA).status_code == 200
    assert user.save(ADA, Idempotency_Key="k1").status_code == 200  # known already
    assert world.count() == 2  # nothing of the one that was refused
    back()
    eventually(lambda: user.get("/readyz").status_code == 200, "it is ready again")
    assert user.save(EVE, Idempotency_Key="k2").status_code == 200
    assert len(user.events("keys.taken")) == 1
    user.kill()
    user = user_service(world, state, "--outbox", outbox).wait_ready()
    assert_reused(user, "k1")
    assert_reused(user, "k2", ADA)


def test_what_is_removed_and_then_replaced_is_logged_once(world, state):
    user = user_service(world, state).wait_ready()
    assert user.save(ADA, Idempotency_Key="k1").status_code == 200
    move_file_away(state)
    eventually(lambda: user.events("keys.refused"), "it is logged")
    shutil.copy2(file_of(state) + ".away", file_of(state))
    eventually(lambda: " was replaced" in user.get("/readyz").text, "it is seen")
    assert len(user.events("keys.refused")) == 1


def test_idle_it_notices_that_its_file_is_gone(world, state):
    user = user_service(world, state).wait_ready()
    assert user.save(ADA, Idempotency_Key="k1").status_code == 200
    move_file_away(state)
    eventually(lambda: user.get("/readyz").status_code == 503, "it is not ready")
    assert file_of(state) + " was removed" in user.get("/readyz").json()["detail"]


def test_without_a_directory_it_says_that_keys_are_in_memory(world):
    user = world.patient_user_service("--outbox", "off", "--state-dir", "/proc/none").wait_ready()
    assert user.save(ADA, Idempotency_Key="k1").status_code == 200
    assert_reused(user, "k1")
    assert len(user.events("keys.in_memory")) == 1
    user.stop()
    user = world.patient_user_service("--outbox", "off", "--state-dir", "/proc/none",
                                      "--idempotency-keys", "0").wait_ready()
    assert user.events("keys.in_memory") == []


def test_of_two_instances_the_inbox_decides(world):
    """As docs/guarantee.md says: both are answered with success, and one becomes a dead letter."""
    one, two = (world.patient_user_service().wait_ready() for _ in range(2))
    session = world.session_service().wait_ready()
    assert one.save(ADA, Idempotency_Key="k1").status_code == 200
    eventually(lambda: session.handled_ids() == ["k1"], "it is handled")
    assert two.save(EVE, Idempotency_Key="k1").status_code == 200
    eventually(lambda: session.events("user.dead_lettered"), "the other one is put aside")
    assert [e["reason"] for e in session.events("user.dead_lettered")] == ["id-conflict"]
    assert [e["user"]["name"] for e in session.events("user.saved")] == ["A***"]


def test_after_a_restore_of_the_store_the_keys_are_forgotten_with_their_file(world, state):
    """docs/operations.md, Back up: what the store has lost is published again."""
    user = user_service(world, state).wait_ready()
    session = world.session_service().wait_ready()
    assert user.save(ADA, Idempotency_Key="k1").status_code == 200
    eventually(lambda: session.handled_ids() == ["k1"], "it is handled")
    session.stop()
    for name in os.listdir(session.state.name):  # as a copy that is older than the save
        os.unlink(os.path.join(session.state.name, name))
    session.start().wait_ready()
    assert user.save(ADA, Idempotency_Key="k1").status_code == 200
    assert user.metric(REPEATED) == 1 and session.events("user.saved")[1:] == []
    user.signal(signal.SIGTERM)
    assert user.process.wait(PATIENCE_S) == 0
    os.unlink(file_of(state))
    user.start().wait_ready()
    assert user.save(ADA, Idempotency_Key="k1").status_code == 200
    eventually(lambda: session.handled_ids() == ["k1", "k1"], "it is handled again")
