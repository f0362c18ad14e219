"""DELETE /users/{id}: the event user.deleted, answered as a save is."""

import http.client
import json
import re

import pytest

from support.store import OUTBOX, rows
from support.wait import PATIENCE_S, eventually

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
NOBODY = "amqp://guest:guest@127.0.0.1:1/"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
REPEATED = "user_service_repeated_keys_total"
COUNTED = 'user_service_deletions_total{outcome="%s"}'


class Reply:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    def json(self):
        return json.loads(self.text)


def request(service, method, path, body=None, **headers):
    """The path goes out as it is: no client resolves its dots or encodes it anew."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        return Reply(connection.getresponse())
    finally:
        connection.close()


def delete(service, user_id, **options):
    return request(service, "DELETE", "/users/" + user_id, **options)


def ours(headers):
    """Those that were published: a quorum queue adds one of its own."""
    return {name for name in headers if not name.startswith("x-")}


def problem(reply, status, name):
    assert reply.status == status, reply.text
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json()["type"] == "/problems/" + name
    return reply.json()


@pytest.fixture(scope="module")
def shared_service(shared_world):
    return shared_world.user_service().wait_ready()


@pytest.fixture
def service(shared_world, shared_service):
    shared_world.purge()
    return shared_service


def test_it_is_confirmed_and_on_the_queue(shared_world, service):
    before = service.metric(COUNTED % "confirmed")
    saves = service.metric('user_service_saves_total{outcome="confirmed"}')
    reply = delete(service, "u-7", traceparent=TRACEPARENT)
    assert reply.status == 200 and reply.headers["Content-Type"] == "application/json"
    message_id = reply.json()["id"]
    assert UUID7.fullmatch(message_id)
    assert reply.text == '{"success":true,"data":{"id":"u-7"},"id":"%s"}\n' % message_id
    _, properties, body = shared_world.get()
    assert body == b'{"id":"u-7"}'
    assert (properties.type, properties.content_type, properties.app_id, properties.delivery_mode) == (
        "user.deleted", "application/json", "user-service", 2)
    assert properties.message_id == message_id
    assert ours(properties.headers) == {"saved_at_ms", "traceparent"}
    assert properties.headers["traceparent"] == TRACEPARENT
    assert properties.timestamp == properties.headers["saved_at_ms"] // 1000
    assert service.metric(COUNTED % "confirmed") == before + 1
    assert service.metric('user_service_saves_total{outcome="confirmed"}') == saves


def test_without_a_traceparent_there_is_no_header_for_it(shared_world, service):
    assert delete(service, "u-7", traceparent="00-zz").status == 200
    assert ours(shared_world.get()[1].headers) == {"saved_at_ms"}


@pytest.mark.parametrize("path, user_id", [
    ("7", "7"), ("-7", "-7"), ("007", "007"), ("save", "save"), ("a%20b", "a b"), ("a+b", "a+b"),
    ("J%C3%B6", "J\u00f6"), ("%F0%9F%98%80", "\U0001f600"), ("%22%5C", '"\\'), ("%25%34%31", "%41"), ("a%09b", "a\tb"),
    ("a%2Fb", "a/b"), ("a/b", "a/b"), ("..", ".."), ("%2e%2e", ".."), ("../users", "../users"), ("a%3Fb", "a?b"),
    ("7?id=8", "7"), ("%C3%B6" * 128, "\u00f6" * 128),
])
def test_the_id_is_what_the_path_says(shared_world, service, path, user_id):
    reply = delete(service, path)
    assert reply.status == 200, reply.text
    assert reply.json()["data"] == {"id": user_id}
    body = shared_world.get()[2].decode()
    assert json.loads(body) == {"id": user_id} and body == json.dumps({"id": user_id}, ensure_ascii=False,
                                                                     separators=(",", ":"))


@pytest.mark.parametrize("path, detail", [
    ("x" * 129, "has more than 128 characters"), ("%C3%B6" * 129, "has more than 128 characters"),
    ("x" * 12000, "has more than 128 characters"), ("a%01", None), ("a%7F", None), ("%ff", "is not UTF-8"),
    ("%c0%af", "is not UTF-8"), ("%ed%a0%80", "is not UTF-8"), ("a%c3", "is not UTF-8"),
])
def test_what_can_be_no_users_id(shared_world, service, path, detail):
    before = service.metric(COUNTED % "invalid")
    body = problem(delete(service, path), 422, "invalid-user")
    assert body["detail"] == "this can be no user's id: see errors"
    assert [e["pointer"] for e in body["errors"]] == ["/id"]
    assert detail in (None, body["errors"][0]["detail"])
    assert service.metric(COUNTED % "invalid") == before + 1
    assert shared_world.count() == 0


@pytest.mark.parametrize("path", ["%zz", "%2", "a%", "%00", "a%00b"])
def test_malformed_encoding(shared_world, service, path):
    problem(delete(service, path), 400, "malformed-request")
    assert shared_world.count() == 0


def test_a_path_that_is_too_long(shared_world, service):
    assert delete(service, "x" * 40000).status in (414, 431)
    assert shared_world.count() == 0


@pytest.mark.parametrize("key", ["x" * 129, b"t\xe4g", ""])
def test_bad_idempotency_key(shared_world, service, key):
    problem(delete(service, "7", Idempotency_Key=key), 400, "invalid-idempotency-key")
    assert shared_world.count() == 0


def test_other_methods_and_paths(shared_world, service):
    for method in ("GET", "HEAD", "POST", "PUT"):
        reply = request(service, method, "/users/7")
        assert (reply.status, reply.headers["Allow"]) == (405, "DELETE, OPTIONS"), method
    reply = request(service, "OPTIONS", "/users/7")
    assert (reply.status, reply.headers["Allow"]) == (204, "DELETE, OPTIONS")
    problem(delete(service, ""), 404, "not-found")
    problem(request(service, "DELETE", "/users%2F7"), 404, "not-found")
    problem(request(service, "DELETE", "/users"), 405, "method-not-allowed")
    assert service.get("/users").json()["message"] == "users base route"
    assert service.save({"id": 7}).status_code == 200
    assert shared_world.get()[1].type == "user.saved" and shared_world.count() == 0


def test_a_body_is_ignored(shared_world, service):
    assert delete(service, "7", body="nonsense", Content_Type="text/plain").status == 200
    assert shared_world.get()[2] == b'{"id":"7"}'
    problem(delete(service, "7", body="x" * 70000), 413, "body-too-large")
    assert shared_world.count() == 0


def test_it_needs_a_token_as_all_does(world, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef\n")
    service = world.user_service("--auth-token-file", str(tokens))
    eventually(lambda: delete(service, "7", Authorization="Bearer 0123456789abcdef").status == 200, "it is confirmed")
    problem(delete(service, "7"), 401, "unauthorized")
    assert world.get()[2] == b'{"id":"7"}' and world.count() == 0


def test_a_known_key_is_answered_again_and_published_once(world):
    service = world.user_service().wait_ready()
    first = delete(service, "7", Idempotency_Key="k1")
    again = delete(service, "%37", Idempotency_Key="k1")
    assert (first.status, again.status) == (200, 200) and first.text == again.text
    assert first.json()["id"] == "k1"
    assert service.metric(REPEATED) == 1 and world.count() == 1
    problem(delete(service, "8", Idempotency_Key="k1"), 422, "idempotency-key-reused")
    assert world.get()[1].message_id == "k1" and world.count() == 0


def test_a_key_of_a_save_is_none_of_a_deletion(world):
    """The bodies of the two messages are the same to the byte: only their types differ."""
    service = world.user_service().wait_ready()
    assert service.save({"id": "7"}, Idempotency_Key="saved").status_code == 200
    conflict = problem(delete(service, "7", Idempotency_Key="saved"), 422, "idempotency-key-reused")
    assert conflict["detail"] == "another request was sent with this Idempotency-Key; not deleted"
    assert delete(service, "7", Idempotency_Key="deleted").status == 200
    assert service.save({"id": "7"}, Idempotency_Key="deleted").status_code == 422
    assert [world.get()[1].type for _ in range(2)] == ["user.saved", "user.deleted"]
    assert world.count() == 0


def test_without_a_broker_and_an_outbox_it_says_so(world):
    service = world.user_service("--outbox", "off", "--amqp-url", NOBODY)
    eventually(lambda: "not connected" in service.get("/readyz").text, "it has tried to connect")
    reply = delete(service, "7")
    body = problem(reply, 503, "unavailable")
    assert (body["reason"], body["detail"]) == (
        "disconnected", "there is no connection to the broker; not deleted")
    assert int(reply.headers["Retry-After"]) >= 1


def test_an_unknown_outcome_says_so(world, broker):
    service = world.user_service("--outbox", "off", "--confirm-timeout", "500ms").wait_ready()
    broker.freeze()
    try:
        body = problem(delete(service, "7", Idempotency_Key="k1"), 504, "unknown-outcome")
    finally:
        broker.thaw()
    assert (body["outcome"], body["id"]) == ("unknown", "k1")
    assert "the user may have been deleted" in body["detail"]
    eventually(lambda: delete(service, "7", Idempotency_Key="k1").status == 200, "it is confirmed")


def test_it_goes_through_the_outbox_in_its_order(world, tmp_path):
    """The process is killed between its 202 and the broker that can confirm."""
    state = str(tmp_path)
    service = world.user_service("--state-dir", state, "--amqp-url", NOBODY)
    assert service.save({"id": "7"}, Idempotency_Key="first").status_code == 202
    reply = delete(service, "7", traceparent=TRACEPARENT)
    assert (reply.status, reply.json()) == (
        202, {"success": True, "data": {"id": "7"}, "id": reply.json()["id"], "stored": "outbox"})
    assert delete(service, "8", Idempotency_Key="third").status == 202
    assert service.save({"id": "7", "name": "Ada"}, Idempotency_Key="last").status_code == 202
    again = delete(service, "8", Idempotency_Key="third")
    assert again.status == 202 and again.json()["id"] == "third"
    service.kill()
    expected = [("first", "user.saved"), (reply.json()["id"], "user.deleted"), ("third", "user.deleted"),
                ("last", "user.saved")]
    stored = rows(state, "SELECT message_id, type, saved_at_ms FROM outbox ORDER BY sequence", OUTBOX)
    assert [row[:2] for row in stored] == expected

    service = world.user_service("--state-dir", state)
    messages = [world.get() for _ in expected]
    assert [(m[1].message_id, m[1].type) for m in messages] == expected
    assert [m[2] for m in messages] == [b'{"id":"7"}', b'{"id":"7"}', b'{"id":"8"}', b'{"id":"7","name":"Ada"}']
    assert [m[1].headers.get("traceparent") for m in messages] == [None, TRACEPARENT, None, None]
    assert [m[1].headers["saved_at_ms"] for m in messages] == [row[2] for row in stored]
    eventually(lambda: service.metric("user_service_outbox_saves") == 0, "all are forwarded")
    assert world.count() == 0
