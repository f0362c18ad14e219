"""The outbox's file of an earlier release is opened, brought up to date, and forwarded in its order.

data/outbox-0.1.0.db was written by the user-service 0.1.0, which had no broker: three saves were answered 202, the second
with a traceparent and without an Idempotency-Key. After a SIGTERM its log was written back with PRAGMA wal_checkpoint."""

import os
import shutil
import sqlite3

from support.store import OUTBOX, rows
from support.wait import eventually

KEPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "outbox-0.1.0.db")
NOBODY = "amqp://guest:guest@127.0.0.1:1/"
STORED = [
    ("first", '{"id":7,"name":"Ada"}', None, 1795706987381),
    ("01a2187a-237b-7ac0-b10f-74f7b253cb15", '{"id":"u-2","name":"Gr\\u00e5ce","email":"grace@example.org"}',
     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 1795706987387),
    ("third", '{"id":"a40a4858-78e3-5196-a60a-af4107ffc3c0","name":"Linus"}', None, 1795706987395),
]


def version(state):
    return rows(state, "PRAGMA user_version", OUTBOX)[0][0]


def test_a_file_of_0_1_0_goes_on(world, tmp_path):
    state = str(tmp_path)
    shutil.copy(KEPT, os.path.join(state, OUTBOX))
    assert version(state) == 1
    user = world.user_service("--state-dir", state, "--amqp-url", NOBODY)
    eventually(lambda: user.metric("user_service_outbox_saves") == 3, "it knows what the file holds")
    assert user.save({"id": 8}, Idempotency_Key="fourth").status_code == 202
    user.stop()
    assert version(state) == 2
    assert rows(state, "SELECT message_id, type FROM outbox ORDER BY sequence", OUTBOX) == [
        (one[0], "user.saved") for one in STORED] + [("fourth", "user.saved")]

    user = world.user_service("--state-dir", state)
    for message_id, body, traceparent, saved_at_ms in STORED:
        _, properties, got = world.get()
        assert (properties.message_id, got.decode()) == (message_id, body)
        assert (properties.type, properties.content_type, properties.app_id, properties.delivery_mode) == (
            "user.saved", "application/json", "user-service", 2)
        assert properties.headers.get("traceparent") == traceparent
        assert properties.headers["saved_at_ms"] == saved_at_ms
        assert properties.timestamp == saved_at_ms // 1000
    assert world.get()[1].message_id == "fourth"
    eventually(lambda: user.metric("user_service_outbox_saves") == 0, "all are forwarded")
    assert rows(state, "SELECT count(*) FROM outbox", OUTBOX) == [(0,)]


def test_a_row_of_a_type_that_nobody_knows_is_logged_and_kept(world, tmp_path):
    state = str(tmp_path)
    world.user_service("--state-dir", state).stop()
    connection = sqlite3.connect(os.path.join(state, OUTBOX))
    with connection:
        connection.executemany("INSERT INTO outbox (message_id, body, traceparent, saved_at_ms, type)"
                               " VALUES (?, '{\"id\":1}', '', 1, ?)",
                               [("later", "user.renamed"), ("good", "user.saved")])
    connection.close()
    user = world.user_service("--state-dir", state)
    assert world.get()[1].message_id == "good"
    eventually(lambda: rows(state, "SELECT message_id FROM outbox", OUTBOX) == [("later",)], "the good one is deleted")
    assert user.metric("user_service_outbox_unreadable_rows") == 1
    assert [e["error"] for e in user.events("outbox.unreadable")] == [
        "row 1 is not a save, and stays: its type is not known"]
    assert world.count() == 0
