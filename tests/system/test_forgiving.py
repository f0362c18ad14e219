"""What differs in form only is taken, and nothing that was sent is lost or changed by it."""

import json

import pytest
import requests

from support.wait import PATIENCE_S, eventually

MARK = b"\xef\xbb\xbf"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def shared_service(shared_world):
    return shared_world.patient_user_service().wait_ready()


@pytest.fixture
def service(shared_world, shared_service):
    shared_world.purge()
    return shared_service


def send(service, body, media_type, path="/users/save", method="POST"):
    return requests.request(method, service.base + path, data=body, timeout=PATIENCE_S,
                            headers={"Content-Type": media_type})


def saved(world, reply):
    """The body on the queue, which is also what the reply shows."""
    assert reply.status_code == 200, reply.text
    body = world.get()[2]
    assert json.loads(body) == reply.json()["data"]
    return body


def test_a_byte_order_mark_before_json(shared_world, service):
    assert saved(shared_world, send(service, MARK + b'{"id":1}', "application/json")) == b'{"id":1}'
    assert saved(shared_world, send(service, MARK + b' {"name":"Ada"}', "application/json")).endswith(b',"name":"Ada"}')
    for bad in (MARK, MARK + MARK + b"{}", MARK[:2] + b"{}", b'{"id":1}' + MARK):
        assert send(service, bad, "application/json").status_code == 400


@pytest.mark.parametrize("media_type", [
    "application/vnd.api+json", "application/ld+json; charset=utf-8", "APPLICATION/X+JSON", "text/x+json ;a=b"])
def test_media_types_that_say_that_they_are_json(shared_world, service, media_type):
    assert saved(shared_world, send(service, b'{"id":1}', media_type)) == b'{"id":1}'


@pytest.mark.parametrize("media_type", [
    "+json", "application+json", "application/x+jsonx", "application/json+x", "text/plain;a=b+json",
    # Its id is the event's, and no user's.
    "application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8", "application/cloudevents-batch+json"])
def test_media_types_that_do_not(service, media_type):
    assert send(service, b'{"id":1}', media_type).status_code == 415


@pytest.mark.parametrize("form", ["id=1&bio=a%0D%0Ab", "id=1&bio=a%0d%0ab", "id=1&bio=a\r\nb", "id=1&bio=a%0D\nb",
                                  "id=1&bio=a\r%0Ab", "id=1&bio=a%0Ab"])
def test_the_lines_of_a_text_area(shared_world, service, form):
    assert json.loads(saved(shared_world, send(service, form, FORM))) == {"id": "1", "bio": "a\nb"}


def test_lines_elsewhere_stay_as_they_came(shared_world, service):
    text = rb'{"id":1,"bio":"a\r\nb"}'
    assert saved(shared_world, send(service, text, "application/json")) == text
    assert send(service, "id=1&bio=a%0Db", FORM).status_code == 422
    for alone in (rb"a\rb", rb"a\r", rb"\r\r\n"):
        assert send(service, b'{"id":1,"bio":"%s"}' % alone, "application/json").status_code == 422
    session = shared_world.session_service().wait_ready()
    reply = send(service, text, "application/json").json()
    eventually(lambda: reply["id"] in session.handled_ids(), "it is a user for the other service too")
    session.stop()


@pytest.mark.parametrize("body", ['{"name":"Ada"}', ' [{"name":"Ada"}]\n', '{"name":"Ada",}', '{}',
                                  '{"a":"x&name=Ada&y="}', MARK + b'{"name":"Ada"}'])
def test_json_that_is_sent_as_a_form(service, body):
    reply = send(service, body, FORM)
    assert reply.status_code == 415 and reply.json()["type"] == "/problems/unsupported-media-type"
    assert "Content-Type: application/json" in reply.json()["detail"]


def test_a_form_that_only_begins_like_json(shared_world, service):
    reply = send(service, "{x}=1&name=Ada", FORM)
    assert json.loads(saved(shared_world, reply)) == {"{x}": "1", "name": "Ada", "id": reply.json()["data"]["id"]}


def test_a_slash_at_the_end(shared_world, service):
    saved(shared_world, send(service, b'{"id":1}', "application/json", "/users/save/"))
    for path in ("/healthz/", "/readyz/", "/metrics/"):
        assert service.get(path).status_code == 200
    reply = send(service, b"", "", "/users/save/", "PUT")
    assert (reply.status_code, reply.headers["Allow"]) == (405, "POST, DELETE, OPTIONS")
    for path in ("/users/save//", "/users/save%2F", "/healthz//", "/healthz%2F", "/users/", "//", "/healthz/x"):
        assert send(service, b'{"id":1}', "application/json", path).status_code in (404, 405), path
    # What follows here is an id, whatever it is.
    reply = send(service, b"", "", "/users/save/", "DELETE")
    assert json.loads(saved(shared_world, reply)) == {"id": "save/"}


@pytest.mark.parametrize("payload", ["redacted", "full"])
def test_a_large_user_is_an_object_in_the_log_too(world, payload):
    session = world.session_service("--log-payload", payload).wait_ready()
    for key, size in (("small", 10), ("large", 30000)):
        user = {"id": key, **{"m%d" % i: "x" for i in range(10)}, "m" * size: "x" * size}
        world.publish(json.dumps(user).encode(), message_id=key, type="user.saved")
    eventually(lambda: len(session.handled_ids()) == 2, "both are handled")
    shown = {e["message_id"]: e["user"] for e in session.events("user.saved")}
    assert shown["small"]["id"] == "small"
    assert set(shown["large"]) == {"cut"} and shown["large"]["cut"].startswith('{"id":"large",')
    assert "...[cut, of " in shown["large"]["cut"]
