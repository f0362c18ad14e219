"""The file of attempts: each is on file before it is sent, and its class after the reply.

One JSON object on a line. {"attempt": N, "id": ..., "payload": ..., "effect": ..., "reasons": [...]} is an
attempt: `id` is the message id or null, `payload` the body as it must be on the queue, `effect` whether it may
have one, `reasons` those with which it may become a dead letter, `type` the message's, where it is not that of a
save. {"attempt": N, "class": "ok" | "failed" | "unknown"} is what came of it; an attempt without it is unknown.
"""

import json
import threading

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"
SAVED, DELETED = "user.saved", "user.deleted"
# What a message of each type does to its user, as the checker's rules for users know it.
SAVES, DELETES = "saves", "deletes"
TYPES = {SAVED: SAVES, DELETED: DELETES}
# What the second of two messages with one id may become.
CONFLICT = "id-conflict"
# What a message that was delivered too often may become, whatever it is.
ALWAYS = "too-many-redeliveries"


def class_of_status(status):
    """Of an HTTP reply; None where there was none."""
    if status is not None and 200 <= status < 300:
        return OK
    return FAILED if status is not None and 400 <= status < 500 else UNKNOWN


class Attempts:
    """May be used from several threads."""

    def __init__(self, path):
        self.path = str(path)
        self.file = open(self.path, "a", buffering=1)
        self.lock = threading.Lock()
        self.count = 0
        self.classes = {OK: 0, FAILED: 0, UNKNOWN: 0}

    def _write(self, record):
        self.file.write(json.dumps(record) + "\n")

    def begin(self, message_id, payload, effect=True, reasons=(), message_type=None):
        with self.lock:
            self.count += 1
            record = {"attempt": self.count, "id": message_id, "payload": payload, "effect": effect,
                      "reasons": list(reasons)}
            if message_type is not None:
                record["type"] = message_type
            self._write(record)
            return self.count

    def end(self, attempt, kind):
        with self.lock:
            self.classes[kind] += 1
            self._write({"attempt": attempt, "class": kind})

    def close(self):
        with self.lock:
            self.file.close()
