"""amqps:// on a broker with an authority of its own."""

import collections
import datetime
import subprocess

import pytest

from support.certificates import Authority
from support.services import binary
from support.tls import Impostor
from support.wait import PATIENCE_S, eventually


@pytest.fixture
def tls(broker):
    def arguments(host="localhost", port=None, ca=None):
        return ("--amqp-url", "amqps://guest:guest@%s:%d/" % (host, port or broker.tls_port),
                "--amqp-ca-file", ca or broker.authority.ca,
                "--amqp-cert-file", broker.client[0], "--amqp-key-file", broker.client[1])

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


def test_frozen(world, tls, broker):
    """Nothing blocks on a TLS connection that takes nothing, either."""
    user = world.user_service("--outbox", "off", "--confirm-timeout", "1s", "--heartbeat", "2s",
                              *tls()).wait_ready()
    broker.freeze()
    try:
        reply = user.save({"name": "Ada", "note": "x" * 60000})
        # Where the machine stood still the heartbeat may have been first.
        assert reply.status_code == 504 or user.events("broker.disconnected"), reply.text
        assert user.get("/healthz").status_code == 200
        eventually(lambda: not user.is_ready(), "the heartbeat notices")
    finally:
        broker.thaw()
    eventually(lambda: user.save().status_code == 200, "it is confirmed again")


def test_an_address_in_the_certificate(world, tls):
    user = world.patient_user_service(*tls("127.0.0.1")).wait_ready()
    assert user.save().status_code == 200


@pytest.mark.parametrize("case, words", [
    (("DNS:localhost", -1), "certificate has expired"),
    (("DNS:broker.example.org", 1), "ostname mismatch"), (("IP:127.0.0.1", 1), "ostname mismatch"),
    (None, "self-signed certificate"),
], ids=["expired", "other-host", "address", "unknown authority"])
@pytest.mark.parametrize("name", ["user-service", "session-service"])
def test_a_broker_that_is_not_to_be_trusted(name, world, broker, tls, tmp_path, case, words):
    if case is None:
        arguments = tls(ca=Authority(tmp_path, "another").ca)
    else:
        names, days = case
        impostor = Impostor(*broker.authority.issue("impostor-" + world.queue, names, days))
        world.closers.append(impostor.close)
        arguments = tls(port=impostor.port)
    if name == "user-service":
        arguments += ("--outbox", "off")
    service = world.service(name, *arguments)

    def why():
        reply = service.get("/readyz")
        assert reply.status_code == 503
        return words in reply.json()["detail"]

    eventually(why, "it is not ready, and says why")
    if name == "user-service":
        assert service.save().status_code == 503
    failures = eventually(lambda: service.events("broker.connecting_failed"), "the failure is logged")
    assert all(words in e["error"] for e in failures)
    if case is not None:
        # The consumer's and the dead letters' connections tell it once each, as often as they try.
        eventually(lambda: impostor.attempts >= 4, "one of them has tried again")
        assert impostor.trusted == 0
        told = collections.defaultdict(list)
        for e in service.events("broker.connecting_failed"):
            told[e["name"], e["error"]].append(datetime.datetime.fromisoformat(e["time"][:-1]))
        for times in told.values():
            assert all((b - a).total_seconds() > 29 for a, b in zip(times, times[1:])), told


def test_without_the_client_certificate(world, broker):
    service = world.user_service("--outbox", "off", "--amqp-url",
                                 "amqps://guest:guest@localhost:%d/" % broker.tls_port,
                                 "--amqp-ca-file", broker.authority.ca)
    eventually(lambda: service.events("broker.connecting_failed"), "the failure is logged")
    assert service.get("/readyz").status_code == 503


def test_certificate_files_are_judged_at_the_start(broker, tmp_path):
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense\n")
    certificate, key = broker.client
    for arguments, named in (
            (("--amqp-ca-file", str(nonsense)), "--amqp-ca-file"),
            (("--amqp-ca-file", "/nonexistent"), "--amqp-ca-file"),
            (("--amqp-cert-file", certificate), "--amqp-key-file"),
            (("--amqp-cert-file", certificate, "--amqp-key-file", broker.authority.ca_key),
             "--amqp-key-file"),
    ):
        result = subprocess.run([binary("user-service"), "--check-config", *arguments], text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=PATIENCE_S)
        assert result.returncode == 2 and named in result.stdout, result.stdout
        assert len(result.stdout.splitlines()) == 1
