"""Copies of impossible messages that the broker does not take: nothing is acknowledged, and they go when it takes them."""

import re

from support.wait import eventually

POLICY = '{"max-length":1,"overflow":"reject-publish"}'


def put_poison(world, *ids):
    for one in ids:
        world.publish(b"not json", message_id=one, delivery_mode=2)


def put_aside(service):
    return service.metric('session_service_dead_letters_total{reason="not-json"}')


def ready_after_one(world, *arguments):
    """One copy is there: the connection and the queue of the copies exist."""
    world.declare().connection.close()
    service = world.session_service(*arguments).wait_ready()
    put_poison(world, "m0")
    eventually(lambda: put_aside(service) == 1, "the first is put aside")
    return service


def refusals(service, why):
    return [e for e in service.events("dead_letters.refused") if e["error"] == why]


def test_their_queue_is_deleted(world):
    service = ready_after_one(world)
    world.delete(world.dead)
    put_poison(world, "m1")
    eventually(lambda: put_aside(service) == 2, "the queue is declared again, and has it")
    assert refusals(service, "the queue is missing")
    assert world.get(world.dead)[1].message_id == "m1"
    service.stop()
    assert world.is_empty()


def test_their_queue_is_full_and_holds_everything_up(world, broker):
    """With --prefetch 2 two of them are all that the service may have at once. A queue of RabbitMQ 3.10 goes on
    refusing a channel after the limit has gone: the copies need another one."""
    service = ready_after_one(world, "--prefetch", "2")
    broker.ctl("set_policy", world.dead, "^%s$" % re.escape(world.dead), POLICY, "--apply-to", "queues")
    try:
        # One more is taken before the channel knows that its limit is reached; then none.
        put_poison(world, "m1")
        eventually(lambda: put_aside(service) == 2, "the one more")
        put_poison(world, "m2", "m3")
        world.publish(b'{"id":"u1","name":"Ada"}', message_id="m4", delivery_mode=2)
        eventually(lambda: service.events("consumer.stalled"), "all that is in hand waits")
        eventually(lambda: refusals(service, "the broker refused the copy"), "it is refused")
        eventually(lambda: "refused" in service.get("/readyz").text, "/readyz says why")
        assert service.get("/readyz").status_code == 503
        assert service.metric("session_service_consuming") == 0
        assert "m4" not in service.handled_ids()
    finally:
        broker.ctl("clear_policy", world.dead)
    eventually(lambda: put_aside(service) == 4, "all copies are taken")
    eventually(lambda: "m4" in service.handled_ids(), "what was behind them is handled")
    eventually(service.is_ready, "it is ready again")
    assert len(service.events("consumer.resumed")) == len(service.events("consumer.stalled"))
    assert world.count(world.dead) == 4
    service.stop()
    assert world.is_empty()


def test_their_connection_is_closed(world, broker):
    service = ready_after_one(world)
    rows = broker.ctl("list_connections", "pid", "client_properties").splitlines()
    mine = [row.split("\t")[0] for row in rows if '"dead-letters"' in row]
    assert mine, rows
    for pid in mine:
        broker.ctl("close_connection", pid, "by the test")
    eventually(lambda: [e for e in service.events("broker.disconnected") if e["name"] == "dead-letters"], "it is told")
    assert service.is_ready()
    put_poison(world, "m1")
    eventually(lambda: put_aside(service) == 2, "over a new connection")
    service.stop()
    assert world.is_empty()
