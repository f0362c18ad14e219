"""The demo (tests/bench/peers/demo.js) and the user-service with --compat demo, side by side on one broker: each request
of docs/migrating.md is sent to both. Needs what scripts/bench.sh installs for the peers."""

import contextlib
import json
import os
import shutil
import sys

import pika
import pytest
import requests

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import targets  # noqa: E402
from support.broker import Broker  # noqa: E402
from support.demo_requests import NOTHING, REQUESTS, SAME, WITH_ID  # noqa: E402
from support.wait import PATIENCE_S, eventually  # noqa: E402

MODULES = os.path.join(targets.PARTS, "node_modules", "express")
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not os.path.isdir(MODULES),
    reason="SKIPPED: the demo was not run beside the user-service: there is no Node.js with express and amqplib; "
           "scripts/bench.sh --quick installs them")


class Side:
    """One of the two, and its queue."""

    def __init__(self, target, url):
        self.target = target.start(url)
        self.connection = pika.BlockingConnection(pika.URLParameters(url + "?heartbeat=0"))
        self.channel = self.connection.channel()

    def send(self, one):
        return requests.request(one.method, "http://127.0.0.1:%d%s" % (self.target.port, one.path), headers=one.headers,
                                data=one.body, timeout=PATIENCE_S)

    def get(self):
        def take():
            method, _, body = self.channel.basic_get(self.target.queue, auto_ack=True)
            return None if method is None else [json.loads(body)]
        return eventually(take, "a message in " + self.target.queue)[0]

    def is_empty(self):
        return self.channel.queue_declare(self.target.queue, passive=True).method.message_count == 0

    def close(self):
        self.connection.close()
        self.target.close()


@pytest.fixture(scope="module")
def sides():
    with contextlib.ExitStack() as stack:
        broker = Broker()
        stack.callback(broker.close)
        url = broker.start().url()
        ours = targets.UserService("ours", "compat", options=["--compat", "demo", "--confirm-timeout", "60s"])
        yield [stack.enter_context(contextlib.closing(Side(target, url)))
               for target in (targets.Node("the demo", "demo"), ours)]


@pytest.mark.parametrize("one", REQUESTS, ids=[one.what for one in REQUESTS])
def test_a_request_to_both(sides, one):
    demo, ours = sides
    demo_reply, our_reply = demo.send(one), ours.send(one)
    assert str(demo_reply.status_code) == one.demo, demo_reply.text
    assert str(our_reply.status_code) == one.compat.split()[0], our_reply.text
    if one.method == "GET":
        assert demo_reply.status_code != 200 or demo_reply.json() == our_reply.json()
        return
    messages = [side.get() if reply.status_code == 200 else None for side, reply in zip(sides, (demo_reply, our_reply))]
    assert messages[0] == one.demo_message
    assert (messages[1] is None) == (one.message == NOTHING)
    if demo_reply.status_code == 200:
        assert demo_reply.json() == {"success": True, "data": messages[0]}
    if one.message in (SAME, WITH_ID):
        if one.message == WITH_ID:
            messages[1].pop("id")
        assert messages[1] == messages[0]
    assert demo.is_empty() and ours.is_empty()
