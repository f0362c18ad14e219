"""The old Node.js pair's side of the wire, as amqplib does it: assertQueue('session') is a durable
queue without arguments, sendToQueue a publish with no properties, consume a plain consumer."""

import json

from support.wait import wait_until


def test_its_publisher_is_understood(world):
    channel = world.declare(queue_type="classic")
    channel.basic_publish("", world.queue, json.dumps({"name": "Ada", "age": 36}).encode())
    session = world.session_service("--queue-type", "classic").wait_ready()
    wait_until(lambda: session.events("user.saved"), 10, "it is handled")
    assert session.events("user.saved")[0]["outcome"] == "bare"
    session.stop()
    assert world.count() == 0


def test_its_consumer_understands_ours(world):
    user = world.user_service("--queue-type", "classic").wait_ready()
    channel = world.declare(queue_type="classic")
    got = []

    def on_message(one_channel, method, properties, body):
        got.append(json.loads(body))
        one_channel.basic_ack(method.delivery_tag)

    channel.basic_consume(world.queue, on_message)
    reply = user.save({"name": "Ada", "age": 36})
    assert reply.status_code == 200
    wait_until(lambda: channel.connection.process_data_events(0.1) or got, 10, "it is consumed")
    assert got == [reply.json()["data"]]
    assert got[0]["name"] == "Ada" and got[0]["age"] == 36
