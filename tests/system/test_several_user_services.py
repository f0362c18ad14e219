"""Two user-services behind haproxy, and the same key at both of them."""

import os
import re
import shutil
import signal
import subprocess
import threading

import pytest
import requests

from support import haproxy
from support.broker import free_port
from support.load import Load
from support.services import ROOT
from support.store import effects, inbox_ids
from support.wait import PATIENCE_S, eventually

ADA = {"name": "Ada"}
BOB = {"name": "Bob"}

needs_haproxy = pytest.mark.skipif(haproxy.PROGRAM is None, reason="SKIPPED: haproxy was NOT tested: it is not "
                                   "installed (scripts/install-dependencies.sh tools)")


def start_two(world, *options):
    world.users = [world.patient_user_service(*options).wait_ready() for _ in range(2)]
    world.session = world.session_service().wait_ready()
    return world

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="SKIPPED: nginx was NOT tested: it is not installed "
                                 "(scripts/install-dependencies.sh tools)")
NGINX_AROUND = """daemon off;
pid %(folder)s/pid;
error_log stderr;
events {}
http {
access_log off;
client_body_temp_path %(folder)s/body;
proxy_temp_path %(folder)s/proxy;
fastcgi_temp_path %(folder)s/fastcgi;
uwsgi_temp_path %(folder)s/uwsgi;
scgi_temp_path %(folder)s/scgi;
%(example)s
}
"""


@pytest.fixture
def pair(world):
    return start_two(world)


@pytest.fixture
def proxied(world):
    """As docs/scaling.md has them. At the end both are told at once, so that they wait for nobody."""
    start_two(world, "--drain-delay", "5s")
    world.proxy = haproxy.Haproxy(*world.users).start()
    world.closers.append(lambda: [user.signal(signal.SIGTERM) for user in world.users if user.process.poll() is None])
    world.closers.append(world.proxy.close)
    eventually(lambda: all(world.proxy.is_up(n) for n in (1, 2)), "haproxy has both")
    return world


class Nginx:
    """With the configuration of docs/scaling.md, but for the ports."""

    def __init__(self, folder, users):
        self.port = free_port()
        with open(os.path.join(ROOT, "docs", "scaling.md")) as file:
            example = re.search(r"```nginx\n(.*?)```", file.read(), re.DOTALL).group(1)
        for before, after in zip(("3000", "3010", "8080"), [user.port for user in users] + [self.port]):
            assert example.count("127.0.0.1:" + before) == 1
            example = example.replace("127.0.0.1:" + before, "127.0.0.1:%d" % after)
        (folder / "nginx.conf").write_text(NGINX_AROUND % {"folder": folder, "example": example})
        self.process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")])

    def answers(self):
        assert self.process.poll() is None, "nginx has ended"
        try:
            return requests.get("http://127.0.0.1:%d/healthz" % self.port, timeout=PATIENCE_S).status_code == 200
        except requests.ConnectionError:
            return False

    def close(self):
        self.process.terminate()
        self.process.wait(PATIENCE_S)


def at_once(*calls):
    """What they return, in their order."""
    barrier = threading.Barrier(len(calls))
    results = [None] * len(calls)

    def run(number):
        barrier.wait(PATIENCE_S)
        results[number] = calls[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    return results


def save_through(proxy, user, key):
    return requests.post("http://127.0.0.1:%d/users/save" % proxy.port, json=user, timeout=PATIENCE_S,
                         headers={"Idempotency-Key": key})


def assert_each_once(world, load):
    """Every user that was answered with success has one effect, and nothing else has any."""
    eventually(lambda: set(load.ok) <= inbox_ids(world.session.state.name), "each is stored")
    assert inbox_ids(world.session.state.name) == set(load.ok)
    assert effects(world.session.state.name) == len(load.ok) == len(set(load.ok))


@needs_haproxy
def test_a_rolling_restart_under_load_shows_no_error(proxied):
    load = Load(proxied.proxy.port, 16, 10 ** 6, "rolling", interval_s=0.002).start()
    try:
        eventually(lambda: len(load.ok) > 300, "some saves")
        for number, user in enumerate(proxied.users, 1):
            before = proxied.proxy.requests(number)
            assert before > 0, "haproxy sends it nothing"
            user.signal(signal.SIGTERM)
            eventually(lambda: not proxied.proxy.is_up(number), "haproxy has taken it out")
            assert user.process.poll() is None, "it ended before haproxy could know"
            assert user.process.wait(PATIENCE_S) == 0
            enough = len(load.ok) + 300
            eventually(lambda: len(load.ok) > enough, "saves at the other one")
            user.start()
            eventually(lambda: proxied.proxy.is_up(number), "haproxy has it back")
            again = proxied.proxy.requests(number)
            eventually(lambda: proxied.proxy.requests(number) > again, "it gets saves again")
    finally:
        load.stop()
        load.join()
    assert set(load.statuses) <= {200, 202, 503}, load.statuses
    # What is in an outbox is forwarded now: both run.
    assert_each_once(proxied, load)


@needs_haproxy
def test_one_that_is_gone_at_once_is_no_error_but_for_what_it_had(proxied):
    """No drain, no delay: what was not sent yet goes to the other one; what was sent is unknown, and said so."""
    load = Load(proxied.proxy.port, 16, 10 ** 6, "killed", interval_s=0.002).start()
    try:
        eventually(lambda: len(load.ok) > 300, "some saves")
        proxied.users[0].kill()
        eventually(lambda: not proxied.proxy.is_up(1), "haproxy has taken it out")
        enough = len(load.ok) + 300
        eventually(lambda: len(load.ok) > enough, "saves at the other one")
    finally:
        load.stop()
        load.join()
    # On a connection that has had a reply haproxy leaves the repetition to the client, and closes it without another one.
    assert set(load.statuses) <= {200, 202, 502, "RemoteDisconnected"}, load.statuses
    assert len(load.unknown) <= 16, "more than were under way: %s" % load.statuses
    proxied.users[0].start()
    # The client repeats what is unknown, with its key: it has one effect, wherever the first one got to.
    for key in load.unknown:
        assert save_through(proxied.proxy, {"name": "Ada " + key}, key).status_code in (200, 202)
    load.ok += load.unknown
    assert_each_once(proxied, load)


@needs_haproxy
def test_with_none_left_the_reply_is_a_503_that_may_be_repeated(proxied):
    for user in proxied.users:
        user.kill()
    reply = save_through(proxied.proxy, ADA, "none-left")
    assert reply.status_code == 503 and int(reply.headers["Retry-After"]) > 0
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json()["type"] == "/problems/unavailable" and reply.json()["reason"] == "no-instance"


@needs_haproxy
def test_a_key_finds_its_instance(proxied):
    """Through the proxy the loser is told, because both requests come to the same instance."""
    for number in range(8):
        key = "through-%d" % number
        replies = at_once(lambda: save_through(proxied.proxy, ADA, key), lambda: save_through(proxied.proxy, BOB, key))
        assert sorted(reply.status_code for reply in replies) == [200, 422]
    assert all(proxied.proxy.requests(n) > 0 for n in (1, 2)), "all keys at one instance"
    metrics = requests.get("http://127.0.0.1:%d/metrics" % proxied.proxy.port, timeout=PATIENCE_S)
    assert metrics.status_code == 404


@needs_nginx
def test_nginx_as_on_the_page(pair, tmp_path):
    proxy = Nginx(tmp_path, pair.users)
    pair.closers.append(proxy.close)
    eventually(proxy.answers, "nginx answers")
    for number in range(24):
        key = "nginx-%d" % number
        replies = at_once(lambda: save_through(proxy, ADA, key), lambda: save_through(proxy, BOB, key))
        assert sorted(reply.status_code for reply in replies) == [200, 422]
    saves = 'user_service_saves_total{outcome="confirmed"}'
    assert all(user.metric(saves) > 0 for user in pair.users), "all keys at one instance"
    assert requests.get("http://127.0.0.1:%d/metrics" % proxy.port, timeout=PATIENCE_S).status_code == 404
    pair.users[0].stop()
    for number in range(8):
        assert save_through(proxy, ADA, "nginx-left-%d" % number).status_code == 200


def test_the_same_key_at_both_at_once_takes_effect_once(pair):
    """The same request: both are told the truth, because its one effect is what both asked for."""
    for number in range(20):
        key = "both-%d" % number
        replies = at_once(*(lambda user=user: user.save(ADA, Idempotency_Key=key) for user in pair.users))
        assert [reply.status_code for reply in replies] == [200, 200]
        assert replies[0].json() == replies[1].json(), "both name the same user"
    duplicates = 'session_service_deliveries_total{outcome="duplicate"}'
    eventually(lambda: pair.session.metric(duplicates) == 20, "20 duplicates")
    assert len(inbox_ids(pair.session.state.name)) == effects(pair.session.state.name) == 20


def test_one_key_for_two_users_at_both_at_once_is_one_effect_and_one_dead_letter(pair):
    """Neither instance can know of the other: both answer with success, and the dead letter says which one lost."""
    for number in range(10):
        key = "two-%d" % number
        replies = at_once(lambda: pair.users[0].save(ADA, Idempotency_Key=key),
                          lambda: pair.users[1].save(BOB, Idempotency_Key=key))
        assert [reply.status_code for reply in replies] == [200, 200]
        # The one that asks again at the same instance gets its own reply again.
        assert pair.users[1].save(BOB, Idempotency_Key=key).json() == replies[1].json()
        method, properties, body = pair.get(pair.dead)
        assert properties.message_id == key and properties.headers["dead-letter-reason"] == "id-conflict"
    assert len(inbox_ids(pair.session.state.name)) == effects(pair.session.state.name) == 10


def test_ids_of_several_instances_are_unique(pair):
    replies = [user.save(ADA).json() for _ in range(50) for user in pair.users]
    assert len({reply["id"] for reply in replies}) == len({reply["data"]["id"] for reply in replies}) == 100
