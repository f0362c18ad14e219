"""An exchange that others give: --exchange, --routing-key and --bind."""

import subprocess

import pytest

from support.services import binary
from support.wait import eventually


@pytest.fixture
def exchange(world):
    """The name of an exchange; the test makes it."""
    name = "exchange-of-" + world.queue
    yield name
    with world.one_channel() as channel:
        channel.exchange_delete(name)


def make_exchange(world, name, kind="topic"):
    with world.one_channel() as channel:
        channel.exchange_declare(name, kind, durable=True)


def bind(world, exchange, key):
    with world.one_channel() as channel:
        channel.queue_bind(world.queue, exchange, key)


def detail_of(service):
    return service.get("/readyz").json().get("detail", "")


def has_queue(world):
    return world.queue in world.broker.ctl("list_queues", "name").split()


def test_saves_go_through_the_exchange(world, exchange):
    """Only the routing key says where to; the queue of the option is not touched."""
    make_exchange(world, exchange)
    options = ("--outbox", "off", "--exchange", exchange, "--routing-key", "users.saved")
    user = world.user_service(*options).wait_ready()
    assert not has_queue(world), "the queue is others'"
    reply = user.save({"name": "Ada"})
    assert (reply.status_code, reply.json()["reason"]) == (503, "unroutable")
    detail = eventually(lambda: detail_of(user), "it is shown")
    assert exchange in detail and "users.saved" in detail and "bound" in detail, detail
    assert user.save({"name": "Ada"}).status_code == 503
    assert len(user.events("exchange.unbound")) == 1 and not user.events("queue.missing")
    assert not has_queue(world)
    world.declare()
    bind(world, exchange, "users.*")
    assert user.save({"name": "Ada"}, Idempotency_Key="m1").status_code == 200
    eventually(user.is_ready, "the confirm has shown it")
    method, properties, _ = world.get()
    assert (properties.message_id, method.exchange, method.routing_key) == ("m1", exchange, "users.saved")


def test_without_a_key_it_is_the_name_of_the_queue(world, exchange):
    make_exchange(world, exchange, "direct")
    world.declare()
    bind(world, exchange, world.queue)
    user = world.user_service("--outbox", "off", "--exchange", exchange).wait_ready()
    assert user.save({"name": "Ada"}).status_code == 200
    assert world.get()[0].routing_key == world.queue


def test_an_empty_key(world, exchange):
    make_exchange(world, exchange, "fanout")
    world.declare()
    bind(world, exchange, "")
    user = world.user_service("--outbox", "off", "--exchange", exchange, "--routing-key", "").wait_ready()
    assert user.save({"name": "Ada"}).status_code == 200
    assert world.get()[0].routing_key == ""


def test_bound_on_request(world, exchange):
    """And again when the binding or the queue is gone."""
    make_exchange(world, exchange)
    user = world.user_service("--outbox", "off", "--confirm-timeout", "60s", "--exchange", exchange,
                              "--routing-key", "users", "--bind", "on").wait_ready()
    assert user.save({"name": "Ada"}).status_code == 200
    with world.one_channel() as channel:
        channel.queue_unbind(world.queue, exchange, "users")
    assert user.save({"name": "Ada"}).json()["reason"] == "unroutable"
    eventually(lambda: user.save({"name": "Ada"}).status_code == 200, "it is bound again")
    world.delete()
    eventually(lambda: user.save({"name": "Ada"}).status_code == 200, "it is declared and bound again")
    session = world.session_service().wait_ready()
    user.save({"name": "Ada"}, Idempotency_Key="m1")
    eventually(lambda: "m1" in session.handled_ids(), "it is handled")


def test_a_missing_exchange_is_told(world, exchange):
    user = world.user_service("--outbox", "off", "--exchange", exchange)
    eventually(lambda: "exchange '%s' does not exist" % exchange in detail_of(user), "it is told")
    user.stays_unready()
    make_exchange(world, exchange)
    user.wait_ready()
    with world.one_channel() as channel:
        channel.exchange_delete(exchange)
    assert user.save({"name": "Ada"}).status_code in (503, 504)
    eventually(lambda: exchange in detail_of(user), "it is told")
    user.stays_unready()


@pytest.mark.parametrize("kind", ["topic", "fanout", "direct", "headers"])
@pytest.mark.parametrize("read", ["^$", ".*"])
def test_the_right_to_publish_there(world, exchange, kind, read):
    """Known before anybody saves, and by nothing that a queue would get."""
    make_exchange(world, exchange, kind)
    world.declare()
    bind(world, exchange, "#" if kind == "topic" else world.queue)
    who = "user-of-" + world.queue
    world.broker.add_user(who, "secret", configure="^$", write="^amq[.]default$", read=read)
    user = world.user_service("--outbox", "off", "--exchange", exchange,
                              "--amqp-url", world.broker.url(user=who, password="secret"))
    right = "user '%s' lacks the right to write to exchange '%s'" % (who, exchange)
    eventually(lambda: right in detail_of(user), "it is told")
    user.stays_unready(attempts=1)
    assert user.events("broker.connecting_failed")[0]["retry_ms"] == 1000, "then it becomes longer"
    assert user.save({"name": "Ada"}).status_code == 503
    world.broker.set_rights(who, configure="^$", write="^%s$" % exchange, read=read)
    user.wait_ready()
    assert user.save({"name": "Ada"}).status_code == 200
    eventually(lambda: world.count() == 1, "only what was saved is there")


def test_the_right_to_a_topic(world, exchange):
    """Which only a save can show: then it is told, and stays so."""
    make_exchange(world, exchange)
    who = "user-of-" + world.queue
    world.broker.add_user(who, "secret")
    world.broker.ctl("set_topic_permissions", who, exchange, "^other$", ".*")
    user = world.user_service("--outbox", "off", "--exchange", exchange, "--routing-key", "users",
                              "--amqp-url", world.broker.url(user=who, password="secret")).wait_ready()
    assert user.save({"name": "Ada"}).status_code in (503, 504)
    eventually(lambda: "write to topic 'users' in exchange '%s'" % exchange in detail_of(user), "it is told")
    user.stays_unready_for(4)


def test_the_right_to_bind(world, exchange):
    make_exchange(world, exchange)
    world.declare()
    who = "user-of-" + world.queue
    world.broker.add_user(who, "secret", configure="^$", write="^%s$" % exchange, read="^$")
    user = world.user_service("--outbox", "off", "--exchange", exchange, "--bind", "on",
                              "--amqp-url", world.broker.url(user=who, password="secret"))
    eventually(lambda: "lacks the right to write to queue '%s'" % world.queue in detail_of(user), "it is told")
    world.broker.set_rights(who, configure="^$", write="^(%s|%s)$" % (exchange, world.queue), read="^$")
    eventually(lambda: "lacks the right to read from exchange '%s'" % exchange in detail_of(user), "it is told")
    world.broker.set_rights(who, configure="^$", write="^(%s|%s)$" % (exchange, world.queue), read="^%s$" % exchange)
    user.wait_ready()
    assert user.save({"name": "Ada"}).status_code == 200


@pytest.mark.parametrize("arguments, part", [
    (["--routing-key", "k"], "routing-key: is of use only with --exchange"),
    (["--bind", "on"], "bind: is of use only with --exchange"),
    (["--exchange", "", "--bind", "on"], "bind: is of use only with --exchange"),
    (["--exchange", "x" * 256], "exchange: "), (["--exchange", "x\n"], "exchange: "),
    (["--exchange", "x", "--routing-key", "k" * 256], "routing-key: "),
    (["--exchange", "amq.default"], "exchange: "),
])
def test_what_is_refused_at_the_start(arguments, part):
    result = subprocess.run([binary("user-service"), *arguments, "--check-config"], env={}, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert result.returncode == 2 and part in result.stdout, result.stdout


def test_the_default_exchange_may_be_named_by_nothing(world):
    user = world.user_service("--outbox", "off", "--exchange", "").wait_ready()
    assert user.save({"name": "Ada"}).status_code == 200
    assert world.get()[0].exchange == ""
