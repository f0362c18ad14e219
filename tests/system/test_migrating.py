"""docs/migrating.md: what the services reply to the demo's clients, as they are and with --compat demo, and that they
take what the demo's other half does. tests/bench/test_demo_peer.py runs the demo itself beside them."""

import json

import pytest
import requests

from support.demo_requests import NOTHING, OTHER, REQUESTS, SAME, WITH_ID
from support.wait import PATIENCE_S, eventually


def send(service, one):
    return requests.request(one.method, service.base + one.path, headers=one.headers, data=one.body, timeout=PATIENCE_S)


def told(reply):
    """As the table has it."""
    kind = reply.json().get("type", "")
    return "%d %s" % (reply.status_code, kind[len("/problems/"):]) if kind else str(reply.status_code)


def relation(ours, demo):
    """What the message is beside the demo's."""
    if ours == demo:
        return SAME
    return WITH_ID if {name: value for name, value in ours.items() if name != "id"} == demo else OTHER


@pytest.fixture(scope="module")
def plain(shared_world):
    return shared_world.patient_user_service().wait_ready()


@pytest.mark.parametrize("one", REQUESTS, ids=[one.what for one in REQUESTS])
def test_a_request_as_the_service_is(shared_world, plain, one):
    reply = send(plain, one)
    assert told(reply) == one.plain, reply.text
    if one.method == "POST" and reply.status_code == 200:
        shared_world.get()


@pytest.fixture(scope="module")
def compat_world(broker):
    from conftest import World
    world = World(broker)
    try:
        yield world
    finally:
        world.close()


@pytest.fixture(scope="module")
def compat(compat_world):
    return compat_world.patient_user_service("--compat", "demo").wait_ready()


@pytest.mark.parametrize("one", REQUESTS, ids=[one.what for one in REQUESTS])
def test_a_request_with_compat_demo(compat_world, compat, one):
    reply = send(compat, one)
    assert told(reply) == one.compat, reply.text
    if one.message == NOTHING:
        assert one.method == "GET" or compat_world.count() == 0
        return
    message = json.loads(compat_world.get()[2])
    assert reply.json()["success"] is True and reply.json()["data"] == message
    if one.demo_message is not None:
        assert relation(message, one.demo_message) == one.message


def test_a_difference_that_no_option_relaxes_says_why():
    for one in REQUESTS:
        if one.plain != one.compat:
            assert one.note.startswith("`--"), one.what
        elif one.compat.split()[0] != one.demo or (one.demo_message is not None and one.message != SAME):
            assert one.note, one.what


def test_the_demos_publisher_and_queue(world):
    """assertQueue('session') and sendToQueue of amqplib; then the demo's consumer on what we publish."""
    channel = world.declare(queue_type="classic")
    session = world.session_service("--compat", "demo").wait_ready()
    user = world.patient_user_service("--compat", "demo").wait_ready()
    channel.basic_publish("", world.queue, json.dumps({"anything": "goes"}).encode())
    reply = user.save({"age": 36, "password": "x"})
    assert reply.status_code == 200
    # With an id of the message, and no known member beside the id that it was given.
    eventually(lambda: sorted(e["outcome"] for e in session.events("user.saved")) == ["bare", "handled"], "both are handled")
    assert session.events("user.dead_lettered") == []
    session.stop()
    strict = world.session_service("--compat", "demo", "--user-check", "strict").wait_ready()
    world.publish('{"age":36}', message_id="m1", type="user.saved")
    eventually(lambda: [e["reason"] for e in strict.events("user.dead_lettered")] == ["invalid-user"], "what is given wins")


def test_what_is_given_wins_wherever_it_is(world, tmp_path):
    conf = tmp_path / "conf"
    conf.write_text("compat = demo\nrefused-members = pin\n")
    world.declare(queue_type="classic").connection.close()
    user = world.patient_user_service("--config", str(conf), environment={"USER_SERVICE_MAX_BODY_BYTES": "1KiB",
                                                                          "AMQP_URL": world.url}).wait_ready()
    started = user.started()
    assert started["compat"] == "user-check = relaxed; refused-members = pin; queue-type = classic; max-body-bytes = 1KiB"
    assert started["queue_type"] == "classic"
    assert user.save({"pin": 1}).status_code == 422 and user.save({"password": 1}).status_code == 200
    assert user.save({"x": "y" * 2000}).status_code == 413
    other = world.user_service()
    assert "compat" not in other.started()


def test_a_letter_is_judged_as_the_service_would(world):
    """The command reads the service's own file."""
    from test_dead_letters import command, dead, put, wait_both
    put(world, [dead(1, "invalid-user", body='{"age":36}')])
    assert command(world, "redrive", "--all", "--dry-run", check=3)[0].splitlines()[0].startswith("m1: left")
    assert command(world, "redrive", "--all", "--dry-run", "--compat", "demo", "--user-check=strict",
                   check=3)[0].splitlines()[0].startswith("m1: left")
    assert command(world, "redrive", "--all", "--compat", "demo")[0].startswith("1 sent back")
    wait_both(world, (1, 0))
