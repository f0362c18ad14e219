"""What probes, browsers and those who look for one request among many are told."""

import json
import socket

import pytest
import requests

from support.raw_http import Exchange
from support.wait import PATIENCE_S, eventually

BOTH = pytest.mark.parametrize("name", ["user-service", "session-service"])
TOKEN = "first-token-00000"
BEARER = {"Authorization": "Bearer " + TOKEN}
APP = "https://app.example.org"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def tokens(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(TOKEN + "\n")
    return ("--auth-token-file", str(file))


def ask(service, path, method="GET", body=None, **headers):
    return requests.request(method, service.base + path, data=body, timeout=PATIENCE_S,
                            headers={name.replace("_", "-"): value for name, value in headers.items()})


@BOTH
def test_probes_need_no_token_and_are_told_no_reason(name, world, tokens):
    service = world.service(name, *tokens, "--amqp-url", "amqp://guest:guest@127.0.0.1:1/", "--log-level", "error",
                            *(("--outbox", "off") if name == "user-service" else ()))
    told, = eventually(lambda: [r for r in [ask(service, "/readyz", **BEARER)] if r.status_code == 503], "it is unready")
    assert "broker" in told.json()["detail"]
    unknown = ask(service, "/readyz")
    assert unknown.status_code == 503 and unknown.json()["type"] == "/problems/not-ready"
    assert "broker" not in unknown.text and "127.0.0.1" not in unknown.text
    assert ask(service, "/readyz", Authorization="Bearer wrong-token-0000").text == unknown.text
    assert ask(service, "/healthz").json() == {"status": "ok"}
    assert ask(service, "/metrics").status_code == 401


def test_a_degraded_service_says_so_to_a_probe(world, tokens):
    user = world.user_service(*tokens, "--amqp-url", "amqp://guest:guest@127.0.0.1:1/")
    told, = eventually(lambda: [r for r in [ask(user, "/readyz", **BEARER)] if r.status_code == 200], "it is degraded")
    assert told.json()["status"] == "degraded" and "saves go to the outbox" in told.json()["detail"]
    assert ask(user, "/readyz").json() == {"status": "degraded"}


@BOTH
@pytest.mark.parametrize("paths, answers", [
    ("/metrics", (401, 401, 200)), ("/healthz,/readyz, /metrics", (200, 200, 200)), ("", (401, 401, 401))])
def test_open_paths(name, paths, answers, world, tokens):
    service = world.service(name, *tokens, "--open-paths", paths)
    eventually(lambda: ask(service, "/readyz", **BEARER).status_code == 200, "it is ready")
    assert tuple(ask(service, path).status_code for path in ("/healthz", "/readyz", "/metrics")) == answers
    assert ask(service, "/users/save", "POST").status_code == 401


def allowed(reply):
    return reply.headers.get("Access-Control-Allow-Origin")


def preflight(service, path, origin, method="POST"):
    return ask(service, path, "OPTIONS", Origin=origin, Access_Control_Request_Method=method,
               Access_Control_Request_Headers="authorization,content-type,idempotency-key")


def test_a_page_of_an_allowed_origin(world, tokens):
    user = world.user_service(*tokens, "--cors-origin", APP + ", http://localhost:8080")
    asked = preflight(user, "/users/save", APP)
    assert (asked.status_code, allowed(asked), asked.headers["Vary"]) == (204, APP, "Origin")
    assert "POST" in asked.headers["Access-Control-Allow-Methods"]
    taken = asked.headers["Access-Control-Allow-Headers"].lower()
    assert all(name in taken for name in ("authorization", "content-type", "idempotency-key", "x-request-id"))
    assert int(asked.headers["Access-Control-Max-Age"]) > 0
    eventually(lambda: ask(user, "/readyz", **BEARER).json()["status"] == "ready", "it is ready")
    saved = ask(user, "/users/save", "POST", '{"id":1}', Origin="http://localhost:8080", Content_Type="application/json",
                **BEARER)
    assert (saved.status_code, allowed(saved)) == (200, "http://localhost:8080")
    assert "Retry-After" in saved.headers["Access-Control-Expose-Headers"]
    # Its script can read errors too, also that of a missing token.
    for path, status in (("/users/save", 401), ("/nothing", 401)):
        refused = ask(user, path, "POST", "{}", Origin=APP)
        assert (refused.status_code, allowed(refused)) == (status, APP)
    assert allowed(ask(user, "/users/save", "POST", "x" * 70000, Origin=APP)) == APP
    for other in ("https://evil.example.org", "http://app.example.org", "null", APP + ".evil.org", APP + ":444"):
        asked = preflight(user, "/users/save", other)
        assert (asked.status_code, allowed(asked), asked.headers["Vary"]) == (401, None, "Origin")
    # To ask is not to be let in.
    assert ask(user, "/users/1", "DELETE", Origin=APP).status_code == 401
    assert ask(user, "/users/save", "OPTIONS", Origin=APP).status_code == 401


FOREIGN = ["http://evil.example", "https://127.0.0.1:1", "http://localhost", "null", "", "evil", "http://"]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_origin_changes_nothing(world, origin):
    """Without tokens a browser would send a form, or text, for any page that its user opens."""
    world.declare()
    user = world.patient_user_service().wait_ready()
    for method, path in (("POST", "/users/save"), ("DELETE", "/users/7"), ("PUT", "/users/save"), ("POST", "/nothing")):
        refused = ask(user, path, method, "name=Ada", Content_Type="application/x-www-form-urlencoded", Origin=origin)
        assert refused.status_code == 403 and refused.json()["type"] == "/problems/foreign-origin", refused.text
        assert "--cors-origin" in refused.json()["detail"]
    assert [e["status"] for e in user.events("http.refused")] == [403] * 4
    assert world.count() == 0
    assert ask(user, "/users", Origin=origin).status_code == 200
    session = world.session_service()
    assert ask(session, "/sessions/7", "DELETE", Origin=origin).status_code == 403


def test_who_is_no_page_of_another_origin_saves(world, tokens):
    world.declare()
    user = world.patient_user_service("--cors-origin", APP).wait_ready()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    own = user.base
    assert own.startswith("http://127.0.0.1:")
    for headers in ({}, {"Origin": APP}, {"Origin": own}, {"Origin": own.upper()},
                    {"Origin": "http://users.example.org", "Host": "users.example.org"},
                    {"Origin": "http://users.example.org", "Host": "users.example.org:80"},
                    {"Origin": "https://users.example.org:443", "Host": "Users.Example.org"}):
        saved = requests.post(user.base + "/users/save", "name=Ada", headers=dict(form, **headers), timeout=PATIENCE_S)
        assert saved.status_code == 200, saved.text
    # Who shows a token has it from nobody's browser.
    guarded = world.patient_user_service(*tokens)
    eventually(lambda: ask(guarded, "/readyz", **BEARER).json()["status"] == "ready", "it is ready")
    assert ask(guarded, "/users/save", "POST", "name=Ada", Origin="http://evil.example", Authorization="Bearer " + TOKEN,
               Content_Type="application/x-www-form-urlencoded").status_code == 200
    # All origins are allowed where that is what was asked for.
    open_to_all = world.patient_user_service("--cors-origin", "*").wait_ready()
    assert ask(open_to_all, "/users/save", "POST", "name=Ada", Origin="null",
               Content_Type="application/x-www-form-urlencoded").status_code == 200


@BOTH
def test_all_origins_and_none(name, world):
    service = world.service(name, "--cors-origin", "*")
    reply = ask(service, "/healthz", Origin="null")
    assert allowed(reply) == "*" and "Vary" not in reply.headers
    service = world.service(name)
    reply = ask(service, "/healthz", Origin=APP)
    assert not [header for header in reply.headers if header.startswith("Access-Control") or header == "Vary"]


@BOTH
def test_an_id_is_echoed_and_in_the_log(name, world):
    service = world.service(name)
    for path, headers, logged in (
            ("/healthz", {"X_Request_Id": "r-1"}, None), ("/nothing", {"X_Request_Id": "r-2"}, "r-2"),
            ("/nothing", {"traceparent": TRACE}, TRACE), ("/nothing", {"X_Request_Id": "r-3", "traceparent": TRACE}, "r-3"),
            ("/healthz", {"X_Request_Id": "x" * 128}, None)):
        reply = ask(service, path, **headers)
        for header, value in headers.items():
            assert reply.headers[header.replace("_", "-")] == value
        if logged:
            line = service.events("http.refused")[-1]
            assert line.pop("time") and line == {
                "level": "info", "service": name, "event": "http.refused", "status": 404, "type": "/problems/not-found",
                "client": "127.0.0.1", "request_id": logged}
    for bad in ({"X_Request_Id": "x" * 129}, {"X_Request_Id": "a b"}, {"X_Request_Id": "t\u00e4g".encode("latin-1")},
                {"traceparent": "x" * 55}, {"traceparent": TRACE[:-1]}, {"traceparent": "-" * 55},
                {"traceparent": "01" + TRACE[2:]}, {"traceparent": TRACE[:3] + "0" * 32 + TRACE[35:]}):
        reply = ask(service, "/nothing", **bad)
        assert not {"X-Request-Id", "traceparent"} & set(reply.headers)
        assert "request_id" not in service.events("http.refused")[-1]


def test_each_refused_request_is_one_line(world):
    user = world.patient_user_service("--request-timeout", "1s").wait_ready()
    before = len(user.events("http.refused"))
    assert user.save({"name": 5, "email": "grace-example"}).status_code == 422
    assert ask(user, "/users/save", "POST", '{"na', Content_Type="application/json").status_code == 400
    assert ask(user, "/users/save", "POST", "{}", Content_Type="text/plain").status_code == 415
    assert ask(user, "/users/save", "POST", "x" * 70000).status_code == 413
    assert ask(user, "/users/save", "PUT").status_code == 405
    assert user.save({"name": "Ada"}).status_code == 200
    nested = user.save({"name": "Ada", "contacts": {"grace@example.org": {"password": 1}}})
    assert nested.json()["errors"][0]["pointer"] == "/contacts/grace@example.org/password"
    assert user.save({"name": "Ada", "grace@example.org": {"password": 1}, "list": [{"password": 1}]}).status_code == 422
    Exchange(user.port, [b"GET /users HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"])  # each version leaves it to us
    with socket.create_connection(("127.0.0.1", user.port), timeout=PATIENCE_S) as late:
        late.sendall(b"POST /users/save HTTP/1.1\r\nHost: x\r\nX-Request-Id: late\r\nContent-Length: 5\r\n\r\n")
        assert late.recv(100).startswith(b"HTTP/1.1 408")
    lines = eventually(lambda: len(lines := user.events("http.refused")[before:]) == 9 and lines, "one for each")
    assert [(e["status"], e["type"], e.get("pointer"), e.get("request_id")) for e in lines] == [
        (422, "/problems/invalid-user", "/email", None), (400, "/problems/malformed-json", None, None),
        (415, "/problems/unsupported-media-type", None, None), (413, "/problems/body-too-large", None, None),
        (405, "/problems/method-not-allowed", None, None), (422, "/problems/invalid-user", "/contacts/*/*", None),
        (422, "/problems/invalid-user", "/*/*", None), (400, "/problems/malformed-request", None, None),
        (408, "about:blank", None, "late")]
    assert "grace" not in user.log_text()


def flood(service, enough):
    """Requests that are refused, many at once, until `enough(service)`. Returns how many."""
    one = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
    sent = 0

    def more():
        nonlocal sent
        with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S) as connection:
            connection.sendall(one * 500)
            got = b""
            while got.count(b"HTTP/1.1 404") < 500:
                got += connection.recv(1 << 20)
        sent += 500
        return enough(service)

    eventually(more, "some are only counted")
    return sent


def told(service):
    return sum(1 + e.get("not_logged", 0) for e in service.events("http.refused"))


def test_of_a_flood_the_log_tells_how_much_there_was(world):
    """Of its end too, although nothing comes after it."""
    service = world.user_service()
    sent = flood(service, lambda service: any("not_logged" in e for e in service.events("http.refused")))
    eventually(lambda: told(service) == sent, "each is told of, once")
    lines = service.events("http.refused")
    assert len(lines) < sent
    counts = [e for e in lines if "not_logged" in e]
    assert all((e["status"], e["type"], e["client"]) == (404, "/problems/not-found", "127.0.0.1") for e in counts)
    assert service.metric('http_replies_total{class="4xx"}') >= sent
    assert ask(service, "/nothing").status_code == 404
    assert "not_logged" not in service.events("http.refused")[-1]


def test_of_a_flood_before_a_stop_the_log_tells_too(world):
    service = world.user_service()
    sent = flood(service, lambda service: len(service.events("http.refused")) >= 100)
    service.stop()
    assert told(service) == sent


@BOTH
def test_how_long_a_connection_is_kept(name, world):
    service = world.service(name, "--idle-timeout", "7s")
    line = b"GET /healthz HTTP/1.%d\r\nHost: x\r\n%s\r\n"
    for request, kept in ((line % (1, b""), False), (line % (1, b"Connection: keep-alive\r\n"), True),
                          (line % (1, b"Connection: Close\r\n"), False), (line % (0, b""), False),
                          (line % (0, b"Connection: Keep-Alive\r\n"), True)):
        got = Exchange(service.port, [request]).got
        assert got.lower().count(b"keep-alive: timeout=7\r\n") >= 1 if kept else b"timeout=7" not in got, request


def test_the_log_of_a_service_in_front_of_a_browser_is_json(world):
    """A name of a member can be anything."""
    user = world.user_service()
    assert user.save({"name": "a", "x\u202e\n\"y": "\u0001"}).status_code == 422
    assert json.dumps(user.events("http.refused")[-1]["pointer"])
