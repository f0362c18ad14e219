"""Saves from many connections into the outbox, the service killed in their midst: each 202 is handled once, in order."""

import collections
import os
import time

from support.streams import Streams
from support.wait import eventually, wait_until

SAVES = int(os.environ.get("OUTBOX_TEST_SAVES", "2000"))
CONNECTIONS = 64


def by_client(keys):
    """{client: the numbers of his saves, in the order of `keys`}"""
    found = collections.defaultdict(list)
    for key in keys:
        client, number = key.rsplit("-", 1)
        found[client].append(int(number))
    return found


def deliveries(session, outcome):
    return session.metric('session_service_deliveries_total{outcome="%s"}' % outcome)


def test_each_202_is_handled_once_and_in_order(away):
    user = away.user_service()
    clients = Streams(user.port, CONNECTIONS, SAVES)
    try:
        begin = time.monotonic()
        clients.run(until=SAVES // 2)
        print("%d saves/s into the outbox, the client being one thread of Python" %
              (len(clients.taken) / (time.monotonic() - begin)))
        user.kill()  # with a save of nearly every connection under way
        user.start()
        clients.run()
    finally:
        clients.close()
    assert clients.statuses == {202: SAVES} and len(set(clients.taken)) == SAVES
    assert len(clients.broken) > CONNECTIONS // 2, clients.broken
    in_file = away.stored()
    held, once = len(in_file), list(dict.fromkeys(in_file))
    # What was committed and not answered before the kill is there twice, as its client sent it again.
    assert len(once) == SAVES <= held <= SAVES + len(clients.broken)
    assert by_client(once) == {one.name: list(range(one.count)) for one in clients.streams}
    eventually(lambda: user.metric("user_service_outbox_saves") == held, "it knows what it holds")
    assert user.metric("user_service_outbox_bytes") > 64 * held
    assert user.get("/readyz").json()["status"] == "degraded"

    away.appear()
    session = away.session_service()
    wait_until(lambda: user.metric("user_service_outbox_saves") == 0, 60 + SAVES / 500, "it is empty")
    user.wait_ready()
    eventually(lambda: deliveries(session, "handled") + deliveries(session, "duplicate") >= held, "each is handled")
    assert deliveries(session, "handled") == SAVES
    assert [e["message_id"] for e in session.events("user.saved") if e["outcome"] == "handled"] == once
    print("%d connections broke, %d saves were in the outbox twice" % (len(clients.broken), held - SAVES))
    user.stop()
    session.stop()
    assert away.stored() == []
