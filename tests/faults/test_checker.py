"""The checker: each rule is seen broken, and what cannot be read is no pass."""

import base64
import contextlib
import io
import json
import sqlite3

import pytest

from attempts import DELETED, FAILED, OK, UNKNOWN, Attempts, class_of_status
from checker import digest, main


def user(number, **members):
    return json.dumps(dict({"id": "u%d" % number}, **members), separators=(",", ":"))


class Run:
    """A run that is well: 3 saves (1, 2 of the same user, 3), one refused, one poison, one bare."""

    def __init__(self, directory):
        self.directory = directory
        self.attempts = []  # (id, payload, effect, reasons, class)
        self.inbox, self.deletions, self.users, self.dead, self.lines = {}, {}, {}, [], []
        self.add("m1", user(1, n=1), OK, 100)
        self.add("m2", user(1, n=2), OK, 200)
        self.add("m3", user(3), UNKNOWN, 100)
        self.attempts += [("m4", user(4), True, [], FAILED), ("m5", user(5), True, [], UNKNOWN),
                          ("p1", "not JSON", False, ["not-json"], OK),
                          (None, user(9), True, [], OK)]
        self.dead.append(("p1", "not JSON", "not-json"))
        self.lines += [{"event": "user.dead_lettered", "message_id": "p1", "reason": "not-json"},
                       {"event": "user.saved", "outcome": "bare"}, {"event": "service.started"}]
        self.users["u9"] = [0, 100, "", user(9)]

    def add(self, message_id, payload, kind, saved_at):
        self.attempts.append((message_id, payload, True, [], kind))
        self.inbox[message_id] = payload
        key = json.loads(payload)["id"]
        saves = self.users.get(key, [0])[0] + 1
        self.users[key] = [saves, saved_at, message_id, payload]
        self.lines.append({"event": "user.saved", "outcome": "handled", "message_id": message_id,
                           "saved_at_ms": saved_at})

    def delete(self, message_id, number, deleted_at):
        self.attempts.append((message_id, user(number), True, [], OK, DELETED))
        self.deletions[message_id] = user(number)
        self.users.pop("u%d" % number, None)
        self.lines.append({"event": DELETED, "outcome": "handled", "message_id": message_id,
                           "saved_at_ms": deleted_at})

    def write(self):
        attempts = Attempts(self.directory / "attempts")
        for message_id, payload, effect, reasons, kind, *message_type in self.attempts:
            attempts.end(attempts.begin(message_id, payload, effect, reasons, *message_type), kind)
        attempts.close()
        connection = sqlite3.connect(str(self.directory / "session-service.db"))
        connection.execute("CREATE TABLE inbox (message_id, payload_hash)")
        connection.execute("CREATE TABLE users (user_id, saves, saved_at_ms, message_id, body)")
        connection.executemany("INSERT INTO inbox VALUES (?, ?)", [
            (key, bytes.fromhex(digest(payload))) for key, payload in self.inbox.items()] + [
            (key, bytes.fromhex(digest(payload, DELETED))) for key, payload in self.deletions.items()])
        connection.executemany("INSERT INTO users VALUES (?, ?, ?, ?, ?)",
                               [[key] + row for key, row in self.users.items()])
        connection.commit()
        connection.close()
        (self.directory / "log").write_text("".join(json.dumps(e) + "\n" for e in self.lines))
        (self.directory / "dead").write_text("".join(json.dumps(
            {"id": i, "body_base64": base64.b64encode(body.encode()).decode(), "reason": reason})
            + "\n" for i, body, reason in self.dead))
        return self

    def check(self, *more):
        path = str(self.directory)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = main(["--attempts", path + "/attempts", "--store", path, "--dead", path + "/dead",
                           "--log", path + "/log", *more])
        return status, output.getvalue()


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def rules(output):
    return {line.split()[1].rstrip(":") for line in output.splitlines()
            if " (" in line and line.split()[1].endswith(":")}


def test_a_good_run_passes(run):
    status, output = run.write().check()
    assert status == 0, output
    assert "7 attempted" in output
    assert "4 ok" in output and "every rule holds" in output


def lose(run):
    del run.inbox["m2"]
    run.users["u1"] = [1, 100, "m1", user(1, n=1)]
    run.lines = [e for e in run.lines if e.get("message_id") != "m2"]


def lose_a_dead_letter(run):
    run.dead.clear()


def lose_a_bare_one(run):
    del run.users["u9"]


def lose_what_was_sent_twice(run):
    run.attempts.insert(0, ("m6", user(6), True, [], OK))
    run.attempts.append(("m6", user(6), True, [], FAILED))


def make_one_up(run):
    run.inbox["m7"] = user(7)
    run.lines.append({"event": "user.saved", "outcome": "handled", "message_id": "m7"})


def make_a_dead_letter_up(run):
    run.dead.append(("p2", "x", "not-json"))
    run.lines.append({"event": "user.dead_lettered", "message_id": "p2"})


def make_a_bare_one_up(run):
    run.users["u8"] = [0, 1, "", user(8)]


def see_what_was_refused(run):
    run.add("m4", user(4), UNKNOWN, 1)
    run.attempts.pop()


def change_a_payload(run):
    run.inbox["m3"] = user(3, x=1)
    run.users["u3"] = [0, 100, "m3", user(3, x=1)]


def apply_twice(run):
    run.users["u3"][0] = 2


def forget_an_effect(run):
    run.users["u1"][0] = 1


def forget_a_user(run):
    del run.users["u3"]


def keep_the_older(run):
    run.users["u1"] = [2, 100, "m1", user(1, n=1)]


def keep_the_older_with_the_newer_time(run):
    run.users["u1"] = [2, 200, "m1", user(1, n=1)]


def drop_a_line(run):
    run.lines = [e for e in run.lines if e.get("message_id") != "m1"]


def drop_the_line_of_a_dead_letter(run):
    run.lines = [e for e in run.lines if e["event"] != "user.dead_lettered"]


def drop_the_line_of_a_bare_one(run):
    run.lines = [e for e in run.lines if e.get("outcome") != "bare"]


def log_what_was_not_handled(run):
    run.lines.append({"event": "user.saved", "outcome": "handled", "message_id": "m5"})


def put_a_good_one_aside(run):
    run.dead.append(("m1", user(1, n=1), "invalid-user"))
    run.lines.append({"event": "user.dead_lettered", "message_id": "m1"})


def apply_poison(run):
    run.inbox["p1"] = "not JSON"
    run.lines.append({"event": "user.saved", "outcome": "handled", "message_id": "p1"})


def revive(run):
    run.delete("d1", 3, 101)
    run.users["u3"] = [1, 100, "m3", user(3)]


def revive_by_an_older_save(run):
    run.delete("d1", 3, 150)
    run.add("m8", user(3, n=8), OK, 149)


def delete_what_is_newer(run):
    run.delete("d1", 1, 199)


def lose_a_deletion(run):
    run.delete("d1", 3, 101)
    del run.deletions["d1"]
    run.users["u3"] = [1, 100, "m3", user(3)]
    run.lines.pop()


def drop_the_line_of_a_deletion(run):
    run.delete("d1", 7, 101)
    run.lines.pop()


def take_a_key_again(run):
    """Whatever has become of the second one."""
    run.attempts.append(("m1", user(1, n=7), True, [], OK))
    run.dead.append(("m1", user(1, n=7), "too-many-redeliveries"))
    run.lines.append({"event": "user.dead_lettered", "message_id": "m1"})


@pytest.mark.parametrize("damage, rule", [
    (lose, "lost"), (lose_a_dead_letter, "lost"), (lose_a_bare_one, "lost"),
    (lose_what_was_sent_twice, "lost"), (make_one_up, "unexpected"),
    (make_a_dead_letter_up, "unexpected"), (make_a_bare_one_up, "unexpected"),
    (see_what_was_refused, "refused"), (change_a_payload, "changed"), (apply_twice, "double"),
    (forget_an_effect, "missing"), (forget_a_user, "missing"), (keep_the_older, "stale"),
    (keep_the_older_with_the_newer_time, "stale"), (drop_a_line, "unlogged"),
    (drop_the_line_of_a_dead_letter, "unlogged"), (drop_the_line_of_a_bare_one, "unlogged"),
    (log_what_was_not_handled, "unfounded"), (put_a_good_one_aside, "misplaced"),
    (apply_poison, "misplaced"), (revive, "revived"), (revive_by_an_older_save, "revived"),
    (delete_what_is_newer, "missing"), (lose_a_deletion, "lost"),
    (drop_the_line_of_a_deletion, "unlogged"), (take_a_key_again, "reused"),
], ids=lambda value: getattr(value, "__name__", value))
def test_a_broken_rule_is_named(run, damage, rule):
    damage(run)
    status, output = run.write().check()
    assert status == 1, output
    assert rules(output) == {rule}, output


def test_what_is_allowed(run):
    """An id conflict, a copy that is there twice, a retry that came with a later time."""
    run.attempts.append(("m1", user(1, n=7), True, ["id-conflict"], OK))
    run.dead += [("m1", user(1, n=7), "id-conflict")] * 2
    run.lines += [{"event": "user.dead_lettered", "message_id": "m1"},
                  {"event": "user.saved", "outcome": "duplicate", "message_id": "m1", "saved_at_ms": 900}]
    run.attempts.append(("m6", user(6), True, [], OK))
    run.dead.append(("m6", user(6), "too-many-redeliveries"))
    run.lines.append({"event": "user.dead_lettered", "message_id": "m6"})
    status, output = run.write().check()
    assert status == 0, output


def test_users_who_are_deleted_stay_away_and_come_back(run):
    """One stays away, one comes back by a newer save, and one was newer than his deletion."""
    run.delete("d1", 3, 101)
    run.add("m8", user(6), OK, 10)
    run.delete("d2", 6, 11)
    run.add("m9", user(6, n=1), OK, 12)
    kept = run.users["u1"]
    run.delete("d3", 1, 150)
    run.users["u1"] = kept
    status, output = run.write().check()
    assert status == 0, output


def test_what_has_no_believable_time_may_stay_or_go(run):
    """A stranger's save, and one of a host whose clock is ahead: the order of arrival counts, which nobody sees here."""
    run.add("m8", user(6), OK, 1000)
    del run.lines[-1]["saved_at_ms"]
    run.add("m9", user(6, n=1), OK, 10)
    run.add("m10", user(7), OK, 10 ** 9)
    run.lines[-1]["ahead_ms"] = 1000
    run.add("m11", user(7, n=1), OK, 10)
    run.add("m12", user(1, n=3), OK, 150)
    run.lines[-1]["outcome"] = "outdated"
    run.users["u1"] = [3, 200, "m2", user(1, n=2)]
    status, output = run.write().check()
    assert status == 0, output


def test_what_is_outdated_is_in_the_inbox(run):
    run.lines.append({"event": "user.saved", "outcome": "outdated", "message_id": "m5"})
    status, output = run.write().check()
    assert status == 1 and rules(output) == {"unfounded"}, output


def test_a_deletion_that_came_with_two_times_may_count_with_either(run):
    """Asked again with the same key: the later one has come first, and taken the save between them away."""
    run.add("m8", user(6), OK, 20)
    run.delete("d1", 6, 30)
    run.lines.append({"event": DELETED, "outcome": "duplicate", "message_id": "d1", "saved_at_ms": 10})
    status, output = run.write().check()
    assert status == 0, output


@pytest.mark.parametrize("name", ["attempts", "session-service.db", "dead", "log"])
@pytest.mark.parametrize("damage", ["gone", "garbage"])
def test_what_cannot_be_read_is_no_pass(run, name, damage):
    path = run.write().directory / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"\x00garbage\n" * 1000)
    status, output = run.check()
    assert status == 2 and name in output and "cannot judge" in output, output


def test_a_type_that_the_checker_does_not_know_is_no_pass(run):
    run.attempts.append(("n1", user(1), True, [], OK, "no.type"))
    status, output = run.write().check()
    assert status == 2 and "does not say what no.type does" in output, output


def test_a_torn_last_line_is_what_a_kill_leaves(run):
    log = run.write().directory / "log"
    log.write_text(log.read_text() + '{"event":"user.sav')
    assert run.check()[0] == 0
    log.write_text('{"event":"user.sav{"event":"x"}\n' + log.read_text())
    assert run.check()[0] == 2


def test_an_attempt_without_a_class_is_unknown(run):
    run.write()
    path = run.directory / "attempts"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if '"class": "ok"' not in line))
    status, output = run.check()
    assert status == 2 and "only 0 successes" in output
    assert run.check("--min-ok", "0")[0] == 0


def test_classes():
    assert [class_of_status(s) for s in (200, 202, 400, 422, 429, 503, 504, None)] == [
        OK, OK, FAILED, FAILED, FAILED, UNKNOWN, UNKNOWN, UNKNOWN]
