"""The outbox: a message is durable before it is sent, and stays until every channel has delivered it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cakravia_verify.monitor.database import Database
from cakravia_verify.monitor.notify.message import Message, Urgency, message_from

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, at REAL NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
    channel TEXT NOT NULL, seq INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '', PRIMARY KEY (channel, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS delivered (
    channel TEXT NOT NULL, seq INTEGER NOT NULL, at REAL NOT NULL, attempts INTEGER NOT NULL, error TEXT NOT NULL,
    PRIMARY KEY (channel, seq)) WITHOUT ROWID;
"""
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 300.0
# A message that no attempt delivered for a week makes room for those behind it; its error stays on record.
GIVE_UP_AFTER: Final = 7 * 86_400.0
KEEP_MESSAGES: Final = 5_000


@dataclass(frozen=True)
class Due:
    """The oldest message that a channel has not delivered. `due` is when it may be tried, in seconds since 1970."""

    seq: int
    message: Message
    attempts: int
    due: float


@dataclass(frozen=True)
class Waiting:
    """How a channel stands: messages that wait, since when the oldest does, and the last error."""

    channel: str
    count: int
    oldest: float
    error: str


class Outbox:
    """Messages in a database that its owner shares, so that a message and its cause are stored in one transaction.

    `channels` maps the name of each channel to the least urgency that it wants.
    """

    def __init__(self, database: Database, *, channels: Mapping[str, Urgency]) -> None:
        self._database = database
        self._channels = dict(channels)

    def put(self, messages: Iterable[Message]) -> None:
        """Store the messages. They are durable when this returns. A known id is stored once."""
        rows = tuple(messages)
        if rows:
            self._database.transact(lambda connection: self.put_within(connection, rows))

    def put_within(self, connection: sqlite3.Connection, messages: Iterable[Message]) -> None:
        """Store the messages as part of the caller's transaction."""
        for message in messages:
            cursor = connection.execute(
                "INSERT OR IGNORE INTO messages (id, at, content) VALUES (?, ?, ?)",
                (message.id, message.at, message.as_json()),
            )
            if not cursor.rowcount:
                continue
            for channel, least in self._channels.items():
                if message.urgency.rank >= least.rank:
                    connection.execute(
                        "INSERT INTO deliveries (channel, seq) VALUES (?, ?)", (channel, cursor.lastrowid)
                    )
        self._bound(connection)

    def head(self, channel: str) -> Due | None:
        """Return the oldest message that the channel has not delivered, due or not; None when nothing waits."""
        question = (
            "SELECT seq, content, attempts, due FROM deliveries JOIN messages USING (seq) "
            "WHERE channel = ? ORDER BY seq LIMIT 1"
        )
        row = self._database.transact(lambda connection: connection.execute(question, (channel,)).fetchone())
        return Due(row[0], message_from(row[1]), row[2], row[3]) if row else None

    def mark_delivered(self, channel: str, due: Due, *, at: float) -> None:
        """Take the message out of the channel's queue."""
        self._conclude(channel, due, at=at, error="")

    def mark_failed(self, channel: str, due: Due, *, at: float, error: str) -> None:
        """Set when the next attempt is due. After a week the message is given up, with its error on record."""
        if at - due.message.at > GIVE_UP_AFTER:
            self._conclude(channel, due, at=at, error=error)
            return
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(due.attempts, 20))
        change = "UPDATE deliveries SET attempts = ?, due = ?, error = ? WHERE channel = ? AND seq = ?"
        values = (due.attempts + 1, at + wait, error[:500], channel, due.seq)
        self._database.transact(lambda connection: connection.execute(change, values))

    def waiting(self) -> tuple[Waiting, ...]:
        """Return every channel for which messages wait."""
        question = (
            "SELECT channel, count(*), min(at), max(error) FROM deliveries JOIN messages USING (seq) GROUP BY channel"
        )
        rows = self._database.transact(lambda connection: connection.execute(question).fetchall())
        return tuple(Waiting(*row) for row in rows)

    def drop_unknown_channels(self) -> None:
        """Forget what waits for channels that the settings no longer name."""

        def drop(connection: sqlite3.Connection) -> None:
            for (name,) in connection.execute("SELECT DISTINCT channel FROM deliveries").fetchall():
                if name not in self._channels:
                    connection.execute("DELETE FROM deliveries WHERE channel = ?", (name,))

        self._database.transact(drop)

    def _conclude(self, channel: str, due: Due, *, at: float, error: str) -> None:
        def conclude(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM deliveries WHERE channel = ? AND seq = ?", (channel, due.seq))
            connection.execute(
                "INSERT OR REPLACE INTO delivered VALUES (?, ?, ?, ?, ?)",
                (channel, due.seq, at, due.attempts + 1, error[:500]),
            )

        self._database.transact(conclude)

    def _bound(self, connection: sqlite3.Connection) -> None:
        """Delete old messages that no channel waits for."""
        connection.execute(
            "DELETE FROM messages WHERE seq <= (SELECT max(seq) FROM messages) - ? "
            "AND seq NOT IN (SELECT seq FROM deliveries)",
            (KEEP_MESSAGES,),
        )
        connection.execute("DELETE FROM delivered WHERE seq NOT IN (SELECT seq FROM messages)")


def recent_messages(connection: sqlite3.Connection, *, last: int) -> tuple[tuple[int, Message, str], ...]:
    """Return the newest messages, oldest first: number, message, and the channels that delivered it."""
    question = (
        "SELECT seq, content, (SELECT group_concat(channel, ', ') FROM delivered WHERE delivered.seq = messages.seq "
        "AND error = '') FROM messages ORDER BY seq DESC LIMIT ?"
    )
    rows = connection.execute(question, (last,)).fetchall()
    return tuple((seq, message_from(content), channels or "") for seq, content, channels in reversed(rows))
