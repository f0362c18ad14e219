"""Who uses the services during a run: HTTP clients of all manners, and other AMQP clients on the queue."""

import http.client
import json
import random
import socket
import threading
import time

import pika

from support.wait import PATIENCE_S

from attempts import DELETED, OK, UNKNOWN, class_of_status

TIMEOUT_S = PATIENCE_S  # a reply that has not come by then is unknown
SHARED_USERS = 40
RETRY_S = 0.1
ANYTHING_BUT_A_USER = ("not JSON", "[1,2,3]", '"text"', '{"name":', "\x00\x01", '{"id":"x","id":"y"}')


def compact(value):
    return json.dumps(value, separators=(",", ":"))


class Clients:
    """Threads that save users until they are stopped. `pause_s` lies between two saves of one."""

    def __init__(self, port, attempts, seed, connections=8, pause_s=0.01, plain=False):
        self.port, self.attempts, self.seed = port, attempts, seed
        self.pause_s, self.plain = pause_s, plain
        self.lock = threading.Lock()
        self.number = 0
        self.statuses = {}
        self.replies = [0] * connections  # of each client
        self.longest_s = self.longest_gap_s = self.longest_gap_200_s = 0.0
        self.last_ok = self.last_200 = time.monotonic()
        self.failure = None
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,), daemon=True)
                        for n in range(connections)]

    def ok(self):
        return self.statuses.get(200, 0) + self.statuses.get(202, 0)

    def start(self):
        self.last_ok = self.last_200 = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(TIMEOUT_S + 10)
            if thread.is_alive():
                raise AssertionError("a client is stuck")
        if self.failure is not None:
            raise self.failure
        self._note_gaps(time.monotonic(), 200)

    def _note_gaps(self, now, status):
        if status in (200, 202):
            self.longest_gap_s = max(self.longest_gap_s, now - self.last_ok)
            self.last_ok = now
        if status == 200:
            self.longest_gap_200_s = max(self.longest_gap_200_s, now - self.last_200)
            self.last_200 = now

    def _new_user(self, rng, **members):
        """(message id, payload); every second one is of one of a few users."""
        with self.lock:
            self.number += 1
            number = self.number
        user = ("shared%d" % rng.randrange(SHARED_USERS) if rng.random() < 0.5 else
                "one%d" % number)
        return "%s-%d" % (self.seed, number), compact(dict(id=user, name="Ada", n=number, **members))

    def _run(self, index):
        rng = random.Random("%s/%d" % (self.seed, index))
        client = Client(self)
        try:
            while not self.stopping.is_set():
                self._act(rng, client)
                self.replies[index] += 1
                self.stopping.wait(self.pause_s)
        except Exception as failure:  # told to who stops the clients
            self.failure = failure
        client.close()

    def _act(self, rng, client):
        what = 1.0 if self.plain else rng.random()
        message_id, payload = self._new_user(rng, pad="x" * rng.choice((0, 0, 20, 400)))
        if what < 0.02:
            client.save(message_id, payload[:-1] + ',"password":"secret"}')
        elif what < 0.04:
            client.leave_in_the_middle(message_id, payload, rng)
        elif what < 0.06:
            client.save(message_id, payload)
            client.save(message_id, payload)
        elif what < 0.08:
            self._use_again(client, message_id, payload, rng)
        elif what < 0.11:
            self._insist(client.erase, message_id, "shared%d" % rng.randrange(SHARED_USERS), rng)
        else:
            self._insist(client.save, message_id, payload, rng)

    def _use_again(self, client, message_id, payload, rng):
        """A key comes again with another user, at once or after whatever has happened meanwhile."""
        client.save(message_id, payload)
        self.stopping.wait(rng.choice((0, 0.1, 3)))
        client.save(message_id, payload[:-1] + ',"other":true}')

    def _insist(self, request, message_id, about, rng):
        """Some clients ask again, with the same key, where they do not know what came of it."""
        if request(message_id, about) == UNKNOWN and rng.random() < 0.3:
            self.stopping.wait(RETRY_S)
            request(message_id, about)

    def record(self, status, begin):
        now = time.monotonic()
        with self.lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self.longest_s = max(self.longest_s, now - begin)
            self._note_gaps(now, status)


class Client:
    """One keep-alive connection."""

    def __init__(self, clients):
        self.clients = clients
        self.connection = None

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def save(self, message_id, payload):
        """Returns the attempt's class."""
        return self._request(self.clients.attempts.begin(message_id, payload), "POST", "/users/save", payload, {
            "Content-Type": "application/json", "Idempotency-Key": message_id})

    def erase(self, message_id, user):
        """Returns the attempt's class. The message's body is what the service makes of the path."""
        attempt = self.clients.attempts.begin(message_id, compact({"id": user}), message_type=DELETED)
        return self._request(attempt, "DELETE", "/users/" + user, None, {"Idempotency-Key": message_id})

    def save_without_key(self, payload):
        """The service chooses the id of the message. The attempt is on file when the reply has named it."""
        status, text = self._ask("POST", "/users/save", payload, {"Content-Type": "application/json"})
        if status in (200, 202, 504):
            attempt = self.clients.attempts.begin(json.loads(text)["id"], payload)
            self.clients.attempts.end(attempt, class_of_status(status))

    def _request(self, attempt, method, path, body, headers):
        status, _ = self._ask(method, path, body, headers)
        kind = class_of_status(status)
        self.clients.attempts.end(attempt, kind)
        if kind == UNKNOWN:
            self.clients.stopping.wait(RETRY_S)
        return kind

    def _ask(self, method, path, body, headers):
        """Returns the status, None where there is no reply, and the reply's body."""
        begin = time.monotonic()
        status, name, text = None, "", b""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.clients.port,
                                                             timeout=TIMEOUT_S)
            self.connection.request(method, path, body, headers)
            reply = self.connection.getresponse()
            text = reply.read()
            status = reply.status
            if reply.will_close:
                self.close()
        except (OSError, http.client.HTTPException) as error:
            name = type(error).__name__
            self.close()
        self.clients.record(status or name, begin)
        return status, text

    def leave_in_the_middle(self, message_id, payload, rng):
        """Sends a part of a request, or all of it, and does not wait for the reply."""
        text = ("POST /users/save HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                "Idempotency-Key: %s\r\nContent-Length: %d\r\n\r\n%s" % (
                    message_id, len(payload), payload)).encode()
        attempts = self.clients.attempts
        begin = time.monotonic()
        attempt = attempts.begin(message_id, payload)
        try:
            with socket.create_connection(("127.0.0.1", self.clients.port), timeout=TIMEOUT_S) as one:
                one.sendall(text[:rng.choice((10, len(text) - 5, len(text)))])
        except OSError:
            pass  # unknown, like the rest
        attempts.end(attempt, UNKNOWN)
        self.clients.record("left", begin)


class Strangers:
    """AMQP clients of other manners, straight on the queue; each publish is confirmed or unknown."""

    def __init__(self, url, queue, attempts):
        self.url, self.queue, self.attempts = url, queue, attempts
        self.number = 0
        self.lock = threading.Lock()
        self.channel = None  # of publish_at_once()

    def publish_all(self, messages):
        """(id, payload, effect, reasons, saved_at_ms[, type]) of each. Ends at what the broker breaks off."""
        parameters = pika.URLParameters(self.url + "?heartbeat=4&socket_timeout=5"
                                        "&blocked_connection_timeout=5&connection_attempts=1")
        try:
            connection = pika.BlockingConnection(parameters)
            channel = connection.channel()
            channel.confirm_delivery()
            for message in messages:
                self._publish(channel, *message)
            connection.close()
        except (pika.exceptions.AMQPError, OSError):
            pass  # its attempts are unknown

    def publish_at_once(self, messages):
        """(id, payload) of each, with no wait for confirms: only for a broker that no fault meets.

        The connection stays until close(): what a quorum queue has not taken yet ends with its channel."""
        if self.channel is None:
            self.channel = pika.BlockingConnection(pika.URLParameters(self.url + "?heartbeat=0")).channel()
        for number, (message_id, payload) in enumerate(messages):
            attempt = self.attempts.begin(message_id, payload)
            self.channel.basic_publish("", self.queue, payload.encode(), pika.BasicProperties(
                message_id=message_id, delivery_mode=2, headers={"saved_at_ms": 1000 + number}))
            self.attempts.end(attempt, OK)

    def close(self):
        if self.channel is not None:
            self.channel.connection.close()

    def _publish(self, channel, message_id, payload, effect, reasons, saved_at_ms, message_type=None):
        attempt = self.attempts.begin(message_id, payload, effect, reasons, message_type)
        try:
            channel.basic_publish("", self.queue, payload.encode(), pika.BasicProperties(
                message_id=message_id, delivery_mode=2, type=message_type, headers={"saved_at_ms": saved_at_ms}),
                mandatory=True)
        except (pika.exceptions.NackError, pika.exceptions.UnroutableError):
            self.attempts.end(attempt, UNKNOWN)
            return
        except Exception:
            self.attempts.end(attempt, UNKNOWN)
            raise
        self.attempts.end(attempt, OK)

    def _next(self, kind):
        with self.lock:
            self.number += 1
            return "%s%d" % (kind, self.number)

    def poison(self, rng, count):
        self.publish_all([(self._next("poison"), rng.choice(ANYTHING_BUT_A_USER), False,
                           ["not-json", "not-an-object", "invalid-user"], 1) for _ in range(count)])

    def invalid(self, rng, count):
        self.publish_all([(self._next("invalid"), compact({"id": "x" * rng.choice((0, 129, 500))}), False,
                           ["invalid-user"], 1) for _ in range(count)])

    def conflicts(self, rng, count):
        """One id, two payloads: whichever comes first has its effect, the other one is put aside."""
        for _ in range(count):
            name = self._next("conflict")
            self.publish_all([(name, compact({"id": name, "n": n}), True, ["id-conflict"], 1000 + n)
                              for n in (1, 2)])

    def bare(self, rng, count):
        self.publish_all([(None, compact({"id": self._next("bare"), "name": "Ada"}), True, [], 1)
                          for _ in range(count)])

    def duplicates(self, rng, count):
        messages = []
        for _ in range(count):
            name = self._next("twice")
            one = (name, compact({"id": "of-strangers%d" % rng.randrange(5), "n": name}), True, [],
                   rng.randrange(1000, 9000))
            messages += [one] * rng.randrange(2, 5)
        rng.shuffle(messages)
        self.publish_all(messages)

    def deletions(self, rng, count):
        """Saves and deletions of a few users, in another order than that of their times; some come twice."""
        messages = []
        for _ in range(count):
            name, user = self._next("gone"), "gone%d" % rng.randrange(8)
            at = rng.randrange(1000, 9000)
            one = ((name, compact({"id": user}), True, [], at, DELETED) if rng.random() < 0.5 else
                   (name, compact({"id": user, "n": name}), True, [], at))
            messages += [one] * rng.choice((1, 1, 2))
        rng.shuffle(messages)
        self.publish_all(messages)
