"""Broker URLs as brokers hand them out, secrets as files hold them, and what is said where they are wrong."""

import re
import socket
import subprocess
import urllib.parse

import pytest

from support.broker import free_port
from support.services import binary
from support.wait import PATIENCE_S, eventually

BOTH = pytest.mark.parametrize("name", ["user-service", "session-service"])


def check(*arguments, name="user-service", **environment):
    done = subprocess.run([binary(name), "--check-config", *arguments], stdin=subprocess.DEVNULL, timeout=PATIENCE_S,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert done.returncode in (0, 2) and "hunter" not in done.stdout
    return done.returncode == 0, done.stdout


def connections(broker, *columns):
    """The rows of those columns, and as the first what a connection calls itself."""
    lines = broker.ctl("list_connections", "client_properties", *columns).splitlines()
    rows = [line.split("\t") for line in lines if "connection_name" in line]
    return [[re.search(r'{"connection_name","([^"]*)"}', row[0]).group(1), *row[1:], row[0]] for row in rows]


def why(service, words):
    """It is not ready, for a reason with these words."""
    def is_said():
        reply = service.get("/readyz")
        return words in reply.json()["detail"]

    eventually(is_said, "%s says %s; it says %s" % (service.name, words, service.get("/readyz").text))


def test_any_character_and_blanks_around(world, broker):
    user, password, vhost = "ä ö/%d" % broker.port, "ü:@/?#%,&=+ €", "vö/%d" % broker.port
    broker.ctl("add_user", user, password)
    broker.ctl("add_vhost", vhost)
    broker.ctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
    try:
        url = "AMQP://%s@127.0.0.1:%d/%s" % (":".join(urllib.parse.quote(s, safe="") for s in (user, password)),
                                             broker.port, urllib.parse.quote(vhost, safe=""))
        blanks = "\ufeff \n%s\r\n , \t%s \n" % (url, url)
        services = [world.service(name, "--amqp-url", blanks, "--outbox", "off") if name == "user-service" else
                    world.service(name, "--amqp-url", blanks) for name in ("user-service", "session-service")]
        sender, receiver = [service.wait_ready() for service in services]
        message_id = sender.save().json()["id"]
        eventually(lambda: message_id in receiver.handled_ids(), "the user is logged")
    finally:
        for closer in reversed(world.closers):
            closer()
        world.closers.clear()
        broker.ctl("delete_vhost", vhost)
        broker.ctl("delete_user", user)


def test_parameters_and_names(world, broker):
    world.user_service("--amqp-url", broker.url() + "?heartbeat=7&connection_timeout=9000&frame_max=16384&channel_max=9",
                       "--heartbeat", "20s").wait_ready()
    world.session_service().wait_ready()
    name = "user-service 0.1.0 on %s: " % socket.gethostname()
    found = {}

    def all_are_there():
        found.update((row[0], row[1:]) for row in connections(broker, "timeout", "frame_max"))
        return {name + "publisher", name.replace("user", "session") + "consumer"} <= set(found)

    eventually(all_are_there, "both are named: %s" % found)
    assert found[name + "publisher"][:2] == ["7", "16384"]
    assert '{"product","user-service"}' in found[name + "publisher"][2]
    assert found[name.replace("user", "session") + "consumer"][0] == "10"


def test_tls_files_in_the_url(world, broker):
    parameters = urllib.parse.urlencode({"cacertfile": broker.authority.ca, "certfile": broker.client[0],
                                         "keyfile": broker.client[1], "verify": "verify_peer",
                                         "server_name_indication": "localhost"})
    world.user_service("--amqp-url", "amqps://guest:guest@localhost:%d/?%s" % (broker.tls_port, parameters)).wait_ready()


@BOTH
def test_the_wrong_port(name, world, broker):
    plain, tls, none = [world.service(name, "--amqp-url", "%s://guest:guest@localhost:%d/" % (scheme, port))
                        for scheme, port in (("amqp", broker.tls_port), ("amqps", broker.port), ("amqp", free_port()))]
    tls_to_none = world.service(name, "--amqp-url", "amqps://guest:guest@localhost:%d/" % free_port())
    why(plain, "the port speaks TLS: write amqps:// in the URL")
    why(tls, "the port speaks no TLS: write amqp:// in the URL")
    why(none, "Connection refused")
    why(tls_to_none, "Connection refused")
    nowhere = world.service(name, "--amqp-url", "amqp://guest:guest@nowhere.invalid/")
    why(nowhere, "look up the host: ")


@BOTH
@pytest.mark.parametrize("url, named", [
    ("", "amqp-url: "), ("amqp://u:hunter", "amqp-url: port: "), ("amqp://a/,,amqp://b", "URL 2 of 3: "),
    ("amqp://a/ , amqp://b/c/d", "URL 2 of 2: vhost: "), ("amqp://u:hun,ter@b/", "URL 2 of 2: scheme: "),
    ("amqp://u:1?x=hunter,y@b/", "URL 2 of 2: scheme: "),
    ("amqp://u:hunter%@h", "amqp-url: password: "), ("amqps://h?verify=verify_none", "parameter verify: "),
    ("amqp://h?retry_delay=5", "parameter retry_delay: "), ("amqp://h/v\nw", "vhost: "),
    ("amqps://h?cacertfile=/nonexistent", "cacertfile"), ("amqps://h?certfile=/nonexistent", "keyfile"),
    (",".join(17 * ["amqp://h"]), "more than 16"),
])
def test_a_refusal_names_the_part(name, url, named):
    valid, said = check("--amqp-url", url, name=name)
    assert not valid and named in said and len(said.splitlines()) == 1


@BOTH
def test_variables_without_the_blanks_around_them(name, tmp_path):
    prefix = name.upper().replace("-", "_")
    assert check(name=name, **{"AMQP_URL": " \n", prefix + "_HEARTBEAT": " 5s\r\n", prefix + "_QUEUE": "q\n"})[0]
    valid, said = check(name=name, **{prefix + "_AMQP_CA_FILE": " /nonexistent\n"})
    assert not valid and " /nonexistent cannot be used" in said
    valid, said = check("--queue", "q\n", name=name)
    assert not valid and "queue: " in said


def test_secrets_as_editors_leave_them(world, broker, tmp_path):
    name = "files%d" % broker.port
    broker.add_user(name, "hunter 2")
    password, tokens = tmp_path / "password", tmp_path / "tokens"
    password.write_bytes(b"\xef\xbb\xbfhunter 2 \t\r\n\r\n")
    tokens.write_bytes(b"\xef\xbb\xbfa-token-of-a-test \t\r\n  \r\n")
    url = "amqp://%s@127.0.0.1:%d/" % (name, broker.port)
    service = world.user_service("--amqp-url", url, "--amqp-password-file", str(password),
                                 "--auth-token-file", str(tokens))
    eventually(lambda: service.save(Authorization="Bearer a-token-of-a-test").status_code == 200, "it is confirmed")
    for bad, said in ((b"hunter\n2\n", "holds more than one"), ("hunter 2\n".encode("utf-16"), "UTF-16"),
                      (b"\xef\xbb\xbf \n", "one line of 1 to 1023 bytes")):
        password.write_bytes(bad)
        command = subprocess.run([binary("session-service"), "dead-letters", "list", "--amqp-url", url,
                                  "--amqp-password-file", str(password)], stdin=subprocess.DEVNULL, timeout=PATIENCE_S,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert command.returncode == 2 and said in command.stderr and "hunter" not in command.stderr
