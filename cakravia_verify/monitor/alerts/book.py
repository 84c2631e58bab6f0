"""The alerts on disk: states, silences, acknowledgements and what happened; one file with the outbox."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from cakravia_verify.monitor.alerts.model import Alert, AlertEvent, Change, Silence, State
from cakravia_verify.monitor.database import Database, Durability
from cakravia_verify.monitor.notify.outbox import SCHEMA as OUTBOX_SCHEMA

FILE_NAME: Final = "alerts.db"
SCHEMA: Final = (
    """
CREATE TABLE IF NOT EXISTS alerts (name TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS acknowledgements (
    name TEXT PRIMARY KEY, episode INTEGER NOT NULL, who TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS silences (
    number INTEGER PRIMARY KEY AUTOINCREMENT, pattern TEXT NOT NULL, until REAL NOT NULL, reason TEXT NOT NULL,
    who TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, name TEXT NOT NULL, change TEXT NOT NULL,
    detail TEXT NOT NULL);"""
    + OUTBOX_SCHEMA
)
KEEP_EVENTS: Final = 10_000


def open_book(folder: Path) -> Database:
    """Return the database of alerts and outbox. What is written to it survives a power cut."""
    return Database(folder / FILE_NAME, SCHEMA, durability=Durability.POWER_CUT)


def load_alerts(connection: sqlite3.Connection) -> dict[str, Alert]:
    """Return every alert as it was saved. What was counted before a restart counts no more; open episodes stay open."""
    found = {}
    for name, content in connection.execute("SELECT name, content FROM alerts"):
        row: dict[str, Any] = json.loads(content)
        lists = {key: tuple(row[key]) for key in ("recent", "firings")}
        alert = Alert(**row | lists | {"state": State(row["state"])})
        state = State.RESOLVED if alert.state is State.PENDING else alert.state
        found[name] = replace(alert, state=state, bad_run=0, good_run=0, recent=())
    return found


def save_alerts(connection: sqlite3.Connection, alerts: Iterable[Alert]) -> None:
    for alert in alerts:
        content = json.dumps(asdict(alert))
        connection.execute("INSERT OR REPLACE INTO alerts VALUES (?, ?)", (alert.name, content))


def add_events(connection: sqlite3.Connection, events: Iterable[AlertEvent]) -> None:
    for event in events:
        connection.execute(
            "INSERT INTO events (at, name, change, detail) VALUES (?, ?, ?, ?)",
            (event.at, event.name, event.change, event.detail[:1000]),
        )
    connection.execute("DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?", (KEEP_EVENTS,))


def load_events(connection: sqlite3.Connection, *, last: int) -> tuple[AlertEvent, ...]:
    """Return the newest events, oldest first."""
    rows = connection.execute("SELECT at, name, change, detail FROM events ORDER BY number DESC LIMIT ?", (last,))
    return tuple(AlertEvent(at, name, Change(change), detail) for at, name, change, detail in reversed(rows.fetchall()))


def acknowledge(connection: sqlite3.Connection, name: str, *, who: str, at: float) -> bool:
    """Record that a person knows of the open episode. Return False when the alert has none."""
    alert = load_alerts(connection).get(name)
    if alert is None or not alert.is_open:
        return False
    values = (name, alert.episode, who, at)
    connection.execute("INSERT OR REPLACE INTO acknowledgements VALUES (?, ?, ?, ?)", values)
    add_events(connection, [AlertEvent(at, name, Change.ACKNOWLEDGED, who)])
    return True


def acknowledgements(connection: sqlite3.Connection) -> Mapping[tuple[str, int], str]:
    """Return who acknowledged which episode of which alert."""
    return {
        (name, episode): who
        for name, episode, who in connection.execute("SELECT name, episode, who FROM acknowledgements")
    }


def add_silence(connection: sqlite3.Connection, pattern: str, *, until: float, reason: str, who: str) -> int:
    """Store a silence and return its number."""
    cursor = connection.execute(
        "INSERT INTO silences (pattern, until, reason, who) VALUES (?, ?, ?, ?)", (pattern, until, reason, who)
    )
    return int(cursor.lastrowid or 0)


def end_silence(connection: sqlite3.Connection, number: int) -> bool:
    """Delete a silence. Return False when there is none of that number."""
    return connection.execute("DELETE FROM silences WHERE number = ?", (number,)).rowcount > 0


def silences(connection: sqlite3.Connection, *, now: float) -> tuple[Silence, ...]:
    """Return the silences that last."""
    rows = connection.execute("SELECT number, pattern, until, reason, who FROM silences WHERE until > ?", (now,))
    return tuple(Silence(*row) for row in rows)


def silenced_by(name: str, known: Iterable[Silence]) -> Silence | None:
    """Return the silence that covers an alert, None when it may be told."""
    return next((silence for silence in known if fnmatchcase(name, silence.pattern)), None)
