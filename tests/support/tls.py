"""A broker that listens with TLS too, and servers that are none but have its authority's certificates."""

import socket
import ssl
import threading

from support.broker import Broker, free_port
from support.certificates import Authority


class TlsBroker(Broker):
    """Asks for a client certificate."""

    def __init__(self):
        self.tls_port = free_port()
        super().__init__()

    def _write_configuration(self):
        environment = super()._write_configuration()
        self.authority = Authority(self._path("ca"))
        self.client = self.authority.issue("client", "DNS:client.example.org")
        certificate, key = self.authority.issue("good", "DNS:localhost, IP:127.0.0.1")
        with open(self._path("rabbit.conf"), "a") as file:
            file.write("listeners.ssl.1 = 127.0.0.1:%d\n" % self.tls_port)
            for name, value in (("cacertfile", self.authority.ca), ("certfile", certificate),
                                ("keyfile", key), ("verify", "verify_peer"),
                                ("fail_if_no_peer_cert", "true")):
                file.write("ssl_options.%s = %s\n" % (name, value))
        return environment


class Impostor:
    """Shows a certificate, and ends each connection when the handshake is over."""

    def __init__(self, certificate, key):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.attempts = 0
        self.trusted = 0  # connections whose client has finished the handshake
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.attempts += 1
            try:
                with self.context.wrap_socket(connection, server_side=True) as tls:
                    tls.recv(1)  # with TLS 1.3 the client's verdict comes after the server's own end
                    self.trusted += 1
            except OSError:
                connection.close()

    def close(self):
        self.listener.close()
