"""docker-compose.scale.yml, and the walk of docs/scaling.md: save, kill any one container, save, look."""

import faulthandler
import json
import os

import pytest
import requests

from support.compose import Compose, run
from support.wait import wait_until

FILES = ("docker-compose.scale.yml", "tests/machines/docker/quick.scale.yml")
SESSIONS = {"session-service-1": 3001, "session-service-2": 3002}
STORES = ("postgresql", "postgresql-standby")
PARTS = ("user-service-1", "user-service-2", *SESSIONS, *STORES, "rabbitmq", "rabbitmq-2", "rabbitmq-3", "haproxy",
         "prometheus")
WALK_SECONDS = 240
UP_SECONDS = 2400


def get(port, path):
    """None where there is nobody to answer."""
    try:
        return requests.get("http://127.0.0.1:%d%s" % (port, path), timeout=15)
    except requests.RequestException:
        return None


def save(key):
    """As a client who repeats with his key what is refused or has an unknown outcome; the user's id."""

    def attempt():
        try:
            reply = requests.post("http://127.0.0.1:3000/users/save", json={"name": "Ada " + key}, timeout=30,
                                  headers={"Idempotency-Key": key})
        except requests.RequestException:
            return None
        assert reply.status_code in (200, 202, 502, 503, 504), reply.text
        return reply.json()["data"]["id"] if reply.status_code in (200, 202) else None

    return wait_until(attempt, WALK_SECONDS, key + " is saved")


def look(user, ports):
    for port in ports:
        wait_until(lambda: (found := get(port, "/users/" + user)) is not None and found.status_code == 200,
                   WALK_SECONDS, "%s is seen at %d" % (user, port))


def is_whole(compose, part):
    """Also a broker that is back is one of the three again: two that are away would stop the third."""
    health = compose.inspect(part)["State"].get("Health")
    return health is None or health["Status"] == "healthy"


def is_ready(port):
    reply = get(port, "/readyz")
    return reply is not None and reply.status_code == 200 and reply.json()["status"] == "ready"


@pytest.fixture(scope="module")
def scale():
    """Instead of what the tests before have left up."""
    faulthandler.dump_traceback_later(UP_SECONDS, exit=True)
    one = Compose("docker-compose.yml", "docker-compose.cluster.yml")
    one("down", "--volumes", "--remove-orphans", seconds=180)
    compose = Compose(*FILES)
    compose("build", "session-service-1", seconds=900)
    name = "reference=%s?session-service-1" % os.environ["COMPOSE_PROJECT_NAME"]
    image = run("docker", "images", "--quiet", "--filter", name).strip()
    options = run("docker", "run", "--rm", image, "--help")
    for option in ("--store ", "--shards "):
        if option not in options:
            pytest.skip("SKIPPED: docker-compose.scale.yml was NOT tested: the session-service has no " + option)
    compose("up", "--detach", "--build", seconds=900)
    for port in SESSIONS.values():
        wait_until(lambda: is_ready(port), WALK_SECONDS, "the session-service at %d is ready" % port)
    save("first")
    return compose


def effects(compose, key):
    """How often a message took effect, as the session-services say."""
    return [e["outcome"] for service in SESSIONS for e in compose.events(service)
            if e["event"] == "user.saved" and e.get("message_id") == key].count("handled")


@pytest.mark.parametrize("part", PARTS)
def test_any_one_container_may_be_killed(scale, part):
    faulthandler.dump_traceback_later(UP_SECONDS, exit=True)
    before = save("before-" + part)
    look(before, SESSIONS.values())
    run("docker", "kill", scale.container(part))
    try:
        if part != "haproxy":
            after = save("after-" + part)
            if part not in STORES:
                look(after, [port for name, port in SESSIONS.items() if name != part])
    finally:
        scale("start", part, seconds=180)
    if part == "haproxy":
        after = save("after-" + part)
    for user in (before, after):
        look(user, SESSIONS.values())
    for key in ("before-" + part, "after-" + part):
        # A line of an effect is lost where its service is killed between the commit and the line.
        assert effects(scale, key) <= 1, key
    wait_until(lambda: is_whole(scale, part), WALK_SECONDS, part + " is back")
    for port in SESSIONS.values():
        wait_until(lambda: is_ready(port), WALK_SECONDS, "the session-service at %d is ready" % port)


def test_prometheus_sees_every_part(scale):
    def all_up():
        reply = get(9090, "/api/v1/query?query=up")
        values = [one["value"][1] for one in reply.json()["data"]["result"]] if reply is not None else []
        return values == ["1"] * 7

    wait_until(all_up, WALK_SECONDS, "7 targets are up")


def test_nothing_secret_is_in_an_argument_or_an_environment(scale):
    secrets = [scale.execute(service, "cat", file) for service, file in (
        ("session-service-1", "/run/store-credentials/store-password"),
        ("session-service-1", "/run/credentials/amqp-password"), ("user-service-1", "/run/credentials/amqp-password"),
        ("postgresql", "/credentials/replication/password"))]
    assert len(set(secrets)) == 4 and all(len(secret) == 48 for secret in secrets)
    for part in PARTS:
        seen = json.dumps(scale.inspect(part)) + run("docker", "top", scale.container(part), "-eo", "pid,args")
        assert not any(secret in seen + scale.log_text(part) for secret in secrets), part
