"""The user-service's contract, row by row."""

import json
import re
import socket

import pytest
import requests

from support.raw_http import Exchange
from support.wait import PATIENCE_S

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def shared_service(shared_world):
    return shared_world.patient_user_service().wait_ready()


@pytest.fixture
def service(shared_world, shared_service):
    shared_world.purge()
    return shared_service


def problem(reply, status, name):
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"] == "application/problem+json"
    body = reply.json()
    assert body["type"] == "/problems/" + name
    assert body["status"] == status
    assert body["title"] and body["detail"]
    return body


def test_json_save_is_confirmed_and_on_the_queue(shared_world, service):
    text = '{ "name" : "Ada", "n": 1.10, "big": 9007199254740993, "nested": {"a": [1, 2.50]} }'
    reply = requests.post(service.base + "/users/save", data=text, timeout=PATIENCE_S,
                          headers={"Content-Type": "application/json; charset=utf-8",
                                   "traceparent": "00-0af7651916cd43dd8448eb211c80319c-"
                                                  "b7ad6b7169203331-01"})
    assert reply.status_code == 200, reply.text
    assert reply.headers["Content-Type"] == "application/json"
    answer = reply.json()
    assert answer["success"] is True
    assert UUID7.fullmatch(answer["id"]) and UUID7.fullmatch(answer["data"]["id"])
    _, properties, body = shared_world.get()
    expected = ('{"id":"%s","name":"Ada","n":1.10,"big":9007199254740993,"nested":{"a":[1,2.50]}}'
                % answer["data"]["id"])
    assert body.decode() == expected
    assert reply.text == '{"success":true,"data":%s,"id":"%s"}\n' % (expected, answer["id"])
    assert properties.delivery_mode == 2
    assert properties.message_id == answer["id"]
    assert properties.content_type == "application/json"
    assert properties.type == "user.saved"
    assert properties.app_id == "user-service"
    assert abs(properties.headers["saved_at_ms"] / 1000 - properties.timestamp) < 2
    assert properties.headers["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c")


def test_form_save(shared_world, service):
    reply = requests.post(service.base + "/users/save", timeout=PATIENCE_S,
                          data={"name": "Ada L\u00f6velace", "email": "ada@example.org"})
    assert reply.status_code == 200, reply.text
    _, properties, body = shared_world.get()
    assert json.loads(body) == {"id": reply.json()["data"]["id"], "name": "Ada L\u00f6velace",
                                "email": "ada@example.org"}
    assert json.loads(body) == reply.json()["data"]
    assert properties.message_id == reply.json()["id"]


def test_the_users_own_id_is_kept(shared_world, service):
    for user_id in (7, "seven"):
        reply = service.save({"id": user_id})
        assert reply.json()["data"] == {"id": user_id}
        assert json.loads(shared_world.get()[2]) == {"id": user_id}


def test_idempotency_key_becomes_the_message_id(shared_world, service):
    key = 'order "17" \\ x'
    reply = service.save({"name": "Ada"}, Idempotency_Key=key)
    assert reply.json()["id"] == key
    assert shared_world.get()[1].message_id == key


@pytest.mark.parametrize("key", ["x" * 129, "t\u00e4g".encode("latin-1"), ""])
def test_bad_idempotency_key(service, key):
    problem(service.save({"name": "Ada"}, Idempotency_Key=key), 400, "invalid-idempotency-key")


def test_base_routes(service):
    reply = service.get("/users")
    assert (reply.status_code, reply.json()) == (
        200, {"success": True, "message": "users base route"})
    assert service.get("/healthz").json() == {"status": "ok"}
    assert service.get("/readyz").json() == {"status": "ready"}
    assert service.get("/users?x=1").status_code == 200
    assert requests.head(service.base + "/users", timeout=PATIENCE_S).status_code == 200
    assert requests.head(service.base + "/users", timeout=PATIENCE_S).text == ""
    metrics = service.get("/metrics")
    assert metrics.headers["Content-Type"] == "text/plain; version=0.0.4"
    assert "# TYPE user_service_confirm_latency_seconds histogram" in metrics.text


@pytest.mark.parametrize("body", ['{"name":', "", "nonsense", '{"name":"a","name":"b"}',
                                  '{"name":"\\u0000"}', '{"name":"\\ud800"}', '{"a":1e999,}'])
def test_malformed_json(service, body):
    reply = requests.post(service.base + "/users/save", data=body, timeout=PATIENCE_S,
                          headers={"Content-Type": "application/json"})
    problem(reply, 400, "malformed-json")


@pytest.mark.parametrize("body, pointer, logged", [
    ('{"a":1e999}', "/a", "/a"), ('{"id":9223372036854775808}', "/id", "/id"),
    ('{"name":"Ada","b":[0,{"c/d":-1E+999}]}', "/b/1/c~1d", "/b/1/*")])
def test_a_number_that_no_reader_can_hold(service, body, pointer, logged):
    reply = requests.post(service.base + "/users/save", data=body, timeout=PATIENCE_S,
                          headers={"Content-Type": "application/json"})
    errors = problem(reply, 422, "number-out-of-range")["errors"]
    assert [error["pointer"] for error in errors] == [pointer] and "send it as a string" in errors[0]["detail"]
    line = service.events("http.refused")[-1]
    assert (line["status"], line["type"], line["pointer"]) == (422, "/problems/number-out-of-range", logged)


@pytest.mark.parametrize("body", ["[]", '"Ada"', "7", "true", " null ", "[1e999]"])
def test_json_that_is_not_an_object(service, body):
    reply = requests.post(service.base + "/users/save", data=body, timeout=PATIENCE_S,
                          headers={"Content-Type": "application/json"})
    errors = problem(reply, 422, "not-an-object")["errors"]
    assert errors[0]["pointer"] == "" and errors[0]["detail"].startswith("must be a JSON object, not ")


def test_malformed_form(service):
    reply = requests.post(service.base + "/users/save", data="name=%zz", timeout=PATIENCE_S,
                          headers={"Content-Type": "application/x-www-form-urlencoded"})
    problem(reply, 400, "malformed-form")


def test_unknown_route_and_wrong_method(service):
    problem(service.get("/nothing"), 404, "not-found")
    reply = requests.put(service.base + "/users/save", data="{}", timeout=PATIENCE_S)
    problem(reply, 405, "method-not-allowed")
    assert reply.headers["Allow"] == "POST, DELETE, OPTIONS"
    reply = requests.delete(service.base + "/users", timeout=PATIENCE_S)
    problem(reply, 405, "method-not-allowed")
    assert reply.headers["Allow"] == "GET, HEAD, OPTIONS"
    reply = requests.options(service.base + "/users/save", timeout=PATIENCE_S)
    assert (reply.status_code, reply.headers["Allow"]) == (204, "POST, DELETE, OPTIONS")


def test_too_large_by_length_and_by_chunks(service):
    large = b'{"name":"' + b"x" * 70000 + b'"}'
    reply = requests.post(service.base + "/users/save", data=large, timeout=PATIENCE_S,
                          headers={"Content-Type": "application/json"})
    problem(reply, 413, "body-too-large")
    reply = requests.post(service.base + "/users/save", data=iter([large]), timeout=PATIENCE_S,
                          headers={"Content-Type": "application/json"})
    problem(reply, 413, "body-too-large")
    assert service.save({"name": "Ada"}).status_code == 200


def test_the_largest_user_that_the_broker_takes(world):
    """In a form a quote is one byte, in JSON two."""
    limit = 16 * 1024 * 1024
    service = world.patient_user_service("--max-body-bytes", "16MiB").wait_ready()
    user = b'{"name":"Ada","id":"1","x":"%s"}'
    user %= b"y" * (limit - len(user) + len("%s"))
    reply = requests.post(service.base + "/users/save", data=user, timeout=PATIENCE_S,
                          headers={"Content-Type": "application/json"})
    assert reply.status_code == 200 and len(user) == limit
    form = b"name=Ada&id=1&x=" + b'"' * (limit // 2)
    reply = requests.post(service.base + "/users/save", data=form, timeout=PATIENCE_S,
                          headers={"Content-Type": "application/x-www-form-urlencoded"})
    problem(reply, 413, "user-too-large")
    assert service.save({"name": "Ada"}).status_code == 200


def test_endless_chunked_body_is_cut_off(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"POST /users/save HTTP/1.1\r\nHost: x\r\n"
                           b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(OSError):
            for _ in range(10000):
                connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    assert service.save({"name": "Ada"}).status_code == 200


@pytest.mark.parametrize("media_type", ["text/plain", "", "application/jsonx", "multipart/form-data"])
def test_wrong_media_type(service, media_type):
    reply = requests.post(service.base + "/users/save", data="{}", timeout=PATIENCE_S,
                          headers={"Content-Type": media_type})
    problem(reply, 415, "unsupported-media-type")


@pytest.mark.parametrize("user, pointer", [
    ({}, ""), ({"other": 1}, ""), ({"name": ""}, "/name"), ({"name": 5}, "/name"),
    ({"name": "x" * 201}, "/name"), ({"id": 1.5}, "/id"), ({"email": "nobody"}, "/email"),
    ({"name": "a", "Pass_Word": "x"}, "/Pass_Word"),
    ({"name": "a", "deep": {"token": "x"}}, "/deep/token"),
    ({"name": "a\u0007"}, "/name"),
    ({"name": "a", "b": [[[[[[[[1]]]]]]]]}, None),
    (dict({"m%d" % i: i for i in range(64)}, name="a"), ""),
])
def test_invalid_user(service, user, pointer):
    body = problem(service.save(user) if user else requests.post(
        service.base + "/users/save", data="{}", timeout=PATIENCE_S,
        headers={"Content-Type": "application/json"}), 422, "invalid-user")
    assert body["errors"] and all(e["detail"] for e in body["errors"])
    if pointer is not None:
        assert pointer in [e["pointer"] for e in body["errors"]]


def test_stricter_and_relaxed_rules(world):
    strict = world.patient_user_service("--required-members", "name,email").wait_ready()
    problem(strict.save({"name": "Ada"}), 422, "invalid-user")
    assert strict.save({"name": "Ada", "email": "a@b"}).status_code == 200
    relaxed = world.patient_user_service("--user-check", "relaxed").wait_ready()
    assert relaxed.save({"anything": 1}).status_code == 200


HEAD = b"POST /users/save HTTP/1.1\r\nContent-Type: application/json\r\n"
USER = b'{"name":"Ada"}'


@pytest.mark.parametrize("headers", [
    b"Host: x\r\nContent-Length: 14\r\nTransfer-Encoding: chunked\r\n",
    b"Host: x\r\nContent-Length: 14\r\nContent-Length: 15\r\n",
    b"Host: x\r\nContent-Length: 14\r\nContent-Length: 14\r\n",
    b"Host: x\r\nHost: y\r\nContent-Length: 14\r\n",
    b"Host: x\r\nTransfer-Encoding: gzip\r\n",
    b"Host: x\r\nTransfer-Encoding : chunked\r\n",
])
def test_framing_that_two_parsers_could_read_in_two_ways(shared_world, service, headers):
    smuggled = b"GET /users HTTP/1.1\r\nHost: x\r\n\r\n"
    exchange = Exchange(service.port, [HEAD + headers + b"\r\n" + USER + smuggled])
    assert (exchange.statuses, exchange.fate) == ([400], "closed"), exchange.got
    assert shared_world.count() == 0


@pytest.mark.parametrize("headers", [b"Host: x\r\nContent-Length: +14\r\n",
                                     b"Content-Length: 14\r\n"])
def test_framing_that_the_library_refuses(shared_world, service, headers):
    """libmicrohttpd replies by itself, and on Debian 12 sends the head of that reply twice."""
    exchange = Exchange(service.port, [HEAD + headers + b"\r\n" + USER])
    assert set(exchange.statuses) == {400} and exchange.fate == "closed", exchange.got
    assert shared_world.count() == 0


def test_pipelined_requests_are_answered_in_order(service):
    one = HEAD + b"Host: x\r\nContent-Length: 14\r\n\r\n" + USER
    exchange = Exchange(service.port, [one + b"GET /users HTTP/1.1\r\nHost: x\r\n\r\n" + one])
    assert (exchange.statuses, exchange.fate) == ([200] * 3, "kept"), exchange.got
    got = exchange.got
    assert got.find(b'"data"') < got.find(b"base route") < got.rfind(b'"data"')


def test_nothing_personal_is_in_the_log(service):
    service.save({"name": "Grace Hopper", "email": "grace@example.org"})
    service.save({"name": 5, "email": "grace-example"})
    text = service.log_text()
    assert "Grace" not in text and "grace" not in text
    assert "guest" not in text


def test_without_a_broker_it_answers_and_recovers(world):
    service = world.user_service("--outbox", "off", "--amqp-url",
                                 "amqp://guest:guest@127.0.0.1:1/")
    body = problem(service.get("/readyz"), 503, "not-ready")
    assert "not connected to the broker" in body["detail"]
    reply = service.save({"name": "Ada"})
    assert problem(reply, 503, "unavailable")["reason"] == "disconnected"
    assert int(reply.headers["Retry-After"]) >= 1
    assert service.get("/healthz").status_code == 200


def test_more_than_the_limit_is_refused_at_once(world):
    """A queue that confirms nothing would be needed to fill the window; the bytes are filled here."""
    service = world.user_service("--max-in-flight-bytes", "64KiB", "--max-body-bytes", "1MiB")
    service.wait_ready()
    reply = service.save({"name": "Ada", "notes": "x" * 70000})
    body = problem(reply, 503, "unavailable")
    assert body["reason"] == "overloaded" and "too many bytes" in body["detail"]
