"""Files of the state that are removed or replaced under a running service: no success counts that the next start
does not find."""

import os
import shutil
import sqlite3

import pytest
import requests

from support.load import Load
from support.services import Service
from support.store import FILE, OUTBOX, inbox_ids, outbox_ids
from support.wait import PATIENCE_S, eventually


def remove(*names):
    def harm(state):
        for name in names:
            os.unlink(os.path.join(state, name))
    return harm


def remove_directory(state):
    """In one step: a look in between would name one of the files in it."""
    os.rename(state, state + ".removed")
    shutil.rmtree(state + ".removed")


def empty_directory(state):
    os.rename(state, state + ".away")
    os.mkdir(state, 0o700)


def other_directory(state):
    """As a back-up that is put in its place: the same names, other files."""
    shutil.copytree(state, state + ".copy")
    os.rename(state, state + ".away")
    os.rename(state + ".copy", state)


def replace(name):
    """By a copy, renamed over it."""
    def harm(state):
        path = os.path.join(state, name)
        shutil.copy2(path, path + ".copy")
        os.rename(path + ".copy", path)
    return harm


def by_a_link(state):
    """The directory is a symbolic link, which leads elsewhere now."""
    os.rename(state, state + ".away")
    os.mkdir(state + ".other", 0o700)
    os.symlink(state + ".other", state)


def harms(name):
    """For the database of that name: (what is done, the path that the error names)."""
    return {
        "directory-removed": (remove_directory, ""),
        "directory-renamed": (empty_directory, ""),
        "directory-restored": (other_directory, ""),
        "directory-behind-a-link": (by_a_link, ""),
        "file-removed": (remove(name), "/" + name),
        "log-removed": (remove(name + "-wal"), "/" + name + "-wal"),
        "index-removed": (remove(name + "-shm"), "/" + name + "-shm"),
        "lock-removed": (remove("lock"), "/lock"),
        "all-files-removed": (remove(name, name + "-wal", name + "-shm", "lock"), "/" + name),
        "file-replaced": (replace(name), "/" + name),
        "log-replaced": (replace(name + "-wal"), "/" + name + "-wal"),
        "lock-replaced": (replace("lock"), "/lock"),
    }


HARMS = sorted(harms(""))


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "state"
    path.mkdir(0o700)
    return str(path)


def not_ready(service, path=""):
    """The reason, when it names the path. Who has noticed first may have missed another file."""
    return eventually(lambda: (lambda reply: reply.status_code == 503 and path in reply.json()["detail"]
                               and reply.json()["detail"])(service.get("/readyz")), service.name + " is not ready")


def assert_names(text, path):
    """What is missing, and what to do."""
    assert path + " was " in text and "restart" in text, text


def put_back(state):
    shutil.rmtree(state)
    os.rename(state + ".away", state)


def sessions_of(session):
    return session.get("/sessions").json()["data"]


class TestOutbox:
    @pytest.fixture
    def away(self, away, state):
        """Its services use the state of the test."""
        away.start = lambda *more: Service(
            "user-service", "--state-dir", state, "--amqp-url", away.url, "--queue", away.queue, *more)
        return away

    def start(self, away):
        service = away.start()
        away.closers.append(service.close)
        return service.start()

    @pytest.mark.parametrize("harm", HARMS)
    def test_nothing_more_is_accepted(self, away, state, harm):
        do, path = harms(OUTBOX)[harm]
        user = self.start(away)
        assert user.save(Idempotency_Key="before").status_code == 202
        do(state)
        for _ in range(3):
            reply = user.save()
            assert (reply.status_code, reply.json().get("reason")) == (503, "outbox-displaced"), reply.text
            assert int(reply.headers["Retry-After"]) > 0
        reply = user.save(Idempotency_Key="after")  # the file of the keys may be gone with the directory
        assert (reply.status_code, reply.json()["reason"]) in (
            (503, "outbox-displaced"), (503, "keys-unavailable")), reply.text
        assert_names(not_ready(user, state + path + " was "), state + path)
        told, = user.events("outbox.displaced")
        assert_names(told["error"], state + path)
        assert (told["saves"], told["ids"]) == (1, "before")
        assert user.events("outbox.refuses") == []
        # What was accepted is forwarded all the same.
        away.appear()
        assert away.get()[1].message_id == "before"
        eventually(lambda: user.metric("user_service_outbox_saves") == 0, "it is deleted")
        assert user.save().status_code == 200
        assert user.get("/readyz").status_code == 503
        user.stop()
        again = self.start(away)
        again.wait_ready()
        assert len(user.events("outbox.displaced")) == 1

    @pytest.mark.parametrize("harm", HARMS)
    def test_idle_it_notices(self, away, state, harm):
        do, path = harms(OUTBOX)[harm]
        user = self.start(away)
        away.appear()
        user.wait_ready()
        do(state)
        assert_names(not_ready(user, state + path + " was "), state + path)

    def test_the_same_files_are_used_again(self, away, state):
        user = self.start(away)
        assert user.save(Idempotency_Key="before").status_code == 202
        empty_directory(state)
        assert user.save().status_code == 503
        put_back(state)
        eventually(lambda: user.get("/readyz").status_code == 200, "it is ready again")
        eventually(lambda: user.save(Idempotency_Key="after").status_code == 202, "the file of the keys is tried again")
        assert len(user.events("outbox.takes")) == 1
        user.kill()
        assert outbox_ids(state) == ["before", "after"]

    def test_a_lost_log_is_written_back(self, away, state):
        user = self.start(away)
        assert user.save(Idempotency_Key="before").status_code == 202
        remove(OUTBOX + "-wal")(state)
        assert "what was stored before is in the file" in not_ready(user)
        user.kill()
        assert outbox_ids(state) == ["before"]

    @pytest.mark.parametrize("harm", ["directory-renamed", "all-files-removed", "directory-behind-a-link"])
    def test_where_nothing_stands_it_is_written_out_for_the_next_start(self, away, state, harm):
        user = self.start(away)
        for number in range(3):
            assert user.save(Idempotency_Key="before%d" % number).status_code == 202
        harms(OUTBOX)[harm][0](state)
        written = eventually(lambda: user.events("outbox.written_out"), "it is written out")
        assert [(line["file"], line["saves"]) for line in written] == [(os.path.join(state, OUTBOX), 3)]
        assert os.stat(written[0]["file"]).st_mode & 0o077 == 0
        assert user.get("/readyz").status_code == 503
        user.kill()
        again = self.start(away)
        eventually(lambda: again.metric("user_service_outbox_saves") == 3, "it has them")
        away.appear()
        assert [away.get()[1].message_id for _ in range(3)] == ["before%d" % number for number in range(3)]
        assert again.save().status_code in (200, 202)

    def test_it_is_written_out_when_there_is_a_directory_again(self, away, state):
        user = self.start(away)
        assert user.save(Idempotency_Key="before").status_code == 202
        remove_directory(state)
        not_ready(user)
        os.mkdir(state, 0o700)
        written, = eventually(lambda: user.events("outbox.written_out"), "it is written out")
        assert user.events("outbox.write_out_failed") == []
        user.kill()
        assert written["file"] == os.path.join(state, OUTBOX) and outbox_ids(state) == ["before"]

    def test_a_stop_just_after_the_removal_writes_it_out(self, away, state):
        user = self.start(away)
        assert user.save(Idempotency_Key="before").status_code == 202
        remove(OUTBOX, OUTBOX + "-wal", OUTBOX + "-shm")(state)
        user.stop()
        assert [(line["saves"], line["ids"]) for line in user.events("outbox.displaced")] == [(1, "before")]
        assert len(user.events("outbox.written_out")) == 1
        assert outbox_ids(state) == ["before"]

    def test_under_load_no_success_is_lost(self, away, state):
        user = self.start(away)
        load = Load(user.port, 8, 10 ** 6, "load").start()
        try:
            eventually(lambda: len(load.ok) > 200, "some saves")
            empty_directory(state)
            eventually(lambda: load.statuses.get(503, 0) > 50, "nothing more is accepted")
        finally:
            load.stop()
            load.join()
        assert set(load.statuses) <= {202, 503, 504}, load.statuses
        eventually(lambda: user.events("outbox.written_out"), "it is written out")
        user.kill()
        assert set(load.ok) <= set(outbox_ids(state))

    def test_beside_another_file_it_is_written_out_too(self, away, state):
        user = self.start(away)
        assert user.save(Idempotency_Key="before").status_code == 202
        replace(OUTBOX)(state)
        written, = eventually(lambda: user.events("outbox.written_out"), "it is written out")
        assert written["file"].startswith(os.path.join(state, OUTBOX + ".saved-"))
        user.kill()
        connection = sqlite3.connect(written["file"])
        assert connection.execute("SELECT message_id FROM outbox").fetchall() == [("before",)]
        connection.close()

    def test_of_two_processes_one_accepts(self, away, state):
        first = self.start(away)
        assert first.save(Idempotency_Key="first").status_code == 202
        remove("lock")(state)
        second = self.start(away)
        assert first.save().status_code == 503
        assert second.save(Idempotency_Key="second").status_code == 202
        assert_names(not_ready(first), state + "/lock")
        assert second.get("/readyz").status_code == 200
        first.kill()
        second.kill()
        assert outbox_ids(state) == ["first", "second"]


class TestStore:
    @pytest.fixture
    def session(self, world, state):
        return self.start(world, state)

    def start(self, world, state):
        return world.session_service("--state-dir", state).wait_ready()

    def publish(self, world, message_id):
        world.publish('{"id":"%s"}' % message_id, message_id=message_id, type="user.saved",
                      content_type="application/json")

    @pytest.mark.parametrize("harm", HARMS)
    def test_nothing_more_is_acked(self, world, session, state, harm):
        do, path = harms(FILE)[harm]
        self.publish(world, "before")
        eventually(lambda: session.handled_ids() == ["before"], "it is handled")
        world.all_acked()
        one = sessions_of(session)[0]["id"]
        do(state)
        reply = requests.delete(session.base + "/sessions/" + one, timeout=PATIENCE_S)
        assert reply.status_code == 503, reply.text
        self.publish(world, "after")
        reason = not_ready(session)
        assert_names(reason, state + path)
        eventually(lambda: session.metric("session_service_store_paused") == 1, "it pauses")
        told, = session.events("consumer.paused")
        assert "restart" in told["error"]
        session.stop()
        assert len(session.events("consumer.paused")) == 1
        assert session.handled_ids() == ["before"]
        assert eventually(lambda: world.count() == 1, "it was not acked")
        again = self.start(world, state)
        eventually(lambda: "after" in again.handled_ids(), "it is handled after the restart")
        world.all_acked()
        again.stop()
        assert "after" in inbox_ids(state)

    def test_the_same_files_are_used_again(self, world, session, state):
        self.publish(world, "before")
        eventually(lambda: session.handled_ids() == ["before"], "it is handled")
        empty_directory(state)
        not_ready(session)
        self.publish(world, "meanwhile")
        put_back(state)
        eventually(lambda: session.handled_ids() == ["before", "meanwhile"], "it goes on")
        assert session.is_ready()
        session.kill()
        assert inbox_ids(state) == {"before", "meanwhile"}

    def test_a_lost_log_is_written_back(self, world, session, state):
        self.publish(world, "before")
        eventually(lambda: session.handled_ids() == ["before"], "it is handled")
        remove(FILE + "-wal")(state)
        assert "what was stored before is in the file" in not_ready(session)
        session.kill()
        assert inbox_ids(state) == {"before"}
