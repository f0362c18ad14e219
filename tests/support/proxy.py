"""A TCP proxy on loopback whose connections a test can stall, slow down, refuse or cut."""

import socket
import threading
import time

from support.broker import free_port


def end(connection):
    """Wakes whoever reads from it. May be repeated."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the peer has ended it already


class Proxy:
    """One that is not open yet refuses connections as if nothing were there."""

    def __init__(self, target_port, is_open=True):
        self.target_port = target_port
        self.port = free_port()
        self.swallowing = False  # what a client sends is read and goes no further
        self.swallows_from = None  # bytes: from the piece on that has them, it is swallowing
        self.swallowed_bytes = 0
        self.cuts_behind = None  # bytes: once, the piece that has them goes through, and no answer comes back
        self.delay_s = 0  # before each piece, of at most 64 KiB
        self.refusing = False  # new connections are ended at once
        self.going = threading.Event()
        self.going.set()
        self.silenced = set()  # servers whose answers go no further
        self.pairs = []
        # Bound, so that nobody else takes the port; and nobody listens before open().
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", self.port))
        if is_open:
            self.open()

    def open(self):
        self.listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port), timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self.pairs.append((client, server))
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source, sink, from_client):
        try:
            while data := source.recv(65536):
                self.going.wait()
                if self.delay_s:
                    time.sleep(self.delay_s)
                if from_client and self.swallows_from is not None and self.swallows_from in data:
                    self.swallowing = True
                last = from_client and self.cuts_behind is not None and self.cuts_behind in data
                if last:
                    self.silenced.add(sink)  # before there is anything to answer
                if from_client and self.swallowing:
                    self.swallowed_bytes += len(data)
                elif source not in self.silenced:
                    sink.sendall(data)
                if last:
                    self.cuts_behind = None
                    break
        except OSError:
            pass  # cut by the test, or by one of the ends: the other is told below
        end(source)
        end(sink)

    def stall(self):
        """Nothing goes either way until resume(), and nothing is lost."""
        self.going.clear()

    def resume(self):
        self.going.set()

    def cut(self):
        """Ends every connection; new ones go through."""
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for one in pair:
                end(one)

    def close(self):
        self.resume()
        end(self.listener)
        self.listener.close()
        self.cut()
