"""What a service manager hears from a service."""

import os
import socket
import tempfile
import threading
import time

from support.wait import eventually


class Manager:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="notify-")  # a socket's path may not be long
        self.path = os.path.join(self.directory.name, "socket")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.messages = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while message := self.socket.recv(4096):
            self.messages += message.decode().split("\n")

    def _send(self, message):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(message, self.path)

    def told(self, start):
        """Of all that was said up to now: what is behind it in the socket is waited for."""
        mark = "mark of %d" % time.monotonic_ns()
        self._send(mark.encode())
        eventually(lambda: mark in self.messages, "the messages are read")
        return [m for m in list(self.messages) if m.startswith(start)]

    def close(self):
        self._send(b"")
        self.reader.join()
        self.socket.close()
        self.directory.cleanup()

    def environment(self, **more):
        return dict(NOTIFY_SOCKET=self.path, **more)
