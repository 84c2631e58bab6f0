"""The client's records: one row for every request, also read while they are written."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cakravia_verify.errors import TrafficError
from cakravia_verify.system.clock import Microseconds
from cakravia_verify.traffic.records.columns import AbsentText, Status, columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import BinaryIO

REQUESTS_FILE = "requests.csv"
EVENTS_FILE = "events.csv"
SUMMARY_FILE = "traffic.json"
LOG_FILE = "traffic.log"
PLAN_FILE = "traffic-plan.json"
LOCUST_REPORT_FILE = "locust.html"

FOLLOW_UP = "~"
"""Stands in the id of a request that follows from an earlier one: `run-17~1` is the second request of `run-17`."""


def part_files(name: str, parts: int) -> tuple[str, ...]:
    """Return the names of a file of the records in each of several processes: `requests-0.csv`, ..."""
    stem, _, kind = name.partition(".")
    return (name,) if parts == 1 else tuple(f"{stem}-{part}.{kind}" for part in range(parts))


class Outcome(StrEnum):
    """What became of a request; each request has exactly one outcome (docs/LEDGER.md)."""

    ANSWERED = "answered"
    LOST = "lost"
    ERROR = "error"
    UNREACHED = "unreached"


@dataclass(frozen=True, slots=True)
class Row:
    """One request: the one definition of the columns of requests.csv and of the ledger's columns from the client.

    Instants are of CLOCK_MONOTONIC. An instant is None if the request did not get that far.
    """

    id: str
    connection: int
    reused: bool
    method: str
    name: str
    planned: Microseconds
    started: Microseconds
    connected: Microseconds | None
    sent: Microseconds | None
    first_byte: Microseconds | None
    done: Microseconds | None
    status: Status | None
    bytes: int
    slot: AbsentText
    version: AbsentText
    served_slot: AbsentText
    outcome: Outcome
    detail: AbsentText
    strict: bool

    @property
    def ended(self) -> Microseconds:
        """When the request ended, or when it started if no end is recorded."""
        return self.done or self.started


@dataclass(frozen=True, slots=True)
class ConnectionEvent:
    """What happened to a connection without a request in flight: the one definition of the columns of events.csv."""

    at: Microseconds
    connection: int
    kind: str
    detail: AbsentText


IDLE_CLOSE = "idle_close"

COLUMNS = columns_of(Row)
EVENT_COLUMNS = columns_of(ConnectionEvent)
HEADER = ",".join(column.name for column in COLUMNS)
EVENT_HEADER = ",".join(column.name for column in EVENT_COLUMNS)

ANSWERED, LOST, ERROR, UNREACHED = Outcome
"""For the client: Python 3.11 takes 0.1 us for an attribute of an enum."""


def line_of(
    id: object,
    connection: object,
    reused: object,
    method: object,
    name: object,
    planned: object,
    started: object,
    connected: object,
    sent: object,
    first_byte: object,
    done: object,
    status: object,
    bytes: object,
    slot: object,
    version: object,
    served_slot: object,
    outcome: object,
    detail: object,
    strict: object,
) -> str:
    """Return a line of requests.csv from fields that are CSV text, or become it by `str`.

    The one writer of the columns, called for every request: put together from COLUMNS it would take three times as
    long. `format_row` calls it with the names and in the order of COLUMNS, so it cannot differ from them unnoticed.
    """
    return (
        f"{id},{connection},{reused},{method},{name},{planned},{started},{connected},{sent},{first_byte},{done},"
        f"{status},{bytes},{slot},{version},{served_slot},{outcome},{detail},{strict}\n"
    )


def format_row(row: Row) -> str:
    """Return the row as a line of requests.csv, with its line feed."""
    return line_of(**{column.name: column.write(getattr(row, column.name)) for column in COLUMNS})


def format_event(event: ConnectionEvent) -> str:
    """Return the event as a line of events.csv, with its line feed."""
    return ",".join(column.write(getattr(event, column.name)) for column in EVENT_COLUMNS) + "\n"


_READERS = tuple(column.read for column in COLUMNS)


def row_from(values: list[str]) -> Row:
    """Return the row that the fields of a line hold. Raises TrafficError if they are no row."""
    try:
        return Row(*[read(value) for read, value in zip(_READERS, values, strict=True)])
    except (ValueError, KeyError) as error:
        raise TrafficError(
            f"a line of {REQUESTS_FILE} is not a request record: {','.join(values)[:200]!r}",
            remedy="another program changed the file, or its disk is full; run the traffic again",
        ) from error


def parse_rows(lines: Iterable[str]) -> list[Row]:
    try:
        return [row_from(values) for values in csv.reader(lines, strict=True) if values]
    except csv.Error as error:
        raise TrafficError(f"a line of {REQUESTS_FILE} is not CSV: {error}", remedy="run the traffic again") from error


class RecordTail:
    """Read requests.csv while it is written: `read()` returns the rows completed since the last call.

    A last line without its line feed is left for the next call, so a torn line is never a row.
    """

    _CHUNK = 1 << 20

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self._header_read = False

    def read(self) -> list[Row]:
        rows: list[Row] = []
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                while chunk := file.read(self._CHUNK):
                    self._offset += len(chunk)
                    rows.extend(self._complete(chunk))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise TrafficError(
                f"{self._path}: {error.strerror}", remedy="give this user the right to read it"
            ) from error
        return rows

    def _complete(self, chunk: bytes) -> list[Row]:
        whole, feed, self._rest = (self._rest + chunk).rpartition(b"\n")
        if not feed:
            return []
        text = whole.decode("utf-8", "replace")
        if not self._header_read:
            header, _, text = text.partition("\n")
            if header != HEADER:
                raise TrafficError(
                    f"{self._path} does not start with the columns of a request record: {header[:100]!r}",
                    remedy="read it with the version of this package that wrote it",
                )
            self._header_read = True
        return parse_rows(text.split("\n"))


def read_rows(path: Path) -> list[Row]:
    """Return every complete row of a finished file."""
    return RecordTail(path).read()


def join_parts(parts: Sequence[Path], target: Path) -> Path:
    """Write the header of the first part that has one, and every complete line of all parts, to `target`."""
    with target.open("wb") as joined:
        header = b""
        for part in parts:
            if not part.exists():
                continue
            with part.open("rb") as file:
                first = file.readline()
                if first and not header:
                    header = first
                    joined.write(first)
                end = _copy_lines(file, joined)
            if end:
                # A torn line is no row. If the traffic has ended, the ledger reports that the row is missing.
                joined.truncate(joined.seek(0, os.SEEK_END) - end)
    return target


def _copy_lines(file: BinaryIO, joined: BinaryIO) -> int:
    """Copy the rest of the file. Returns how many bytes after the last line feed were copied."""
    torn = 0
    while chunk := file.read(1 << 20):
        joined.write(chunk)
        feed = chunk.rfind(b"\n")
        torn = len(chunk) - feed - 1 if feed >= 0 else torn + len(chunk)
    return torn
