"""Until the command asks for the first letter, nothing is at risk: a signal ends it where it is."""

import os
import signal
import socket
import subprocess

import pytest

from support.preload import preload
from support.proxy import Proxy
from support.services import binary, status_of_signal
from support.wait import PATIENCE_S, eventually

QUEUE_DECLARE = b"\x00\x32\x00\x0a"


@pytest.fixture
def start(world):
    def started(verb, url, **environment):
        process = subprocess.Popen([binary("session-service"), "dead-letters", *verb, "--queue", world.queue],
                                   env=dict(os.environ, AMQP_URL=url, **environment), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        world.closers.append(lambda: process.poll() is None and process.kill())
        return process

    return started


def ends_by(process, number):
    """By the signal itself: the command would end by itself with another status, after 30 s for each host."""
    process.send_signal(number)
    out, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode == status_of_signal(number) and out == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_a_host_does_not_answer(number, start):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = start(("redrive", "--all"), "amqp://guest:guest@127.0.0.1:%d/" % listener.getsockname()[1])
        listener.settimeout(PATIENCE_S)
        with listener.accept()[0] as connection:
            connection.settimeout(PATIENCE_S)
            assert connection.recv(8) == b"AMQP\x00\x00\x09\x01"
            assert ends_by(process, number)


def test_while_the_name_is_looked_up(start, tmp_path):
    begun = tmp_path / "begun"
    environment = preload(tmp_path, "look_up", LOOK_UP_NAME="localhost", LOOK_UP_MS=str(500 * PATIENCE_S),
                          LOOK_UP_ADDRESSES="127.0.0.1", LOOK_UP_BEGUN_FILE=str(begun))
    process = start(("list",), "amqp://guest:guest@localhost:1/", **environment)
    eventually(begun.exists, "it looks the name up")
    assert ends_by(process, signal.SIGINT)


def test_while_the_queue_is_looked_for(start, world, broker):
    proxy = Proxy(broker.port)
    proxy.swallows_from = QUEUE_DECLARE
    world.closers.append(proxy.close)
    process = start(("list",), "amqp://guest:guest@127.0.0.1:%d/" % proxy.port)
    eventually(lambda: proxy.swallowed_bytes, "it is logged in, and asks for the queue")
    assert ends_by(process, signal.SIGINT)
