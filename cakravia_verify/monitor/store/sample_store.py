"""Write samples in batches, roll them up, and keep the file within its age and size."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from cakravia_verify.monitor.database import Database, Durability
from cakravia_verify.monitor.store.aggregate import (
    Aggregate,
    aggregate_of,
    merged,
    packed_histogram,
    unpacked_histogram,
)
from cakravia_verify.monitor.store.samples import MetricSample, blocks, packed
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock

FILE_NAME: Final = "samples.db"
# Seconds that one row of each table stands for.
LEVELS: Final[Mapping[str, int]] = {"minutes": 60, "hours": 3600}
ROLLUP_COLUMNS: Final = "count, bad, valued, total, low, high, histogram"
_ROLLUP: Final = """
CREATE TABLE IF NOT EXISTS {level} (
    series INTEGER NOT NULL, at INTEGER NOT NULL, count INTEGER NOT NULL, bad INTEGER NOT NULL,
    valued INTEGER NOT NULL, total REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL, histogram BLOB NOT NULL,
    PRIMARY KEY (series, at)) WITHOUT ROWID;"""
SCHEMA: Final = (
    """
CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS raw (
    series INTEGER NOT NULL, at INTEGER NOT NULL, block BLOB NOT NULL, PRIMARY KEY (series, at)) WITHOUT ROWID;"""
    + _ROLLUP.format(level="minutes")
    + _ROLLUP.format(level="hours")
)
# Rows of one deletion, and pages of one step of giving space back: each takes milliseconds.
_STEP_SECONDS: Final = 3600
_STEP_PAGES: Final = 512
_MOST_SERIES: Final = 500


@dataclass(frozen=True)
class Retention:
    """How long each table keeps its rows, in seconds, and how many bytes the file may have."""

    raw: float = 2 * 86_400.0
    minutes: float = 30 * 86_400.0
    hours: float = 2 * 366 * 86_400.0
    most_bytes: int = 100 * 1_000_000

    def age_of(self, table: str) -> float:
        return {"raw": self.raw, "minutes": self.minutes, "hours": self.hours}[table]


class SampleStore:
    """The samples of one site. Only one process writes; others read with `store.query`."""

    def __init__(self, folder: Path, *, retention: Retention | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._retention = retention or Retention()
        self._clock = clock
        self._database = Database(folder / FILE_NAME, SCHEMA, durability=Durability.PROCESS, clock=clock)
        self._ids: dict[str, int] = {}
        self._ids_of = 0

    @property
    def path(self) -> Path:
        return self._database.path

    @property
    def set_aside(self) -> Sequence[Path]:
        """Corrupt files that were found, oldest first."""
        return tuple(self._database.set_aside)

    def add(self, samples: Iterable[MetricSample]) -> None:
        """Write the samples with their minutes and hours in one transaction. Raises sqlite3.Error."""
        rows = sorted(samples, key=lambda each: (each.series, each.at))
        if rows:
            self._database.transact(lambda connection: self._add(connection, rows))

    def prune(self) -> None:
        """Delete what is too old, then the oldest rows while the file is too large, in short transactions."""
        now = self._clock.wall()
        for table in ("raw", *LEVELS):
            while self._delete_before(table, now - self._retention.age_of(table)):
                pass
        for table in ("raw", *LEVELS):
            while self._used_bytes() > self._retention.most_bytes and self._delete_oldest(table):
                pass
        while self._give_back():
            pass

    def close(self) -> None:
        self._database.close()

    def _add(self, connection: sqlite3.Connection, rows: Sequence[MetricSample]) -> None:
        for name, group in groupby(rows, key=lambda each: each.series):
            if (number := self._number_of(connection, name)) is None:
                continue
            samples = list(group)
            for run in blocks(samples):
                connection.execute(
                    "INSERT OR REPLACE INTO raw VALUES (?, ?, ?)", (number, int(run[0].at * 1000), packed(run))
                )
            for level, seconds in LEVELS.items():
                for at, part in groupby(samples, key=lambda each: int(each.at // seconds) * seconds):
                    _merge(connection, level, (number, at), aggregate_of(part))

    def _number_of(self, connection: sqlite3.Connection, name: str) -> int | None:
        """The number of a series; None for a name beyond the most that are kept."""
        if self._ids_of != id(connection):
            self._ids = {each: number for number, each in connection.execute("SELECT id, name FROM series")}
            self._ids_of = id(connection)
        if name not in self._ids:
            if len(self._ids) >= _MOST_SERIES:
                return None
            cursor = connection.execute("INSERT OR IGNORE INTO series (name) VALUES (?)", (name,))
            (self._ids[name],) = connection.execute("SELECT id FROM series WHERE name = ?", (name,)).fetchone()
            cursor.close()
        return self._ids[name]

    def _delete_before(self, table: str, limit: float) -> bool:
        oldest = self._oldest(table)
        if oldest is None or oldest >= limit:
            return False
        self._delete(table, min(limit, oldest + _STEP_SECONDS * _steps(table)))
        return True

    def _delete_oldest(self, table: str) -> bool:
        oldest = self._oldest(table)
        if oldest is None:
            return False
        self._delete(table, oldest + _STEP_SECONDS * _steps(table))
        return True

    def _delete(self, table: str, limit: float) -> None:
        at = math.ceil(limit * (1000 if table == "raw" else 1))

        def delete(connection: sqlite3.Connection) -> None:
            for (number,) in connection.execute("SELECT id FROM series").fetchall():
                connection.execute(f"DELETE FROM {table} WHERE series = ? AND at < ?", (number, at))  # noqa: S608

        self._database.transact(delete)

    def _oldest(self, table: str) -> float | None:
        question = f"SELECT min((SELECT min(at) FROM {table} WHERE series = id)) FROM series"  # noqa: S608
        (oldest,) = self._database.transact(lambda connection: connection.execute(question).fetchone())
        return None if oldest is None else oldest / (1000 if table == "raw" else 1)

    def _used_bytes(self) -> int:
        def used(connection: sqlite3.Connection) -> int:
            pages, free, size = (
                int(connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
            return (pages - free) * size

        return self._database.maintain(used)

    def _give_back(self) -> bool:
        """Return some free pages to the file system; False when few are left, which new rows will use."""

        def give_back(connection: sqlite3.Connection) -> bool:
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
            if free < 2 * _STEP_PAGES:
                return False
            connection.execute(f"PRAGMA incremental_vacuum({_STEP_PAGES})").fetchall()
            return True

        return self._database.maintain(give_back)


def _merge(connection: sqlite3.Connection, level: str, key: tuple[int, int], added: Aggregate) -> None:
    question = f"SELECT {ROLLUP_COLUMNS} FROM {level} WHERE series = ? AND at = ?"  # noqa: S608
    row = connection.execute(question, key).fetchone()
    whole = merged(aggregate_from(row), added) if row else added
    connection.execute(
        f"INSERT OR REPLACE INTO {level} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (*key, *_columns_of(whole)),
    )


def _columns_of(aggregate: Aggregate) -> Iterator[object]:
    yield from (aggregate.count, aggregate.bad, aggregate.valued)
    yield from (aggregate.total, aggregate.low, aggregate.high)
    yield packed_histogram(aggregate.histogram)


def aggregate_from(row: Sequence[Any]) -> Aggregate:
    """Return the aggregate in a row of `ROLLUP_COLUMNS`."""
    count, bad, valued, total, low, high, histogram = row
    return Aggregate(count, bad, valued, total, low, high, unpacked_histogram(histogram))


def _steps(table: str) -> int:
    return {"raw": 1, "minutes": 24, "hours": 24 * 30}[table]
