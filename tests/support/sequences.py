"""A load in which each user is saved again and again, one save after the other, and a checker of the order of each
user's saves."""

import hashlib
import http.client
import itertools
import json
import re
import threading
import time

from support.wait import PATIENCE_S, SLOWNESS

OUTCOMES = ("handled", "outdated", "duplicate")


def shard_of(user_id, shards):
    """As common/user/user_shard.h says, for programs in other languages."""
    return int.from_bytes(hashlib.sha256(user_id.encode()).digest()[:8], "big") % shards


def message_id(user, number):
    return "%s~%06d" % (user, number)  # their order is that of the numbers


def user_and_number(identity):
    user, number = identity.rsplit("~", 1)
    return user, int(number)


class Sequences:
    """`connections` threads share the users; each user belongs to one, which saves him again when it has the answer.
    `ports`: of user-services, taken in turn. A save without a success is sent again, to the next one."""

    def __init__(self, ports, users, connections=4, prefix="u", interval_s=0.0):
        self.ports, self.connections, self.interval_s = ports, connections, interval_s
        self.numbers = {"%s%d" % (prefix, i): 0 for i in range(users)}  # the last that was sent
        self.accepted = []  # message ids
        self.statuses = {}
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.threads = []

    def _count(self, status):
        with self.lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1

    def _save(self, port, user, number):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request("POST", "/users/save", json.dumps({"id": user, "name": "Ada", "number": number}),
                               {"Content-Type": "application/json", "Idempotency-Key": message_id(user, number)})
            reply = connection.getresponse()
            reply.read()
            return reply.status
        finally:
            connection.close()

    def _save_until_accepted(self, user, number):
        turn = number
        deadline = time.monotonic() + PATIENCE_S * SLOWNESS
        while time.monotonic() < deadline:
            try:
                status = self._save(self.ports[turn % len(self.ports)], user, number)
            except (OSError, http.client.HTTPException) as error:
                status = type(error).__name__
            self._count(status)
            if status in (200, 202):
                with self.lock:
                    self.accepted.append(message_id(user, number))
                return
            turn += 1
            time.sleep(0.05)
        raise AssertionError("a save is never accepted: %s" % self.statuses)

    def _run(self, users):
        for user in itertools.cycle(users):
            if self.stopping.is_set():
                return
            self.numbers[user] += 1
            self._save_until_accepted(user, self.numbers[user])
            time.sleep(self.interval_s)

    def start(self):
        users = list(self.numbers)
        self.threads = [threading.Thread(target=self._run, args=(users[i::self.connections],), daemon=True)
                        for i in range(self.connections)]
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(2 * PATIENCE_S * SLOWNESS)
            assert not thread.is_alive(), "the load is stuck: %s" % self.statuses
        print("sequences: %d accepted, %s" % (len(self.accepted), self.statuses))

    def count(self):
        with self.lock:
            return len(self.accepted)


def lines(service):
    """(time, user, number, outcome) of each message that the service has logged, in its order. The log may be long,
    and its last line may be half."""
    found = []
    pattern = re.compile(r'"time":"([^"]+)".*"event":"user.saved".*"message_id":"([^"]*~\d+)","outcome":"(\w+)"')
    for line in service.log_text().split("\n"):
        match = pattern.search(line)
        if match:
            found.append((match.group(1), *user_and_number(match.group(2)), match.group(3)))
    return found


def seen(*services):
    return {message_id(user, number) for service in services for _, user, number, _ in lines(service)}


def check_effects(*services):
    """Of each user: what took effect never goes back, and nothing took effect twice. To be given services with one
    store after the other, in the order of their lives. Returns the last number of each user."""
    last = {}
    for service in services:
        for _, user, number, outcome in lines(service):
            assert outcome in OUTCOMES, outcome
            if outcome == "handled":
                assert number > last.get(user, 0), "%s: %d after %d" % (user, number, last[user])
                last[user] = number
            else:
                assert number <= last.get(user, 0), "%s: %d is %s after %d" % (
                    user, number, outcome, last.get(user, 0))
    return last


def check_order(*services):
    """Each user's messages were handled in the order in which they were saved, and each once, whichever service did
    it: none before the one before it."""
    last = {}
    merged = sorted((line for service in services for line in lines(service)), key=lambda line: (line[0], line[2]))
    for _, user, number, outcome in merged:
        assert (outcome, number) == ("handled", last.get(user, 0) + 1), "%s: %d is %s after %d" % (
            user, number, outcome, last.get(user, 0))
        last[user] = number
    return last


def check_order_with_repetitions(*services):
    """The same where each service has a store of its own, and one was killed: what it had not acknowledged the next
    one handles again. Still none is handled before the one before it, by any of them."""
    last = {}
    merged = sorted((line for service in services for line in lines(service)), key=lambda line: (line[0], line[2]))
    for _, user, number, _ in merged:
        assert number <= last.get(user, 0) + 1, "%s: %d after %d" % (user, number, last.get(user, 0))
        last[user] = max(number, last.get(user, 0))
    for service in services:
        check_effects(service)
    return last
