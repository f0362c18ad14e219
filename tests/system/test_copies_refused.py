"""Copies of impossible messages that the broker does not take: nothing is acknowledged, and they go when it takes them."""

from support.proxy import Proxy, end
from support.wait import eventually

REFUSED = "the broker refused the copy"


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
    broker.limit_queue(world.dead)
    ids = ["m0"]
    try:
        # Some are taken before the channel knows that its limit is reached; then none.
        while not refusals(service, REFUSED):
            ids.append("m%d" % len(ids))
            put_poison(world, ids[-1])
            eventually(lambda: put_aside(service) == len(ids) or refusals(service, REFUSED), "taken or refused")
        ids.append("m%d" % len(ids))
        put_poison(world, ids[-1])
        world.publish(b'{"id":"u1","name":"Ada"}', message_id="u1", delivery_mode=2)
        eventually(lambda: service.events("consumer.stalled"), "all that is in hand waits")
        eventually(lambda: "refused" in service.get("/readyz").text, "/readyz says why")
        assert service.get("/readyz").status_code == 503
        assert service.metric("session_service_consuming") == 0
        assert "u1" not in service.handled_ids()
    finally:
        broker.lift_limit(world.dead)
    eventually(lambda: put_aside(service) == len(ids), "all copies are taken")
    eventually(lambda: "u1" in service.handled_ids(), "what was behind them is handled")
    eventually(service.is_ready, "it is ready again")
    assert len(service.events("consumer.resumed")) == len(service.events("consumer.stalled"))
    # One may be there twice, whose confirm was lost with a connection.
    there = {world.get(world.dead)[1].message_id for _ in range(world.count(world.dead))}
    assert there == set(ids)
    service.stop()
    assert world.is_empty()


def test_their_connection_is_closed(world, broker):
    proxy = Proxy(broker.port)
    world.closers.append(proxy.close)
    service = ready_after_one(world, "--amqp-url", "amqp://guest:guest@127.0.0.1:%d/" % proxy.port)
    for one in proxy.pairs[-1]:  # it is made when there is something to put aside
        end(one)
    lost = eventually(lambda: service.events("broker.disconnected"), "it is told")
    assert [e["name"] for e in lost] == ["dead-letters"]
    assert service.is_ready()
    put_poison(world, "m1")
    eventually(lambda: put_aside(service) == 2, "over a new connection")
    service.stop()
    assert world.is_empty()


def test_a_confirm_never_comes(world, broker):
    """A queue without a majority confirms nothing, while the broker's heartbeats go on. All that is in hand waits for
    it; the copy goes over another connection."""
    proxy = Proxy(broker.port)
    world.closers.append(proxy.close)
    service = ready_after_one(world, "--amqp-url", "amqp://guest:guest@127.0.0.1:%d/" % proxy.port,
                              "--heartbeat", "60s", "--prefetch", "1")
    world.all_acked()  # else m1 may stay behind m0
    proxy.swallowing = True
    put_poison(world, "m1")
    lost = eventually(lambda: service.events("broker.disconnected"), "the connection is given up")
    assert [e["name"] for e in lost] == ["dead-letters"]
    assert lost[0]["error"] == "the broker has not confirmed a message for 10 s"
    eventually(lambda: lost[0]["error"] in service.get("/readyz").text, "/readyz says why")
    proxy.swallowing = False
    eventually(lambda: put_aside(service) == 2, "over a new connection")
    eventually(service.is_ready, "it is ready again")
    service.stop()
    assert world.is_empty()
