"""Idempotency-Key: the same key is the same message, and gets the first one's answer."""

import json
import threading

import pytest

from support.raw_http import Exchange
from support.wait import PATIENCE_S, eventually

ADA = {"name": "Ada"}
REPEATED = "user_service_repeated_keys_total"


def test_a_known_key_is_answered_again_and_published_once(world):
    user = world.patient_user_service().wait_ready()
    first = user.save(ADA, Idempotency_Key="k1")
    again = user.save(ADA, Idempotency_Key="k1")
    assert first.status_code == again.status_code == 200 and first.json() == again.json()
    # The same user as a form, and with other white space, is the same message.
    form = user.post("/users/save", "name=Ada", "application/x-www-form-urlencoded", "k1")
    spaced = user.post("/users/save", '{ "name" : "Ada" }', "application/json", "k1")
    assert form.text == spaced.text == first.text
    assert user.metric(REPEATED) == 3 and world.count() == 1


@pytest.mark.parametrize("blanks", [b" ", b"\t", b" \t  "])
def test_blanks_after_a_key_are_not_of_it(world, blanks):
    """Sent as bytes: a client of Python's trims them itself."""
    user = world.patient_user_service().wait_ready()
    first = user.save(ADA, Idempotency_Key="k1")
    body = json.dumps(ADA).encode()
    lines = (b"Host: x", b"Content-Type: application/json" + blanks, b"Idempotency-Key: k1" + blanks,
             b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" + blanks,
             b"Connection: close", b"Content-Length: %d" % len(body))
    head = b"POST /users/save HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"
    exchange = Exchange(user.port, [head + body])
    assert exchange.statuses == [200], exchange.got
    assert exchange.got.endswith(first.content)
    assert user.metric(REPEATED) == 1 and world.count() == 1


def test_a_request_that_has_the_same_value_is_the_same(world):
    user = world.patient_user_service().wait_ready()
    session = world.session_service().wait_ready()
    send = lambda body: user.post("/users/save", body, "application/json", "k1")
    first = send(r'{"name":"Ad\u00e9","tags":[1.50,{"x":1,"y":2}]}')
    for same in ('{ "tags": [ 1.50, {"y":2, "x":1} ], "name": "Ad\u00e9" }',
                 r'{"na\u006de":"Ad\u00E9","tags":[1.50,{"x":1,"y":2}]}'):
        again = send(same.encode())
        assert again.status_code == 200 and again.json() == first.json()
    for other in (r'{"name":"Ad\u00e9","tags":[1.5,{"x":1,"y":2}]}', r'{"name":"Ad\u00e9","tags":[{"x":1,"y":2},1.50]}',
                  r'{"name":"Ad\u00e9","tags":[1.50,{"x":2,"y":1}]}', r'{"name":"Ade","tags":[1.50,{"x":1,"y":2}]}'):
        assert send(other).status_code == 422
    eventually(lambda: session.handled_ids() == ["k1"], "it was published once")
    assert [e["user"]["id"] for e in session.events("user.saved")] == [first.json()["data"]["id"]]


def test_who_repeats_with_the_id_of_the_reply_is_the_same_user(world):
    """As the 504 advises: the first request had neither a key nor an id of the user."""
    user = world.patient_user_service().wait_ready()
    session = world.session_service().wait_ready()
    first = user.save(ADA).json()
    again = user.save(ADA, Idempotency_Key=first["id"])
    assert again.status_code == 200 and again.json() == first and first["data"]["id"] != first["id"]
    eventually(lambda: [e["outcome"] for e in session.events("user.saved")] == ["handled", "duplicate"],
               "the second has no effect")
    assert session.events("user.dead_lettered") == []


def test_a_key_with_another_user_is_refused(world):
    user = world.patient_user_service().wait_ready()
    assert user.save(ADA, Idempotency_Key="k1").status_code == 200
    other = user.save({"name": "Eve"}, Idempotency_Key="k1")
    assert other.status_code == 422 and other.json()["type"] == "/problems/idempotency-key-reused"
    assert user.save({"name": "Eve"}, Idempotency_Key="k2").status_code == 200
    assert world.count() == 2


def test_a_key_in_flight_is_waited_for(world, broker):
    user = world.patient_user_service("--heartbeat", "60s").wait_ready()
    replies = []

    def send(body):
        replies.append(user.save(body, Idempotency_Key="k1", timeout=PATIENCE_S))

    threads = [threading.Thread(target=send, args=(ADA,)) for _ in range(3)]
    broker.freeze()
    try:
        for thread in threads:
            thread.start()
        eventually(lambda: user.metric(REPEATED) == 2, "two wait for the third")
        eventually(lambda: user.metric("user_service_saves_in_flight") == 1, "it is in flight")
        assert user.save({"name": "Eve"}, Idempotency_Key="k1").status_code == 422
    finally:
        broker.thaw()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert [r.status_code for r in replies] == [200] * 3 and len({r.text for r in replies}) == 1
    eventually(lambda: world.count() == 1, "one message")


def test_what_was_not_saved_is_forgotten(world):
    user = world.user_service("--outbox", "off", "--amqp-url", "amqp://guest:guest@127.0.0.1:1/")
    eventually(lambda: user.get("/readyz").status_code == 503, "it is unready")
    assert user.save(ADA, Idempotency_Key="k1").status_code == 503
    assert user.save({"name": "Eve"}, Idempotency_Key="k1").status_code == 503
    assert user.metric(REPEATED) == 0


def test_an_unknown_outcome_is_tried_again(world, broker):
    user = world.user_service("--outbox", "off", "--confirm-timeout", "500ms", "--heartbeat", "60s").wait_ready()
    broker.freeze()
    try:
        assert user.save(ADA, Idempotency_Key="k1").status_code == 504
        assert user.save({"name": "Eve"}, Idempotency_Key="k1").status_code == 422
    finally:
        broker.thaw()
    eventually(lambda: user.save(ADA, Idempotency_Key="k1").status_code == 200, "it is confirmed")
    assert user.save(ADA, Idempotency_Key="k1").status_code == 200
    assert user.metric(REPEATED) >= 1
    eventually(lambda: world.count() >= 2, "published with its id each time it was tried")


def test_from_the_outbox_too(world):
    user = world.patient_user_service("--amqp-url", "amqp://guest:guest@127.0.0.1:1/")
    first = user.save(ADA, Idempotency_Key="k1")
    assert first.status_code == 202
    again = user.save(ADA, Idempotency_Key="k1")
    assert again.status_code == 202 and again.text == first.text
    # The reply goes out a moment before the metric knows.
    eventually(lambda: user.metric("user_service_outbox_saves") == 1, "it is stored once")


@pytest.mark.parametrize("capacity, published", [("2", 4), ("0", 5)])
def test_only_so_many_are_remembered(world, capacity, published):
    user = world.patient_user_service("--idempotency-keys", capacity).wait_ready()
    for key in ("k1", "k2", "k3", "k1", "k3"):
        assert user.save(ADA, Idempotency_Key=key).status_code == 200
    assert world.count() == published
