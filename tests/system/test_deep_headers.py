"""Headers that fill a frame: nested as deep as it allows, which rabbitmq-c would decode by recursion or (from 0.14) not at
all; and delivered again with what the queue adds."""

import json
import os
import struct
import subprocess
import sys

import pika

from support.services import binary
from support.wait import PATIENCE_S, eventually

FRAME_BYTES = 131072
HEADER_BYTES_MAX = FRAME_BYTES - 8 - 12  # without what is around a frame, and what is before the properties
SMALL_STACK = ("prlimit", "--stack=262144")


class NestedProperties(pika.BasicProperties):
    """Arrays, one in the other (5 bytes each): `levels`, or as many as a frame takes."""

    def __init__(self, message_id, levels=sys.maxsize):
        super().__init__()
        tail = b"\x02" + bytes([len(message_id)]) + message_id.encode()
        levels = min(levels, (HEADER_BYTES_MAX - 2 - 4 - 1 - len(tail)) // 5)
        table = b"\x00" + b"".join(b"A" + struct.pack(">I", (levels - 1 - i) * 5) for i in range(levels))
        self.raw = struct.pack(">HI", 1 << 13 | 1 << 12 | 1 << 7, len(table)) + table + tail

    def encode(self):
        return [self.raw]


def put(world, queue, body, properties):
    channel = world.declare(queue)
    channel.confirm_delivery()
    channel.basic_publish("", queue, body, properties)
    channel.connection.close()


def handled(service, message_id):
    service.get("/healthz")  # fails where the process has ended
    return [e for e in service.events("user.saved")
            if e.get("message_id") == message_id and e["outcome"] == "handled"]


def test_the_deepest_headers(world):
    """A user is handled; what is put aside is copied with its headers, listed, and removed."""
    world.declare(world.dead).connection.close()
    service = world.session_service(wrapper=SMALL_STACK).wait_ready()
    put(world, world.queue, b'{"id":"u1","name":"Ada"}', NestedProperties("m1"))
    eventually(lambda: handled(service, "m1"), "the user is handled")
    put(world, world.queue, b"not json", NestedProperties("m2", 5000))
    eventually(lambda: service.events("user.dead_lettered"), "the other is put aside")
    eventually(lambda: world.count(world.dead) == 1, "its copy is there")
    service.stop()

    def command(*arguments):
        done = subprocess.run([*SMALL_STACK, binary("session-service"), "dead-letters", *arguments,
                               "--queue", world.queue], env=dict(os.environ, AMQP_URL=world.url),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    assert json.loads(command("list", "--json"))["id"] == "m2"
    eventually(lambda: world.count(world.dead) == 1, "it is there again")
    command("purge", "m2")
    assert world.count(world.dead) == 0


def test_delivered_again_with_what_the_queue_adds(world):
    """A quorum queue counts deliveries in a header: the frame is larger then than was agreed."""
    name = "x"
    room = HEADER_BYTES_MAX - 2 - 4 - 1 - len(name) - 1 - 4 - 1 - 3
    put(world, world.queue, b'{"id":"u1","name":"Ada"}',
        pika.BasicProperties(message_id="m1", delivery_mode=2, headers={name: "a" * room}))
    channel = world.channel()
    assert channel.basic_get(world.queue)[0] is not None
    channel.connection.close()
    eventually(lambda: world.count() == 1, "it is in the queue again")
    service = world.session_service().wait_ready()
    eventually(lambda: handled(service, "m1"), "it is handled")
    service.stop()
    assert world.is_empty()
