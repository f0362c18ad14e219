#!/usr/bin/python3
"""Judges a run: nothing that was answered with success is lost, nothing takes effect twice, nothing is made up.

Reads the file of attempts (attempts.py), the session-service's store and log files, and the dead letters: from a
file of JSON lines, or taken from the queue and left there. Exit status 0: all is well; 1: a rule is broken; 2:
something could not be read, or nothing was shown.
"""

import argparse
import base64
import collections
import hashlib
import json
import os
import sqlite3
import subprocess
import sys

from attempts import ALWAYS, CONFLICT, DELETES, FAILED, OK, SAVED, TYPES, UNKNOWN

STORE = "session-service.db"
PATIENCE_S = 120
SHOWN = 5
RULES = {
    "lost": "answered with success, and neither in the store nor a dead letter",
    "unexpected": "seen, and never attempted",
    "refused": "answered with 4xx, and seen",
    "changed": "the payload is not what was attempted under this id",
    "double": "took effect more than once",
    "missing": "in the inbox, without its effect",
    "stale": "a user's state is not that of his newest save",
    "revived": "a user is there, and the newest that is known of him is a deletion",
    "unlogged": "handled, without a line in the log",
    "unfounded": "the log says handled, the inbox does not know it",
    "reused": "one Idempotency-Key, and two requests with it were answered with success",
    "misplaced": "a dead letter for a reason that it cannot have, or an effect of what can have none",
}


class Unreadable(Exception):
    """The run cannot be judged."""


def digest(payload, message_type=None):
    """Of what the inbox compares: of all but a save also the type."""
    return digest_of_bytes(payload.encode("utf-8", "surrogateescape"), message_type)


def digest_of_bytes(body, message_type):
    prefix = b"" if (message_type or SAVED) == SAVED else message_type.encode() + b"\0"
    return hashlib.sha256(prefix + body).hexdigest()


def user_of(payload):
    """What the store knows the user by; None where there is no user in it."""
    try:
        number = json.loads(payload)["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return str(number) if isinstance(number, (str, int)) else None


class Attempted:
    """All attempts with one id and one payload."""

    __slots__ = ("classes", "user", "deletes", "effect", "reasons")

    def __init__(self, user, deletes, effect, reasons):
        self.classes, self.user, self.deletes, self.effect = set(), user, deletes, effect
        self.reasons = frozenset(reasons) | {ALWAYS}

    def is_ok(self):
        return OK in self.classes

    def is_failed(self):
        return self.classes == {FAILED}


def read_lines(path, may_be_torn):
    """The objects on the lines of a file. A last line without an end is what a kill leaves."""
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
    except OSError as error:
        raise Unreadable("%s: %s" % (path, error))
    if lines[-1] != b"" and not may_be_torn:
        raise Unreadable("%s: the last line has no end" % path)
    for number, line in enumerate(lines[:-1], 1):
        try:
            yield json.loads(line)
        except ValueError:
            raise Unreadable("%s:%d: no JSON: %r" % (path, number, line[:200]))


def read_attempts(path):
    """{(id, payload's digest): Attempted}"""
    pairs, open_attempts = {}, {}
    for record in read_lines(path, may_be_torn=True):
        number = record["attempt"]
        if "class" in record:
            if record["class"] not in (OK, FAILED, UNKNOWN) or number not in open_attempts:
                raise Unreadable("%s: attempt %d has no beginning, or no class" % (path, number))
            open_attempts.pop(number).classes.add(record["class"])
            continue
        message_type = record.get("type") or SAVED
        if message_type not in TYPES:
            raise Unreadable("%s: attempt %d: attempts.py does not say what %s does" % (path, number, message_type))
        key = (record["id"], digest(record["payload"], message_type))
        if key not in pairs:
            pairs[key] = Attempted(user_of(record["payload"]), TYPES[message_type] == DELETES, record["effect"],
                                   record["reasons"])
        open_attempts[number] = pairs[key]
    for pair in open_attempts.values():
        pair.classes.add(UNKNOWN)
    return pairs


INBOX = "SELECT message_id, payload_hash FROM inbox"
EVIDENCE = "batch without ids "  # begins what a shared store writes where bare messages alone took effect
USERS = "SELECT user_id, saves, saved_at_ms, message_id, body FROM users"


def read_shared_store(url):
    """Of PostgreSQL, by its own client."""
    def rows(query):
        done = subprocess.run(["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", "-"],
                              input="SET search_path = session_service; SELECT row_to_json(row) FROM (%s) row" % query,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S)
        if done.returncode != 0:
            raise Unreadable("%s: %s" % (url, done.stderr))
        return [json.loads(line) for line in done.stdout.splitlines()]
    inbox = {row["message_id"]: row["payload_hash"].removeprefix("\\x") for row in rows(INBOX)
             if not row["message_id"].startswith(EVIDENCE)}
    users = {row["user_id"]: (row["saves"], row["saved_at_ms"], row["message_id"], row["body"]) for row in rows(USERS)}
    return inbox, users


def read_store(where):
    """A state directory, or the URL of a shared store."""
    if where.startswith("postgresql:"):
        return read_shared_store(where)
    path = os.path.join(where, STORE)
    if not os.path.exists(path):
        raise Unreadable(path + ": there is none")
    try:
        connection = sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=10)
        try:
            inbox = {row[0]: row[1].hex() for row in connection.execute(INBOX)}
            users = {row[0]: row[1:] for row in connection.execute(USERS)}
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise Unreadable("%s: %s" % (path, error))
    return inbox, users


def read_dead_file(path):
    """[(id, digest, reason)] of lines {"id", "type", "body_base64", "reason"}."""
    return [(record["id"], digest_of_bytes(base64.b64decode(record["body_base64"]), record.get("type")),
             record["reason"]) for record in read_lines(path, may_be_torn=False)]


def read_dead_queue(url, queue):
    """Taken without an ack, so all of it is there again when the connection is closed."""
    import pika
    dead = []
    try:
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        while True:
            method, properties, body = channel.basic_get(queue, auto_ack=False)
            if method is None:
                break
            reason = (properties.headers or {}).get("dead-letter-reason")
            dead.append((properties.message_id, digest_of_bytes(body, properties.type), reason))
        connection.close()
    except (pika.exceptions.AMQPError, OSError) as error:
        raise Unreadable("%s: %r" % (queue, error))
    return dead


class Log:
    """What the log says of messages."""

    def __init__(self, paths):
        self.times, self.dead, self.handled, self.bare = {}, set(), set(), 0
        self.by_arrival = set()  # what had no time, or one that was not believed
        for path in paths:
            for event in read_lines(path, may_be_torn=True):
                self._take(event, path)

    def _take(self, event, path):
        if not isinstance(event, dict) or "event" not in event:
            raise Unreadable("%s: a line without an event" % path)
        message_id = event.get("message_id")
        if event["event"] == "user.dead_lettered":
            self.dead.add(message_id)
        elif event["event"] in TYPES:
            if event["outcome"] == "bare":
                self.bare += 1
                return
            # A save that was sent twice may have come with two times, and either counts.
            at = event.get("saved_at_ms", 0)
            least, most = self.times.get(message_id, (at, at))
            self.times[message_id] = (min(least, at), max(most, at))
            if "saved_at_ms" not in event or "ahead_ms" in event:
                self.by_arrival.add(message_id)
            if event["outcome"] in ("handled", "outdated"):
                self.handled.add(message_id)


class Judgement:
    def __init__(self, attempts, inbox, users, dead, log):
        self.attempts, self.inbox, self.users, self.dead, self.log = attempts, inbox, users, dead, log
        self.ids = {message_id for message_id, _ in attempts}
        self.user_digests = {digest(row[3]) for row in users.values()}
        self.broken = {rule: [] for rule in RULES}

    def judge(self):
        self._judge_attempts()
        self._judge_keys()
        self._judge_inbox()
        self._judge_dead()
        self._judge_users()
        self._judge_log()
        return {rule: found for rule, found in self.broken.items() if found}

    def _has_effect(self, key):
        message_id, payload = key
        if message_id is None:
            return payload in self.user_digests
        return self.inbox.get(message_id) == payload

    def _judge_attempts(self):
        dead = {(message_id, payload) for message_id, payload, _ in self.dead}
        for key, attempted in self.attempts.items():
            has_effect = self._has_effect(key)
            seen = has_effect or key in dead
            if attempted.is_ok() and not seen:
                self.broken["lost"].append(key[0] or "bare " + key[1])
            if attempted.is_failed() and seen:
                self.broken["refused"].append(key[0])
            if has_effect and not attempted.effect:
                self.broken["misplaced"].append(key[0] or "bare " + key[1])

    def _judge_keys(self):
        """Who publishes two messages under one id, and may, is not the user-service."""
        ok = [message_id for (message_id, _), attempted in self.attempts.items()
              if message_id is not None and attempted.is_ok() and CONFLICT not in attempted.reasons]
        self.broken["reused"] += sorted(one for one, count in collections.Counter(ok).items() if count > 1)

    def _judge_known(self, message_id, payload):
        if (message_id, payload) in self.attempts:
            return True
        known = message_id is not None and message_id in self.ids
        self.broken["changed" if known else "unexpected"].append(message_id or "bare " + payload)
        return False

    def _judge_inbox(self):
        for message_id, payload in self.inbox.items():
            self._judge_known(message_id, payload)

    def _judge_dead(self):
        for message_id, payload, reason in self.dead:
            if (self._judge_known(message_id, payload) and
                    reason not in self.attempts[(message_id, payload)].reasons):
                self.broken["misplaced"].append("%s: %s" % (message_id, reason))

    def _judge_users(self):
        saved, deleted, deleted_again = {}, {}, {}  # {user: [time]}
        by_arrival = set()  # users; which of their changes is the newest is not to be seen here
        for key in self.inbox.items():
            attempted = self.attempts.get(key)
            if attempted is not None and attempted.user is not None:
                events = deleted if attempted.deletes else saved
                least, most = self.log.times.get(key[0], (0, 0))
                events.setdefault(attempted.user, []).append(least)
                if attempted.deletes:
                    deleted_again.setdefault(attempted.user, []).append(most)
                if key[0] in self.log.by_arrival:
                    by_arrival.add(attempted.user)
        for user in set(saved) | set(self.users):
            saves, saved_at, message_id, body = self.users.get(user, (0, 0, None, ""))
            # A deletion that was sent twice may have come with two times, and either counts.
            all_saves, newest_deletion = saved.get(user, []), max(deleted.get(user, [-1]))
            last_deletion = max(deleted_again.get(user, [newest_deletion]))
            # Where a user was deleted, whether an older save has counted depends on which came first.
            if saves > len(all_saves):
                self.broken["double"].append("user %s: %d saves" % (user, saves))
            # Of one time the later arrival counts, whichever it was.
            if saves < sum(save > last_deletion for save in all_saves) and user not in by_arrival:
                self.broken["missing"].append("user %s: %d saves" % (user, saves))
            if user not in self.users:
                continue
            if saved_at < newest_deletion and user not in by_arrival:
                self.broken["revived"].append("user %s" % user)
            newest = max(all_saves, default=0)
            self._judge_known(message_id or None, digest(body))
            is_of_another = message_id and self.inbox.get(message_id) != digest(body)
            latest = self.log.times.get(message_id, (saved_at, saved_at))[1]
            if (min(saved_at, latest) < newest and user not in by_arrival) or is_of_another:
                self.broken["stale"].append("user %s" % user)

    def _judge_log(self):
        self.broken["unlogged"] += [i for i in self.inbox if i not in self.log.times]
        self.broken["unlogged"] += [str(i) for i, _, _ in self.dead if i not in self.log.dead]
        bare = sum(1 for key in self.attempts if key[0] is None and self._has_effect(key))
        if self.log.bare < bare:
            self.broken["unlogged"].append("%d of %d bare messages" % (bare - self.log.bare, bare))
        self.broken["unfounded"] += [i for i in self.log.handled if i not in self.inbox]


def check(attempts_path, store, dead, log_paths):
    """Returns (what is broken, counts). Raises Unreadable."""
    attempts = read_attempts(attempts_path)
    inbox, users = read_store(store)
    if not log_paths:
        raise Unreadable("there is no log file")
    log = Log(log_paths)
    counts = {
        "attempted": len(attempts),
        "ok": sum(a.is_ok() for a in attempts.values()),
        "failed": sum(a.is_failed() for a in attempts.values()),
        "in the inbox": len(inbox), "users": len(users), "dead letters": len(dead),
        "ids in the log": len(log.times),
    }
    counts["unknown"] = counts["attempted"] - counts["ok"] - counts["failed"]
    return Judgement(attempts, inbox, users, dead, log).judge(), counts


def say(broken, counts):
    print("checker: " + ", ".join("%d %s" % (count, name) for name, count in counts.items()))
    for rule, found in broken.items():
        more = ", ..." if len(found) > SHOWN else ""
        print("checker: %s: %d (%s): %s%s" % (
            rule, len(found), RULES[rule], ", ".join(sorted(map(str, found))[:SHOWN]), more))
    if not broken:
        print("checker: 0 lost, 0 double, 0 unexpected: every rule holds")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", required=True, metavar="FILE")
    parser.add_argument("--store", required=True, metavar="DIR|URL",
                        help="the session-service's --state-dir, or its --store")
    parser.add_argument("--log", required=True, nargs="+", metavar="FILE")
    dead = parser.add_mutually_exclusive_group(required=True)
    dead.add_argument("--dead", metavar="FILE")
    dead.add_argument("--dead-queue", metavar="NAME", help="with --amqp-url")
    parser.add_argument("--amqp-url", metavar="URL")
    parser.add_argument("--min-ok", type=int, default=1, metavar="N",
                        help="fewer successes show nothing (1)")
    options = parser.parse_args(arguments)
    try:
        letters = (read_dead_file(options.dead) if options.dead else
                   read_dead_queue(options.amqp_url, options.dead_queue))
        broken, counts = check(options.attempts, options.store, letters, options.log)
        if counts["ok"] < options.min_ok:
            raise Unreadable("only %d successes" % counts["ok"])
    except Unreadable as error:
        print("checker: cannot judge: %s" % error)
        return 2
    say(broken, counts)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
