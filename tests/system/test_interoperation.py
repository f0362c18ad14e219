"""The old Node.js pair's side of the wire, as amqplib does it: assertQueue('session') is a durable
queue without arguments, sendToQueue a publish with no properties, consume a plain consumer."""

import json

from support.wait import eventually


def test_its_publisher_is_understood(world):
    channel = world.declare(queue_type="classic")
    channel.basic_publish("", world.queue, json.dumps({"name": "Ada", "age": 36}).encode())
    session = world.session_service("--queue-type", "classic").wait_ready()
    eventually(lambda: session.events("user.saved"), "it is handled")
    assert session.events("user.saved")[0]["outcome"] == "bare"
    session.stop()
    assert world.count() == 0


def test_its_consumer_understands_ours(world):
    user = world.patient_user_service("--queue-type", "classic").wait_ready()
    channel = world.declare(queue_type="classic")
    got = []

    def on_message(one_channel, method, properties, body):
        got.append(json.loads(body))
        one_channel.basic_ack(method.delivery_tag)

    channel.basic_consume(world.queue, on_message)
    reply = user.save({"name": "Ada", "age": 36})
    assert reply.status_code == 200
    eventually(lambda: channel.connection.process_data_events(0.1) or got, "it is consumed")
    assert got == [reply.json()["data"]]
    assert got[0]["name"] == "Ada" and got[0]["age"] == 36


def test_a_save_that_is_sent_again_is_the_same_message(world):
    """Without an id of the client's: else the repetition would be a conflict in the session-service."""
    session = world.session_service().wait_ready()
    user = world.patient_user_service("--idempotency-keys", "0").wait_ready()  # as after a restart
    first = user.save({"name": "Ada"}, Idempotency_Key="k1")
    again = user.save({"name": "Ada"}, Idempotency_Key="k1")
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert user.save({"name": "Eve"}, Idempotency_Key="k2").json()["data"]["id"] != \
        first.json()["data"]["id"]
    eventually(lambda: [e["outcome"] for e in session.events("user.saved")
                        if e["message_id"] == "k1"] == ["handled", "duplicate"], "one effect, and a duplicate")
