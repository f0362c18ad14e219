"""Many keep-alive connections from one thread, each a client that sends one save after the other.

What broke is unknown, and sent again with the same key over a new connection, before anything else of this client.
"""

import collections
import json
import selectors
import socket
import time

RECONNECT_SECONDS = 0.05


class Stream:
    """One client: saves `<name>-0`, `<name>-1`, ... in this order."""

    def __init__(self, name, count):
        self.name, self.count = name, count
        self.number, self.socket, self.text = 0, None, b""
        self.retry_at = 0.0

    def key(self):
        return "%s-%d" % (self.name, self.number)

    def request(self):
        body = json.dumps({"id": self.key(), "name": "Ada"})
        return ("POST /users/save HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                "Idempotency-Key: %s\r\nContent-Length: %d\r\n\r\n%s" %
                (self.key(), len(body), body)).encode()

    def take(self, data):
        """The status of a reply that is whole now, or None."""
        self.text += data
        head, end, rest = self.text.partition(b"\r\n\r\n")
        if not end:
            return None
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                      if line.lower().startswith(b"content-length:"))
        if len(rest) < length:
            return None
        assert len(rest) == length, self.text
        self.text = b""
        return int(head.split(b" ", 2)[1])


class Streams:
    def __init__(self, port, connections, saves, prefix="s"):
        each, more = divmod(saves, connections)
        self.port = port
        self.streams = [Stream("%s%d" % (prefix, n), each + (n < more)) for n in range(connections)]
        self.selector = selectors.DefaultSelector()
        self.statuses = collections.Counter()
        self.taken = []  # keys that were answered with 202 or 200
        self.broken = []  # keys whose connection broke before the reply
        self.refused = 0  # attempts to connect while nobody listened

    def _send(self, stream):
        try:
            if stream.socket is None:
                stream.socket = socket.create_connection(("127.0.0.1", self.port), timeout=10)
                self.selector.register(stream.socket, selectors.EVENT_READ, stream)
            stream.socket.sendall(stream.request())
        except ConnectionRefusedError:
            self.refused += 1
            stream.retry_at = time.monotonic() + RECONNECT_SECONDS
        except OSError:
            self._break(stream)

    def _break(self, stream):
        self.selector.unregister(stream.socket)
        stream.socket.close()
        stream.socket, stream.text = None, b""
        stream.retry_at = time.monotonic() + RECONNECT_SECONDS
        self.broken.append(stream.key())

    def _receive(self, stream):
        try:
            data = stream.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._break(stream)
            return
        status = stream.take(data)
        if status is None:
            return
        self.statuses[status] += 1
        if status not in (200, 202):
            raise AssertionError("%s: %d" % (stream.key(), status))
        self.taken.append(stream.key())
        stream.number += 1
        if stream.number < stream.count:
            self._send(stream)

    def run(self, until=None, seconds=300):
        """Until all is taken, or until so many are. May be called again: it goes on."""
        target = until or sum(stream.count for stream in self.streams)
        deadline = time.monotonic() + seconds
        while len(self.taken) < target:
            now = time.monotonic()
            if now > deadline:
                raise AssertionError("%d of %d taken: %s" % (len(self.taken), target, self.statuses))
            for stream in self.streams:
                if stream.socket is None and stream.number < stream.count and now >= stream.retry_at:
                    self._send(stream)
            for key, _ in self.selector.select(RECONNECT_SECONDS):
                self._receive(key.data)
        return self

    def close(self):
        for stream in self.streams:
            if stream.socket is not None:
                stream.socket.close()
        self.selector.close()
