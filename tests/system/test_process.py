"""What whoever starts a daemon relies on: its signals, and the rights of its files."""

import os
import signal
import stat
import subprocess

import pytest

from support.load import Load
from support.services import status_of_signal
from support.wait import PATIENCE_S, eventually

BOTH = pytest.mark.parametrize("name", ["user-service", "session-service"])
IGNORED = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGXFSZ, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF,
           signal.SIGIO, signal.SIGPWR]


@BOTH
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_that_asks_to_stop(name, number, world):
    service = world.service(name).wait_ready()
    service.signal(number)
    assert service.process.wait(PATIENCE_S) == 0
    assert [e["signal"] for e in service.events("service.draining")] == [signal.Signals(number).name]
    assert service.events()[-1]["event"] == "service.stopped"


@BOTH
def test_signals_that_mean_nothing(name, world):
    service = world.service(name).wait_ready()
    for number in IGNORED:
        service.signal(number)
    assert service.get("/healthz").status_code == 200
    service.stop()


@pytest.mark.parametrize("first, second", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT),
                                           (signal.SIGTERM, signal.SIGINT), (signal.SIGQUIT, signal.SIGTERM)])
def test_the_second_signal_ends_at_once(first, second, world, broker):
    """The first waits for the confirm of a save, for much longer than this test."""
    user = world.user_service("--outbox", "off", "--confirm-timeout", "600s", "--heartbeat", "60s",
                              "--drain-timeout", "600s").wait_ready()
    broker.freeze()
    try:
        Load(user.port, 1, 1, "waits", timeout=PATIENCE_S).start()
        eventually(lambda: user.metric("user_service_saves_in_flight") == 1, "a save is in flight")
        user.signal(first)
        eventually(lambda: user.events("service.draining"), "it drains")
        user.signal(signal.SIGUSR1)
        assert user.process.poll() is None
        user.signal(second)
        assert user.process.wait(PATIENCE_S) == status_of_signal(second)
    finally:
        broker.thaw()


def test_the_first_process_of_a_container_ends_too(world, broker):
    """The kernel keeps signals that have no handler away from it."""
    inside = ("unshare", "--pid", "--fork", "--kill-child", "--map-root-user", "--")
    if subprocess.run([*inside, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no process of its own number space here")
    user = world.user_service("--outbox", "off", "--confirm-timeout", "600s", "--heartbeat", "60s",
                              "--drain-timeout", "600s", wrapper=inside).wait_ready()
    with open("/proc/%d/task/%d/children" % (user.process.pid, user.process.pid)) as file:
        daemon = int(file.read())
    broker.freeze()
    try:
        Load(user.port, 1, 1, "waits", timeout=PATIENCE_S).start()
        eventually(lambda: user.metric("user_service_saves_in_flight") == 1, "a save is in flight")
        os.kill(daemon, signal.SIGTERM)
        eventually(lambda: user.events("service.draining"), "it drains")
        os.kill(daemon, signal.SIGTERM)
        assert user.process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    finally:
        broker.thaw()


def modes(folder):
    return {name: stat.S_IMODE(os.lstat(os.path.join(folder, name)).st_mode) for name in os.listdir(folder)}


@BOTH
@pytest.mark.parametrize("umask", ["000", "022", "777"])
def test_files_are_for_the_owner_whatever_the_umask(name, umask, world, tmp_path):
    folder = tmp_path / "state"
    service = world.service(name, "--state-dir", str(folder),
                            wrapper=("sh", "-c", "umask %s; exec \"$@\"" % umask, "sh")).wait_ready()
    eventually(lambda: name + ".db-wal" in os.listdir(folder), "the file is there")
    assert modes(folder) == dict.fromkeys(["lock"] + [name + end for end in (".db", ".db-wal", ".db-shm")], 0o600)
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    service.kill()
    for file in os.listdir(folder):  # as a version without this has left them
        os.chmod(folder / file, 0o644 if file != "lock" else 0o600)
    service.start().wait_ready()
    assert set(modes(folder).values()) == {0o600}
    service.stop()


@BOTH
def test_any_user_of_the_group_that_has_the_state(name, world, tmp_path):
    """As the images are run where the orchestrator chooses the user."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, 10001, 0)
    folder.chmod(0o770)
    for parent in list(folder.parents)[:-2]:
        parent.chmod(0o755)
    service = world.service(name, "--state-dir", str(folder), wrapper=(
        "setpriv", "--reuid", "4711", "--regid", "0", "--clear-groups", "--no-new-privs")).wait_ready()
    assert {os.stat(folder / file).st_uid for file in os.listdir(folder)} == {4711}
    service.stop()
