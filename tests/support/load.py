"""A load of saves over keep-alive connections; every attempt is recorded before it is sent."""

import http.client
import json
import threading
import time

from support.wait import PATIENCE_S

# A status: the connection was closed before anything was sent over it, and the client, which stood still, had had
# the second that a drain leaves him.
SLOW_CLIENT = "slow client"
FIRST_REQUEST_WAIT_S = 1
NO_RETRY_AFTER = "503 without Retry-After"


class Load:
    """`connections` threads share `count` saves; each has an Idempotency-Key of its own."""

    def __init__(self, port, connections, count, prefix, timeout=PATIENCE_S,
                 new_connections=False, interval_s=0.0):
        self.port, self.connections, self.count = port, connections, count
        self.prefix, self.timeout = prefix, timeout
        self.new_connections = new_connections  # one for each save
        self.interval_s = interval_s  # of each connection, between a reply and the next save
        self.lock = threading.Lock()
        self.attempted, self.ok, self.failed, self.unknown = [], [], [], []
        self.statuses = {}
        self.longest_s = 0.0
        self.stopping = False
        self.threads = []

    def _next_id(self):
        with self.lock:
            if self.stopping or len(self.attempted) >= self.count:
                return None
            self.attempted.append("%s-%d" % (self.prefix, len(self.attempted)))
            return self.attempted[-1]

    def _record(self, key, status, seconds):
        with self.lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self.longest_s = max(self.longest_s, seconds)
            kind = (self.ok if status in (200, 202) else
                    self.failed if isinstance(status, int) and 400 <= status < 500 else
                    self.unknown)
            kind.append(key)

    def _run(self):
        connection = None
        while (key := self._next_id()) is not None:
            begin = time.monotonic()
            sent = None
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                            timeout=self.timeout)
                connection.request("POST", "/users/save", json.dumps({"name": "Ada " + key}),
                                   {"Content-Type": "application/json", "Idempotency-Key": key})
                sent = time.monotonic()
                reply = connection.getresponse()
                reply.read()
                status = reply.status
                retry_after_s = int(reply.headers["Retry-After"] or 0)
                if status == 503 and retry_after_s == 0:
                    status = NO_RETRY_AFTER
                if reply.will_close or self.new_connections:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                status = type(error).__name__
                if self.new_connections and (sent or time.monotonic()) - begin >= FIRST_REQUEST_WAIT_S:
                    status = SLOW_CLIENT
                connection.close()
                connection = None
            self._record(key, status, time.monotonic() - begin)
            time.sleep(retry_after_s if status == 503 else self.interval_s)

    def start(self):
        self.threads = [threading.Thread(target=self._run) for _ in range(self.connections)]
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopping = True

    def join(self, seconds=120):
        deadline = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0, deadline - time.monotonic()))
            assert not thread.is_alive(), "the load has not ended: " + str(self.statuses)
        print("load:", self.statuses, "longest %.2f s" % self.longest_s)
        return self
