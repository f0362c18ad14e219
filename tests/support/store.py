"""The session-service's store and the outbox, read from outside with another SQLite."""

import os
import sqlite3

FILE = "session-service.db"
OUTBOX = "user-service.db"


def rows(directory, query, name=FILE):
    """All rows of a query. A file that cannot be read is a failure."""
    connection = sqlite3.connect("file:%s?mode=ro" % os.path.join(directory, name), uri=True,
                                 timeout=10)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def inbox_ids(directory):
    return {row[0] for row in rows(directory, "SELECT message_id FROM inbox")}


def inbox_and_effects(directory):
    """Both of the same moment: (message ids, how many of them took effect)."""
    connection = sqlite3.connect("file:%s?mode=ro" % os.path.join(directory, FILE), uri=True,
                                 timeout=10, isolation_level=None)
    try:
        connection.execute("BEGIN")
        ids = {row[0] for row in connection.execute("SELECT message_id FROM inbox")}
        return ids, connection.execute("SELECT coalesce(sum(saves), 0) FROM users").fetchone()[0]
    finally:
        connection.close()


def effects(directory):
    """How many messages with an id took effect."""
    return rows(directory, "SELECT coalesce(sum(saves), 0) FROM users")[0][0]


def outbox_ids(directory):
    """The message ids in the outbox, in their order."""
    return [row[0] for row in rows(directory, "SELECT message_id FROM outbox ORDER BY sequence", OUTBOX)]
