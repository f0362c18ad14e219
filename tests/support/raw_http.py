"""Bytes to a server and what becomes of them: replies and the connection's fate."""

import re
import socket

from support.wait import PATIENCE_S

STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d\d\d) ")
PROBE = b"GET /healthz HTTP/1.1\r\nHost: probe\r\n\r\n"
PROBE_BODY = b'{"status":"ok"}'


class Exchange:
    """Sends `parts`, then a request that shows whether the server still listens, or with None the end.

    statuses: of the replies to `parts`; fate: kept or closed."""

    def __init__(self, port, parts, seconds=PATIENCE_S, probe=PROBE):
        self.got, self.fate = b"", "closed"
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for part in parts:
                    connection.sendall(part)
                if probe is None:
                    connection.shutdown(socket.SHUT_WR)
                else:
                    connection.sendall(probe)
            except (ConnectionResetError, BrokenPipeError):
                pass  # what it has answered before can still be read
            try:
                while not self._has_probe_reply():
                    part = connection.recv(65536)
                    if not part:
                        break
                    self.got += part
                else:
                    self.fate = "kept"
            except ConnectionResetError:
                pass
        replies = self.got
        if self.fate == "kept":
            replies = replies[:replies.rindex(b"HTTP/1.1 200 OK")]
        self.statuses = [int(status) for status in STATUS_LINE.findall(replies)]

    def _has_probe_reply(self):
        return self.got.endswith(PROBE_BODY + b"\n")
