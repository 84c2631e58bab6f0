"""Read what the store holds, from any process, while the monitor writes."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cakravia_verify.monitor.database import reading
from cakravia_verify.monitor.store.aggregate import Aggregate, aggregate_of, merged
from cakravia_verify.monitor.store.sample_store import FILE_NAME, LEVELS, ROLLUP_COLUMNS, SCHEMA, aggregate_from
from cakravia_verify.monitor.store.samples import LONGEST_BLOCK, MetricSample, unpacked

# A longer span is answered from minutes, and beyond the second limit from hours.
RAW_SPAN: Final = 2 * 3600.0
MINUTES_SPAN: Final = 2 * 86_400.0


@dataclass(frozen=True, slots=True)
class Point:
    """One minute or hour of a series; `at` is its start in seconds since 1970."""

    at: float
    aggregate: Aggregate


def series_names(folder: Path) -> tuple[str, ...]:
    """Return the names of all series, in alphabetical order; empty without a store."""
    with _reading(folder) as connection:
        return tuple(name for (name,) in connection.execute("SELECT name FROM series ORDER BY name"))


def raw_samples(folder: Path, series: str, *, since: float, until: float) -> tuple[MetricSample, ...]:
    """Return the single samples of a series between two instants, oldest first."""
    question = (
        "SELECT at, block FROM raw WHERE series = (SELECT id FROM series WHERE name = ?) AND at BETWEEN ? AND ? "
        "ORDER BY at"
    )
    key = (series, int((since - LONGEST_BLOCK) * 1000), int(until * 1000))
    with _reading(folder) as connection:
        rows = connection.execute(question, key).fetchall()
    samples = (sample for at, block in rows for sample in unpacked(series, at, block))
    return tuple(sample for sample in samples if since <= sample.at <= until)


def points(folder: Path, series: str, *, since: float, until: float) -> tuple[Point, ...]:
    """Return minutes of a series, or hours for a long span or when its minutes are not kept any more."""
    if until - since <= MINUTES_SPAN and (found := _rollups(folder, "minutes", series, since=since, until=until)):
        return found
    return hours(folder, series, since=since, until=until)


def hours(folder: Path, series: str, *, since: float, until: float) -> tuple[Point, ...]:
    """Return hours of a series."""
    return _rollups(folder, "hours", series, since=since, until=until)


def whole_of(folder: Path, series: str, *, since: float, until: float) -> Aggregate:
    """Return one aggregate of a span; from single samples when the span is short."""
    if until - since <= RAW_SPAN and (samples := raw_samples(folder, series, since=since, until=until)):
        return aggregate_of(samples)
    whole = aggregate_of(())
    for point in points(folder, series, since=since, until=until):
        whole = merged(whole, point.aggregate)
    return whole


def _rollups(folder: Path, level: str, series: str, *, since: float, until: float) -> tuple[Point, ...]:
    question = (
        f"SELECT at, {ROLLUP_COLUMNS} FROM {level} "  # noqa: S608
        "WHERE series = (SELECT id FROM series WHERE name = ?) AND at > ? AND at <= ? ORDER BY at"
    )
    with _reading(folder) as connection:
        rows: Sequence[Sequence[Any]] = connection.execute(question, (series, since - LEVELS[level], until)).fetchall()
    return tuple(Point(float(at), aggregate_from(columns)) for at, *columns in rows)


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection for one question. A store that does not exist yet is an empty one."""
    path = folder / FILE_NAME
    if path.exists():
        with reading(path) as connection:
            yield connection
        return
    with contextlib.closing(sqlite3.connect(":memory:")) as empty:
        empty.executescript(SCHEMA)
        yield empty
