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


def effects(directory):
    """How many messages with an id took effect."""
    return rows(directory, "SELECT coalesce(sum(saves), 0) FROM users")[0][0]


def outbox_ids(directory):
    """The message ids in the outbox, in their order."""
    return [row[0] for row in rows(directory, "SELECT message_id FROM outbox ORDER BY sequence", OUTBOX)]
