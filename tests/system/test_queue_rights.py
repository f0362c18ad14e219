"""Queues and rights as an operator has made them: with other arguments, without the right to configure."""

import functools
import json
import os
import re
import shlex

import pika
import pytest

from support.services import ROOT
from support.wait import eventually

TTL = {"x-queue-type": "quorum", "x-message-ttl": 600000}
ONE_CONSUMER = {"x-queue-type": "quorum", "x-single-active-consumer": True}
DEAD_LETTERS = {"x-queue-type": "quorum", "x-dead-letter-exchange": "elsewhere"}
PRIORITIES = {"x-max-priority": 5}  # a classic queue's


def make_queue(world, arguments, queue=None):
    with world.one_channel() as channel:
        channel.queue_declare(queue or world.queue, durable=True, arguments=arguments)


def user_of(world, **rights):
    """The URL of a new user who has only these rights."""
    name = "user-of-" + world.queue
    world.broker.add_user(name, "secret", **rights)
    return name, ("--amqp-url", world.broker.url(user=name, password="secret"))


def detail_of(service):
    return service.get("/readyz").json().get("detail", "")


def unready_detail(service, *parts):
    """Waits until /readyz names all of them."""

    def found():
        reply = service.get("/readyz")
        return reply.status_code == 503 and all(one in reply.json()["detail"] for one in parts)

    eventually(found, "unready because of " + ", ".join(parts))
    return detail_of(service)


def handles(user, session, key):
    assert user.save({"name": "Ada"}, Idempotency_Key=key).status_code == 200
    eventually(lambda: key in session.handled_ids(), "it is handled")


@pytest.mark.parametrize("declare", ["auto", "never"])
@pytest.mark.parametrize("arguments, argument, value", [
    (TTL, "x-message-ttl", "600000"), (ONE_CONSUMER, "x-single-active-consumer", "true"),
    (DEAD_LETTERS, "x-dead-letter-exchange", "elsewhere"), (PRIORITIES, "x-max-priority", "5")])
def test_a_queue_with_other_arguments_is_used_as_it_is(world, declare, arguments, argument, value):
    make_queue(world, arguments)
    make_queue(world, arguments, world.dead)
    options = () if declare == "auto" else ("--declare", "never")
    user = world.patient_user_service("--outbox", "off", *options).wait_ready()
    session = world.session_service(*options).wait_ready()
    handles(user, session, "m1")
    world.publish(b"not json", message_id="poison", delivery_mode=2)
    # A quorum queue for one consumer at a time takes no basic.get.
    eventually(lambda: world.count(world.dead) == 1, "its copy is there")
    for service, count in ((user, 1), (session, 2)):
        told = service.events("queue.other_arguments")
        assert len(told) == (count if declare == "auto" else 0), told
        for one in told:
            assert argument in one["difference"] and value in one["difference"]
    make_queue(world, arguments)  # nobody has changed it


QUORUM, CLASSIC = {"x-queue-type": "quorum"}, {}
REFUSES = {"x-overflow": "reject-publish"}


@pytest.mark.parametrize("arguments, named", [
    (dict(QUORUM, **{"x-message-ttl": 600000}), ["x-message-ttl 600000"]),
    (dict(QUORUM, **{"x-expires": 600000}), ["x-expires 600000"]),
    (dict(QUORUM, **{"x-max-length": 1000}), ["x-max-length 1000"]),
    (dict(QUORUM, **{"x-max-length": 1000, "x-overflow": "drop-head"}), ["x-max-length 1000"]),
    (dict(QUORUM, **{"x-max-length-bytes": 100000}), ["x-max-length-bytes 100000"]),
    (dict(QUORUM, **{"x-delivery-limit": 5}), ["x-delivery-limit 5"]),
    # Behind arguments that the broker names first.
    (dict(QUORUM, **{"x-single-active-consumer": True, "x-dead-letter-exchange": "e", "x-message-ttl": 600000}),
     ["x-message-ttl 600000"]),
    (dict(CLASSIC, **{"x-expires": 600000, "x-message-ttl": 600000, "x-max-priority": 5, "x-max-length": 1000}),
     ["x-expires 600000", "x-message-ttl 600000", "x-max-length 1000"]),
    # These discard nothing.
    (dict(QUORUM, **{"x-max-length": 1000, "x-max-length-bytes": 100000}, **REFUSES), []),
    (dict(CLASSIC, **{"x-max-length": 1000, "x-max-priority": 5}, **REFUSES), []),
    (dict(QUORUM, **{"x-single-active-consumer": True, "x-delivery-limit": 50}), []),
    (QUORUM, []), (CLASSIC, [])])
def test_a_queue_that_discards_what_was_confirmed_is_told(world, arguments, named):
    """In the log and in /readyz, which stays 200: the service works, and nobody but an operator can mend it."""
    make_queue(world, arguments)
    kind = ("--queue-type", "quorum" if "x-queue-type" in arguments else "classic")
    user = world.patient_user_service(*kind).wait_ready()
    session = world.session_service(*kind).wait_ready()
    for service in (user, session):
        told = service.events("queue.discards")
        shown = service.get("/readyz").json()
        assert len(told) == (1 if named else 0), told
        assert shown["status"] == "ready" and ("warning" in shown) == bool(named)
        for text in [told[0]["discards"], shown["warning"]] if named else []:
            assert [one for one in named if one in text] == named
            assert len(text.split("; ")) == len(named), text
        if named:
            assert told[0]["queue"] == world.queue and world.queue in shown["warning"]
    handles(user, session, "m1")
    make_queue(world, arguments)  # nobody has changed it


def test_the_warning_is_for_those_who_show_a_token(world, tmp_path):
    make_queue(world, TTL)
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-an-example\n")
    user = world.patient_user_service("--auth-token-file", str(tokens)).wait_ready()
    assert user.get("/readyz").json() == {"status": "ready"}


def test_a_queue_that_discards_is_told_until_it_is_another(world):
    make_queue(world, TTL)
    user = world.patient_user_service().wait_ready()
    assert "x-message-ttl" in user.get("/readyz").json()["warning"]
    world.delete()
    world.broker.close_connections_of("guest")
    eventually(lambda: len(user.events("broker.connected")) > 1 and user.is_ready(), "it is connected again")
    assert user.get("/readyz").json() == {"status": "ready"}
    with world.one_channel() as channel:
        channel.queue_declare(world.queue, durable=True, arguments=QUORUM)


def test_the_queue_of_dead_letters_discards(world):
    make_queue(world, TTL, world.dead)
    session = world.session_service().wait_ready()
    world.publish(b"not json", message_id="poison", delivery_mode=2)
    eventually(lambda: world.count(world.dead) == 1, "its copy is there")
    assert [e["queue"] for e in session.events("queue.discards")] == [world.dead]
    warning = session.get("/readyz").json()["warning"]
    assert world.dead in warning and "x-message-ttl" in warning


def test_a_queue_that_would_lose_messages_is_not_used(world):
    """One that ends with the broker, or with its last consumer, is not what was asked for, whatever else it is."""
    with world.one_channel() as channel:
        channel.queue_declare(world.queue, durable=False)
    user = world.user_service("--outbox", "off", "--queue-type", "classic")
    detail = unready_detail(user, world.queue, "durable", "false", "true")
    assert "move it away" in detail, detail
    world.delete()
    with world.one_channel() as channel:
        channel.queue_declare(world.queue, durable=True, auto_delete=True)
    unready_detail(user, world.queue, "auto_delete")


@pytest.mark.parametrize("name, options", [("user-service", ("--outbox", "off")), ("session-service", ())])
def test_without_the_right_to_configure(world, name, options):
    """It works on what is there, and says what is not."""
    who, url = user_of(world, configure="^$")
    service = world.service(name, *options, *url)
    unready_detail(service, "'%s'" % world.queue, "does not exist", "'%s'" % who, "configure")
    world.declare()
    service.wait_ready()
    assert [e["queue"] for e in service.events("queue.not_declared")] == [world.queue]
    if name == "user-service":
        assert service.save({"name": "Ada"}).status_code == 200
        return
    world.declare(world.dead)
    world.publish('{"name":"Ada"}', message_id="m1", delivery_mode=2)
    world.publish(b"not json", message_id="poison", delivery_mode=2)
    eventually(lambda: "m1" in service.handled_ids(), "it is handled")
    assert world.get(world.dead)[1].message_id == "poison"


@pytest.mark.parametrize("name, options", [("user-service", ("--outbox", "off")), ("session-service", ())])
def test_never_declares_nothing(world, name, options):
    service = world.service(name, "--declare", "never", *options)
    unready_detail(service, "'%s'" % world.queue, "does not exist", "--declare never")
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        world.count()
    world.declare()
    service.wait_ready()
    world.delete()
    if name == "user-service":
        # The first finds out.
        assert service.save({"name": "Ada"}).status_code in (503, 504)
    unready_detail(service, "'%s'" % world.queue, "does not exist", "--declare never")
    make_queue(world, TTL)
    if name == "user-service":
        # Without a save it takes REFUSAL_QUIET_MS.
        eventually(lambda: service.save({"name": "Ada"}).status_code == 200, "a save is confirmed")
    service.wait_ready()
    make_queue(world, TTL)


def test_never_declares_no_queue_for_dead_letters(world):
    world.declare()
    session = world.session_service("--declare", "never").wait_ready()
    world.publish(b"not json", message_id="poison", delivery_mode=2)
    failed = eventually(lambda: session.events("broker.connecting_failed"), "it is told")
    assert "'%s' does not exist" % world.dead in failed[0]["error"]
    world.declare(world.dead)
    assert world.get(world.dead)[1].message_id == "poison"


def test_another_type_is_told_with_both(world):
    """A queue that has no argument for its type is a classic one."""
    make_queue(world, None)
    user = world.user_service("--outbox", "off")
    detail = unready_detail(user, world.queue, "x-queue-type", "--queue-type")
    assert "is classic" in detail and "not quorum" in detail and "--declare never" in detail, detail
    world.delete()
    make_queue(world, {"x-queue-type": "quorum"})
    other = world.user_service("--outbox", "off", "--queue-type", "classic")
    detail = unready_detail(other, world.queue, "x-queue-type", "--queue-type")
    assert "is quorum" in detail and "not classic" in detail, detail
    meant = world.user_service("--outbox", "off", "--queue-type", "classic", "--declare", "never").wait_ready()
    assert meant.save({"name": "Ada"}).status_code == 200


@pytest.mark.parametrize("outbox", ["on", "off"])
def test_not_ready_without_the_right_to_publish(world, outbox):
    """Before anybody saves, and whatever comes: a connection alone says nothing."""
    world.declare()
    who, url = user_of(world, write="^$")
    user = world.user_service("--outbox", outbox, *url)
    right = "user '%s' lacks the right to write to exchange 'amq.default'" % who
    eventually(lambda: right in detail_of(user), "the missing right is named")
    user.stays_unready(attempts=1)
    for _ in range(3):
        assert user.save({"name": "Ada"}).status_code == (202 if outbox == "on" else 503)
    user.stays_unready(attempts=1)
    assert right in detail_of(user)
    world.broker.set_rights(who)
    user.wait_ready()
    assert user.save({"name": "Ada"}).status_code == 200
    # What has shown that is no message of anybody.
    eventually(lambda: world.count() == (4 if outbox == "on" else 1), "only what was saved is there")


def test_the_right_to_publish_is_taken_away(world):
    """A channel remembers rights for a while, so the connection is lost too."""
    world.declare()
    who, url = user_of(world)
    user = world.user_service("--outbox", "off", *url).wait_ready()
    world.broker.set_rights(who, write="^$")
    world.broker.close_connections_of(who)
    unready_detail(user, "lacks the right to write to exchange 'amq.default'")
    user.stays_unready()


def test_not_ready_while_the_queue_refuses(world):
    """Nor after the connection on which it has refused was given up for another one."""
    world.broker.limit_queue(world.queue)
    world.declare(queue_type="classic")
    user = world.user_service("--outbox", "off", "--queue-type", "classic").wait_ready()
    try:
        while (user.save({"name": "Ada"})).status_code == 200:
            pass
        eventually(lambda: user.save({"name": "Ada"}).status_code == 503 and user.events("broker.disconnected"),
                   "it has refused for a second")
        unready_detail(user, "refused")
        user.stays_unready_for(8)
        assert user.save({"name": "Ada"}).status_code == 503
        user.stays_unready_for(8)
    finally:
        world.broker.lift_limit(world.queue)
    world.purge()
    eventually(lambda: user.save({"name": "Ada"}).status_code == 200, "it takes saves")
    eventually(user.is_ready, "the confirm has shown it")


def test_copies_need_the_right_to_publish(world):
    world.declare()
    who, url = user_of(world, write="^$")
    session = world.session_service(*url, "--prefetch", "1").wait_ready()
    world.publish(b"not json", message_id="poison", delivery_mode=2)
    detail = unready_detail(session, "not consuming", "'%s'" % who, "write to exchange 'amq.default'")
    for _ in range(100):
        assert detail_of(session) == detail
    world.broker.set_rights(who)
    session.wait_ready()
    assert world.get(world.dead)[1].message_id == "poison"


@pytest.mark.parametrize("alarm_first", [True, False])
def test_an_alarm_is_told_as_one(world, alarm_first):
    """What shows the right to publish is not confirmed in an alarm, and then it is that what is told."""
    world.declare()
    user = None if alarm_first else world.user_service("--outbox", "off").wait_ready()
    world.broker.alarm()
    try:
        if alarm_first:
            user = world.user_service("--outbox", "off", "--confirm-timeout", "1s")
        else:
            world.broker.close_connections_of("guest")
        unready_detail(user, "blocked publishing")
        user.stays_unready_for(3)
        assert user.metric("user_service_broker_connected") == 1
    finally:
        world.broker.calm()
    user.wait_ready()
    for _ in range(5):
        assert user.save({"name": "Ada"}).status_code == 200
    assert not user.events("queue.missing")


def policies_of_the_page():
    with open(os.path.join(ROOT, "docs", "operations.md")) as file:
        commands = [shlex.split(line) for line in file if line.strip().startswith("rabbitmqctl set_policy")]
    assert len(commands) == 2, commands
    return [command[1:] for command in commands]


@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
def test_the_policies_of_the_page_discard_nothing(world, queue_type):
    """As docs/operations.md has them, for this test's queues and with room for one message."""
    for *command, pattern, definition in policies_of_the_page():
        assert re.search(pattern, "session") or re.search(pattern, "session.dead"), pattern
        definition = dict(json.loads(definition), **{"max-length": 1})
        name = "policy-of-" + command[-1] + world.queue
        world.broker.ctl(*command[:-1], name, pattern.replace("session", world.queue), json.dumps(definition))
        world.closers.append(functools.partial(world.broker.ctl, "clear_policy", name))
    for queue in (world.queue, world.dead):
        world.declare(queue, queue_type)
        shown = world.broker.ctl("list_queues", "name", "policy")
        line = next(line for line in shown.splitlines() if line.split("\t")[0] == queue)
        assert "policy-of-" in line, line
        confirmed = []
        with pytest.raises(pika.exceptions.NackError):
            for number in map(str, range(100)):
                world.publish(b"{}", queue, message_id=number, delivery_mode=2)
                confirmed.append(number)
        assert confirmed == [world.get(queue)[1].message_id for _ in confirmed], "what was confirmed is there"
