"""amqps:// on a broker with an authority of its own."""

import os
import shutil
import subprocess

import pytest

from support.broker import Broker, free_port
from support.certificates import Authority
from support.services import binary
from support.wait import PATIENCE_S, eventually


class TlsBroker(Broker):
    """A broker that listens with TLS and asks for a client certificate; use() changes its own."""

    def __init__(self, directory):
        self.authority = Authority(os.path.join(directory, "ca"))
        self.tls_port = free_port()
        self.issued = {
            "good": self.authority.issue("good", "DNS:localhost"),
            "expired": self.authority.issue("expired", "DNS:localhost", days=-1),
            "other-host": self.authority.issue("other-host", "DNS:broker.example.org"),
            "address": self.authority.issue("address", "IP:127.0.0.1"),
        }
        self.client = self.authority.issue("client", "DNS:client.example.org")
        super().__init__()

    def _write_configuration(self):
        environment = super()._write_configuration()
        self.certificate, self.key = self._path("certificate.pem"), self._path("key.pem")
        with open(self._path("rabbit.conf"), "a") as file:
            file.write("listeners.ssl.1 = 127.0.0.1:%d\n" % self.tls_port)
            for name, value in (("cacertfile", self.authority.ca), ("certfile", self.certificate),
                                ("keyfile", self.key), ("verify", "verify_peer"),
                                ("fail_if_no_peer_cert", "true")):
                file.write("ssl_options.%s = %s\n" % (name, value))
        self.show("good")
        return environment

    def show(self, name):
        shutil.copy(self.issued[name][0], self.certificate)
        shutil.copy(self.issued[name][1], self.key)

    def use(self, name):
        self.show(name)
        self.ctl("eval", "ssl:clear_pem_cache().")

    def tls_url(self, host="localhost"):
        return "amqps://guest:guest@%s:%d/" % (host, self.tls_port)


# One broker for all of them, whichever process they are given to.
pytestmark = pytest.mark.xdist_group("tls")


@pytest.fixture(scope="module")
def tls_broker(tmp_path_factory):
    private = TlsBroker(str(tmp_path_factory.mktemp("tls")))
    try:
        yield private.start()
    finally:
        private.close()


@pytest.fixture
def tls(world, tls_broker):
    tls_broker.use("good")

    def arguments(host="localhost", ca=None):
        return ("--amqp-url", tls_broker.tls_url(host),
                "--amqp-ca-file", ca or tls_broker.authority.ca,
                "--amqp-cert-file", tls_broker.client[0], "--amqp-key-file", tls_broker.client[1])

    return arguments


def test_a_user_goes_all_the_way(world, tls):
    user = world.user_service(*tls()).wait_ready()
    session = world.session_service(*tls()).wait_ready()
    message_id = user.save({"name": "Ada"}).json()["id"]
    eventually(lambda: message_id in session.handled_ids(), "the user is logged")


def test_large_users_and_many(world, tls):
    user = world.user_service(*tls()).wait_ready()
    session = world.session_service(*tls()).wait_ready()
    sent = [user.save({"name": "Ada", "note": "x" * 60000}).json()["id"] for _ in range(50)]
    eventually(lambda: set(sent) <= set(session.handled_ids()), "all are logged")


def test_frozen(world, tls, tls_broker):
    """Nothing blocks on a TLS connection that takes nothing, either."""
    user = world.user_service("--outbox", "off", "--confirm-timeout", "1s", "--heartbeat", "2s",
                              *tls()).wait_ready()
    tls_broker.freeze()
    try:
        reply = user.save({"name": "Ada", "note": "x" * 60000})
        assert reply.status_code == 504
        assert user.get("/healthz").status_code == 200
        eventually(lambda: not user.is_ready(), "the heartbeat notices")
    finally:
        tls_broker.thaw()
    user.wait_ready()
    assert user.save().status_code == 200


def test_an_address_in_the_certificate(world, tls, tls_broker):
    tls_broker.use("address")
    user = world.user_service(*tls("127.0.0.1")).wait_ready()
    assert user.save().status_code == 200


@pytest.mark.parametrize("case, words", [
    ("expired", "certificate has expired"), ("other-host", "ostname mismatch"),
    ("address", "ostname mismatch"), ("unknown authority", "self-signed certificate"),
])
@pytest.mark.parametrize("name", ["user-service", "session-service"])
def test_a_broker_that_is_not_to_be_trusted(name, world, tls, tls_broker, tmp_path, case, words):
    if case == "unknown authority":
        arguments = tls(ca=Authority(tmp_path, "another").ca)
    else:
        tls_broker.use(case)
        arguments = tls()
    if name == "user-service":
        arguments += ("--outbox", "off")
    service = world.service(name, *arguments)
    eventually(lambda: service.events("broker.connecting_failed"), "the failure is logged")
    reply = service.get("/readyz")
    assert reply.status_code == 503 and words in reply.json()["detail"]
    if name == "user-service":
        assert service.save().status_code == 503
    # The consumer's and the dead letters' connections tell it once each, as often as they try.
    told = {(e["name"], e["error"]) for e in service.events("broker.connecting_failed")}
    assert all(words in error for _, error in told)
    assert len(service.events("broker.connecting_failed")) == len(told)


def test_without_the_client_certificate(world, tls, tls_broker):
    service = world.user_service("--outbox", "off", "--amqp-url", tls_broker.tls_url(),
                                 "--amqp-ca-file", tls_broker.authority.ca)
    eventually(lambda: service.events("broker.connecting_failed"), "the failure is logged")
    assert service.get("/readyz").status_code == 503


def test_certificate_files_are_judged_at_the_start(world, tls, tls_broker, tmp_path):
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense\n")
    certificate, key = tls_broker.client
    for arguments, named in (
            (("--amqp-ca-file", str(nonsense)), "--amqp-ca-file"),
            (("--amqp-ca-file", "/nonexistent"), "--amqp-ca-file"),
            (("--amqp-cert-file", certificate), "--amqp-key-file"),
            (("--amqp-cert-file", certificate, "--amqp-key-file", tls_broker.authority.ca_key),
             "--amqp-key-file"),
    ):
        result = subprocess.run([binary("user-service"), "--check-config", *arguments], text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=PATIENCE_S)
        assert result.returncode == 2 and named in result.stdout, result.stdout
        assert len(result.stdout.splitlines()) == 1
