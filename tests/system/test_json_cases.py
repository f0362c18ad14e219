"""What is JSON and what is none, through HTTP and through the queue: the table of support/json_cases.py."""

import json
from collections import Counter

import pika
import requests

from support.json_cases import CONTROL, LARGE, REFUSED, REFUSED_BY_A_RULE, TWICE, VALUES, WIDE, ZERO, in_user
from support.wait import PATIENCE_S, eventually

MANY = ("deeper than", "more than 1024 elements")
NUMBER = (LARGE, WIDE)


def problem_of(detail):
    """The status and the type of what is refused by a rule, over HTTP."""
    if detail in NUMBER:
        return 422, "/problems/number-out-of-range"
    return (400, "/problems/malformed-json") if detail in (TWICE, ZERO) else (422, "/problems/invalid-user")


def is_object(value):
    return value.strip().startswith(b"{")


def send_all(user, bodies):
    """Over one connection: [(body, reply)]."""
    with requests.Session() as session:
        return [(body, session.post(user.base + "/users/save", data=body, timeout=PATIENCE_S,
                                    headers={"Content-Type": "application/json"})) for body in bodies]


def publish_all(world, bodies, properties):
    with world.one_channel() as channel:
        channel.confirm_delivery()
        for number, body in enumerate(bodies):
            channel.basic_publish("", world.queue, body, properties(number))


def test_the_table_is_large_enough():
    assert len(VALUES) >= 120 and len(REFUSED) >= 480 and len(REFUSED_BY_A_RULE) >= 25
    assert [case for case, times in Counter(VALUES + REFUSED).items() if times > 1] == []


def test_over_http(world):
    user = world.patient_user_service().wait_ready()
    for body, reply in send_all(user, map(in_user, VALUES)):
        assert reply.status_code == 200, (body, reply.text)
        assert reply.json()["data"]["v"] == json.loads(body)["v"]
    for body, reply in send_all(user, map(in_user, REFUSED)):
        assert reply.status_code == 400, (body[:200], reply.text)
        assert reply.json()["type"] == "/problems/malformed-json", (body[:200], reply.text)
    for (value, detail), (_, reply) in zip(REFUSED_BY_A_RULE, send_all(user, [in_user(v) for v, _ in REFUSED_BY_A_RULE])):
        assert (reply.status_code, reply.json()["type"]) == problem_of(detail), (value[:200], reply.text)
        assert detail in reply.text, (value[:200], reply.text)
        if detail in NUMBER:
            assert reply.json()["errors"] == [{"pointer": "/v", "detail": detail + " (send it as a string)"}
                                              if detail == LARGE else
                                              {"pointer": "/v", "detail": "an integer " + detail + " (send it as a string)"}]
    assert world.count() == len(VALUES)


def test_alone_over_http(world):
    """The whole body, and not in a user: what is JSON is no user then, and what is none is malformed."""
    user = world.patient_user_service().wait_ready()
    for body, reply in send_all(user, VALUES):
        assert reply.status_code == 422, (body, reply.text)
        name = "invalid-user" if is_object(body) else "not-an-object"
        assert reply.json()["type"] == "/problems/" + name, (body, reply.text)
        assert reply.json()["errors"][0]["pointer"] == "", (body, reply.text)
    for body, reply in send_all(user, REFUSED):
        assert reply.status_code == 400, (body[:200], reply.text)
        assert reply.json()["type"] == "/problems/malformed-json", (body[:200], reply.text)
    assert world.count() == 0


def outcomes_of(world, session, cases):
    """{case: (event, reason)}, of messages that have the case's number for their id."""
    bodies = [in_user(case) for case in cases]
    publish_all(world, bodies, lambda number: pika.BasicProperties(message_id=str(number), type="user.saved",
                                                                   content_type="application/json"))
    events = eventually(lambda: [found for found in [judged(session)] if len(found) >= len(bodies)], "all are judged")[0]
    return {case: events[str(number)] for number, case in enumerate(cases)}


def judged(session):
    return {e["message_id"]: (e["event"], e.get("reason")) for e in session.events()
            if e["event"] in ("user.saved", "user.dead_lettered")}


def test_through_the_queue(world):
    world.declare()
    session = world.session_service()
    by_rule = [value for value, _ in REFUSED_BY_A_RULE]
    outcomes = outcomes_of(world, session, VALUES + REFUSED + by_rule)
    for value in VALUES:
        assert outcomes[value] == ("user.saved", None), value
    for value in REFUSED:
        assert outcomes[value] == ("user.dead_lettered", "not-json"), value[:200]
    for value, detail in REFUSED_BY_A_RULE:
        reason = "number-out-of-range" if detail in NUMBER else "invalid-user"
        assert outcomes[value] == ("user.dead_lettered", reason), value[:200]
    eventually(lambda: world.count(world.dead) == len(REFUSED) + len(by_rule), "each has its copy")


def test_bare_through_the_queue(world):
    """Of a bare message nothing but JSON is asked: a member may be there twice, and strings may hold what they may in JSON."""
    world.declare()
    session = world.session_service()
    taken = VALUES + [value for value, detail in REFUSED_BY_A_RULE if detail in (TWICE, CONTROL, *MANY)]
    refused = REFUSED + [value for value, detail in REFUSED_BY_A_RULE if detail not in (TWICE, CONTROL, *MANY)]
    publish_all(world, map(in_user, taken + refused), lambda number: pika.BasicProperties())
    eventually(lambda: len(session.events("user.saved")) + len(session.events("user.dead_lettered")) >=
               len(taken) + len(refused), "all are judged")
    assert [e["outcome"] for e in session.events("user.saved")] == ["bare"] * len(taken)
    by_rule = ["number-out-of-range" if detail in NUMBER else "invalid-user"
               for _, detail in REFUSED_BY_A_RULE if detail not in (TWICE, CONTROL, *MANY)]
    assert [e["reason"] for e in session.events("user.dead_lettered")] == ["not-json"] * len(REFUSED) + by_rule


def test_alone_through_the_queue(world):
    """The whole body: what is JSON and no object is told as that, with an id and without."""
    world.declare()
    session = world.session_service()
    others = [value for value in VALUES if not is_object(value)]
    numbers = [b"1e400", b"[9223372036854775808]", b'["\\u0000"]', b'[{"a":1,"a":2}]']
    publish_all(world, others + numbers, lambda number: pika.BasicProperties(message_id=str(number) if number % 2 else None))
    lines = eventually(lambda: len(lines := session.events("user.dead_lettered")) == len(others + numbers) and lines,
                       "all are judged")
    assert {e["reason"] for e in lines} == {"not-an-object"}
    eventually(lambda: session.metric('session_service_dead_letters_total{reason="not-an-object"}') == len(lines),
               "each is counted")
