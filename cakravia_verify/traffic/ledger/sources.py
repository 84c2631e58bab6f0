"""The raw files of a run, read into DuckDB without losing or trusting a row.

What cannot be read is kept as raw text and becomes a finding. Formats: the client's requests.csv and events.csv,
nginx's access log (one JSON object a line), the applications' request logs (tab-separated).
"""
# ruff: noqa: S608 - the SQL is put together from constants of this package and escaped paths only

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cakravia_verify.errors import TrafficError
from cakravia_verify.traffic.ledger.formats import (
    APPLICATION_KEPT,
    APPLICATION_TYPES,
    CLIENT_TYPES,
    EVENT_TYPES,
    PARQUET,
    PROXY_TYPES,
    csv_reader,
    header_of,
    json_reader,
    json_row,
    tail_of,
    wash_json_lines,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

# Ids count upwards and every log is nearly in their order, so rows of one block lie together in all three. Two Parquet
# row groups: each of two threads writes a whole one.
BLOCK = 245_760
_LONGEST_EXAMPLE = 2000
# Blocks of rows that take no part: ids of other people, and rows that are none.
_FOREIGN, _UNREADABLE = -100, -101


@dataclass(frozen=True)
class RawFiles:
    """The files of one run; logs that do not exist for a run are None or not listed."""

    requests: Path
    access_log: Path | None = None
    application_logs: tuple[Path, ...] = ()
    events: Path | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        given = (self.requests, self.access_log, *self.application_logs, self.events)
        return tuple(path for path in given if path is not None)

    @property
    def missing(self) -> tuple[Path, ...]:
        return tuple(path for path in self.all if not path.is_file())

    def without(self, missing: Sequence[Path]) -> RawFiles:
        """Return the same files except the missing ones."""
        return RawFiles(
            self.requests,
            None if self.access_log in missing else self.access_log,
            tuple(path for path in self.application_logs if path not in missing),
            None if self.events in missing else self.events,
        )


@dataclass
class Staged:
    """The result of reading one file: its number of rows, lines that are no rows, and a last line that was cut."""

    role: str
    path: Path
    rows: int = 0
    foreign: int = 0
    is_torn: bool = False
    malformed: list[str] = field(default_factory=list)


def _forgive_torn_line(staged: Staged) -> None:
    tail = tail_of(staged.path)
    if tail and staged.malformed and staged.malformed[-1].strip("\r\n") == tail.strip("\r\n")[:_LONGEST_EXAMPLE]:
        staged.malformed.pop()
        staged.is_torn = True


def fingerprint(path: Path) -> str:
    """Return the file's SHA-256 as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Stage:
    """Read raw files into typed Parquet below a scratch folder, as the views client, proxy and application.

    Each row carries its `block`. Files go through Parquet because a join over whole logs would need memory by their
    length: a join over one block of each does not, and Parquet finds a block without reading the others.
    """

    def __init__(self, database: DuckDBPyConnection, scratch: Path) -> None:
        self._database = database
        self._scratch = scratch

    def everything(self, files: RawFiles, *, run: str) -> list[Staged]:
        """Make all views and the table `events`; the client's file is first. Without `run` its ids define the run."""
        client = self.client(files.requests)
        prefixes = [f"{run}-"] if run else self._prefixes()
        others = [
            self.proxy(files.access_log, prefixes),
            *self.applications(files.application_logs, prefixes),
            self.events(files.events),
        ]
        return [client, *(staged for staged in others if staged is not None)]

    def client(self, path: Path) -> Staged:
        """Make the view `client` from requests.csv; columns may stand in any order and new ones are ignored."""
        staged = Staged("client", path)
        reader = csv_reader(header_of(path, CLIENT_TYPES), quote=True)
        self._read_text(staged, reader, CLIENT_TYPES, _BLOCK_SQL, "client")
        self._show("client", CLIENT_TYPES)
        staged.rows = self._count(self._file("client"), "true")
        return staged

    def events(self, path: Path | None) -> Staged | None:
        """Make the table `events`, empty if there is no file."""
        columns = ", ".join(f'"{name}" {kind}' for name, kind in EVENT_TYPES.items())
        self._database.execute(f"CREATE TABLE events ({columns})")
        if path is None or path.stat().st_size == 0:
            return None
        staged = Staged("events", path)
        self._read_text(staged, csv_reader(header_of(path, EVENT_TYPES), quote=True), EVENT_TYPES, "0", "events")
        self._database.execute(f"INSERT INTO events SELECT * EXCLUDE (block) FROM {self._file('events')}")
        staged.rows = self._count("events", "true")
        return staged

    def applications(self, paths: Sequence[Path], prefixes: Sequence[str]) -> list[Staged]:
        """Make the view `application` with the rows of all logs whose id is of this run."""
        bad = "event IS NULL OR event NOT IN ('begin', 'end')"
        result = []
        for number, path in enumerate(paths):
            staged = Staged("application", path)
            if path.stat().st_size:
                name = f"application-{number}"
                reader = csv_reader(APPLICATION_TYPES, quote=False)
                self._read_text(staged, reader, APPLICATION_KEPT, _block_of_ours(prefixes, bad), name)
                self._count_rows(staged, name)
                fields = ", ".join(f"coalesce({column}::VARCHAR, '')" for column in APPLICATION_KEPT)
                staged.malformed += self._texts(
                    f"SELECT concat_ws(chr(9), {fields}) FROM {self._file(name)} WHERE block = {_UNREADABLE}"
                )
                _forgive_torn_line(staged)
            result.append(staged)
        self._show("application", APPLICATION_KEPT)
        return result

    def proxy(self, path: Path | None, prefixes: Sequence[str]) -> Staged | None:
        """Make the view `proxy` with the rows of the access log whose id is of this run.

        DuckDB reads the lines fast, but says only that some could not be read; where there are any, the file is washed
        line by line.
        """
        if path is None:
            self._show("proxy", PROXY_TYPES)
            return None
        staged = Staged("proxy", path)
        if path.stat().st_size:
            tail = tail_of(path)
            staged.is_torn = bool(tail) and json_row(tail) is None
            if self._read_json(path, prefixes) != int(staged.is_torn):
                washed = self._scratch / "access.washed"
                malformed, staged.is_torn = wash_json_lines(path, washed)
                staged.malformed += [text[:_LONGEST_EXAMPLE] for text in malformed]
                if self._read_json(washed, prefixes) != 0:
                    raise TrafficError(f"{path} cannot be read as nginx's access log", remedy="look at the file")
                washed.unlink()
            self._count_rows(staged, "proxy-0")
        self._show("proxy", PROXY_TYPES)
        return staged

    def _prefixes(self) -> list[str]:
        """Return the parts of the client's ids before their last number, with the dash."""
        found = self._texts(
            "SELECT DISTINCT id[1:length(id) - length(split_part(id, '-', -1))] FROM client WHERE contains(id, '-')"
        )
        return sorted(prefix for prefix in found if prefix not in ("", "-"))

    def _read_json(self, path: Path, prefixes: Sequence[str]) -> int:
        """Return the number of lines that are no row, or -1 if the file could not be read to its end."""
        import duckdb

        bad = 'status IS NULL OR "at" IS NULL OR id IS NULL'
        try:
            self._copy(json_reader(), path, PROXY_TYPES, _block_of_ours(prefixes, bad), "proxy-0")
        except duckdb.Error:
            return -1
        return self._count(self._file("proxy-0"), f"block = {_UNREADABLE}")

    def _read_text(self, staged: Staged, reader: str, types: dict[str, str], block: str, name: str) -> None:
        """Read separated text; lines that cannot be read become malformed ones."""
        import duckdb

        self._database.execute("DROP TABLE IF EXISTS reject_errors")
        self._database.execute("DROP TABLE IF EXISTS reject_scans")
        try:
            self._copy(reader, staged.path, types, block, name)
        except duckdb.Error as error:
            raise TrafficError(
                f"{staged.path} cannot be read as the {staged.role}'s log: {str(error).splitlines()[0]}",
                remedy="look at the file; nothing can be proven from this run",
            ) from error
        staged.malformed += self._texts(
            "SELECT any_value(csv_line) FROM reject_errors GROUP BY line_byte_position ORDER BY line_byte_position"
        )
        _forgive_torn_line(staged)

    def _copy(self, reader: str, path: Path, types: dict[str, str], block: str, name: str) -> None:
        chosen = ", ".join(f'"{column}"' for column in types)
        self._database.execute(
            f"COPY (SELECT {block} AS block, {chosen} FROM {reader}) "
            f"TO {self._file(name)} (FORMAT parquet, COMPRESSION snappy, {PARQUET})",
            [str(path)],
        )

    def _show(self, view: str, types: dict[str, str]) -> None:
        if list(self._scratch.glob(f"{view}*.parquet")):
            rows = f"FROM read_parquet({self._file(f'{view}*')})"
        else:
            rows = "SELECT 0::BIGINT AS block, " + ", ".join(
                f'NULL::{kind} AS "{name}"' for name, kind in types.items()
            )
            rows += " LIMIT 0"
        self._database.execute(f"CREATE TEMP VIEW {view} AS {rows}")

    def _file(self, name: str) -> str:
        """Return the staged file's path as an SQL string."""
        return "'" + str(self._scratch / f"{name}.parquet").replace("'", "''") + "'"

    def _count_rows(self, staged: Staged, name: str) -> None:
        source = self._file(name)
        staged.foreign = self._count(source, f"block = {_FOREIGN}")
        staged.rows = self._count(source, f"block > {_FOREIGN}")

    def _count(self, source: str, condition: str) -> int:
        row = self._database.execute(f"SELECT count(*) FROM {source} WHERE {condition}").fetchone()
        return int(row[0]) if row else 0

    def _texts(self, question: str) -> list[str]:
        return [str(text)[:_LONGEST_EXAMPLE] for (text,) in self._database.execute(question).fetchall()]


_LAST_NUMBER = "try_cast(split_part(id, '-', -1) AS UBIGINT)"
_BLOCK_SQL = f"coalesce((({_LAST_NUMBER} // {BLOCK}) % 4096)::BIGINT, -1 - (hash(id) % 64)::BIGINT, -65)"


def _block_of_ours(prefixes: Sequence[str], bad: str) -> str:
    """Return the SQL for the block of a row: rows of other runs and unreadable rows have blocks of their own."""
    quoted = ["'" + prefix.replace("'", "''") + "'" for prefix in prefixes]
    ours = " OR ".join(f"starts_with(id, {prefix})" for prefix in quoted) or "false"
    return f"CASE WHEN {bad} THEN {_UNREADABLE} WHEN coalesce({ours}, false) THEN {_BLOCK_SQL} ELSE {_FOREIGN} END"
