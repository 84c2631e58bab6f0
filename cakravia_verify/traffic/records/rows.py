"""The client's records: one row for every request, and reading them while they are still written."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cakravia_verify.errors import TrafficError

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

COLUMNS = (
    "id,connection,reused,method,name,planned,started,connected,sent,first_byte,done,"
    "status,bytes,slot,version,served_slot,outcome,detail,strict"
)
EVENT_COLUMNS = "at,connection,kind,detail"

ANSWERED, LOST, ERROR, UNREACHED = "answered", "lost", "error", "unreached"
OUTCOMES = (ANSWERED, LOST, ERROR, UNREACHED)


FOLLOW_UP = "~"
"""Stands in the id of a request that follows from an earlier one: `run-17~1` is the second request of `run-17`."""


def part_files(name: str, parts: int) -> tuple[str, ...]:
    """What a file of the records is called in each of several processes that write together: `requests-0.csv`, ..."""
    stem, _, kind = name.partition(".")
    return (name,) if parts == 1 else tuple(f"{stem}-{part}.{kind}" for part in range(parts))


@dataclass(frozen=True, slots=True)
class Row:
    """One request. Instants are microseconds of CLOCK_MONOTONIC, None where it did not come to that."""

    id: str
    connection: int
    reused: bool
    method: str
    name: str
    planned: int
    started: int
    connected: int | None
    sent: int | None
    first_byte: int | None
    done: int | None
    status: int | None
    bytes: int
    slot: str
    version: str
    served_slot: str
    outcome: str
    detail: str
    strict: bool


def quoted(text: str) -> str:
    """The text as one CSV field of one line: line breaks become spaces, RFC 4180 quotes only where needed."""
    if "\n" in text or "\r" in text:
        text = text.replace("\r", " ").replace("\n", " ")
    if "," in text or '"' in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def format_row(row: Row) -> str:
    """The row as a line of requests.csv, with its line feed."""
    return (
        f"{quoted(row.id)},{row.connection},{int(row.reused)},{quoted(row.method)},{quoted(row.name)},"
        f"{row.planned},{row.started},{_number(row.connected)},{_number(row.sent)},{_number(row.first_byte)},"
        f"{_number(row.done)},{_number(row.status)},{row.bytes},{quoted(row.slot)},{quoted(row.version)},"
        f"{quoted(row.served_slot)},{row.outcome},{quoted(row.detail)},{int(row.strict)}\n"
    )


def _optional(text: str) -> int | None:
    return int(text) if text else None


def row_from(values: list[str]) -> Row:
    """The row that a line's fields spell; raises TrafficError for anything else."""
    try:
        ident, connection, reused, method, name, planned, started, connected, sent, first_byte, done = values[:11]
        status, size, slot, version, served_slot, outcome, detail, strict = values[11:]
        if outcome not in OUTCOMES or reused not in ("0", "1") or strict not in ("0", "1"):
            raise ValueError("not a row")
        return Row(
            id=ident,
            connection=int(connection),
            reused=reused == "1",
            method=method,
            name=name,
            planned=int(planned),
            started=int(started),
            connected=_optional(connected),
            sent=_optional(sent),
            first_byte=_optional(first_byte),
            done=_optional(done),
            status=_optional(status),
            bytes=int(size),
            slot=slot,
            version=version,
            served_slot=served_slot,
            outcome=outcome,
            detail=detail,
            strict=strict == "1",
        )
    except ValueError as error:
        raise TrafficError(
            f"a line of {REQUESTS_FILE} is not a request record: {','.join(values)[:200]!r}",
            remedy="the file was changed by something else, or its disk is full; run the traffic again",
        ) from error


def parse_rows(lines: Iterable[str]) -> list[Row]:
    try:
        return [row_from(values) for values in csv.reader(lines, strict=True) if values]
    except csv.Error as error:
        raise TrafficError(f"a line of {REQUESTS_FILE} is not CSV: {error}", remedy="run the traffic again") from error


class RecordTail:
    """Reads requests.csv while it is written: `read()` returns the rows completed since the last call.

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
            if header != COLUMNS:
                raise TrafficError(
                    f"{self._path} does not start with the columns of a request record: {header[:100]!r}",
                    remedy="read it with the version of this package that wrote it",
                )
            self._header_read = True
        return parse_rows(text.split("\n"))


def read_rows(path: Path) -> list[Row]:
    """Every complete row of a finished file."""
    return RecordTail(path).read()


def join_parts(parts: Sequence[Path], target: Path) -> Path:
    """`target` holds the header of the first part that has one, and every whole line of all of them."""
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
                # A torn line is a row for nobody; where the traffic has ended, the ledger finds it missing.
                joined.truncate(joined.seek(0, os.SEEK_END) - end)
    return target


def _copy_lines(file: BinaryIO, joined: BinaryIO) -> int:
    """Copies what is left of the file; returns how many bytes after the last line feed were copied."""
    torn = 0
    while chunk := file.read(1 << 20):
        joined.write(chunk)
        feed = chunk.rfind(b"\n")
        torn = len(chunk) - feed - 1 if feed >= 0 else torn + len(chunk)
    return torn
