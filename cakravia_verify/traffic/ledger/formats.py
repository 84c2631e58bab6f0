"""The formats of the raw files: columns with their DuckDB types, and readers for what DuckDB refuses."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from cakravia_verify.errors import TrafficError
from cakravia_verify.traffic.records.rows import COLUMNS, EVENT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Columns of few values become dictionaries; trying it with all others and giving up costs time for nothing.
PARQUET = "PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 64"
_TORN_BYTES = 1 << 20
_CSV_BUFFER = 8_000_000
_LONGEST_LINE = 1 << 20
_LIMITS = {"SMALLINT": (1 << 15) - 1}

CLIENT_TYPES = {column.name: column.sql for column in COLUMNS}
EVENT_TYPES = {column.name: column.sql for column in EVENT_COLUMNS}
# Of the access log and of the request log only what the ledger or a finding shows: each column more costs its time.
PROXY_TYPES = {
    "at": "DOUBLE",
    "id": "VARCHAR",
    "method": "VARCHAR",
    "uri": "VARCHAR",
    "status": "SMALLINT",
    "time": "DOUBLE",
    "slot": "VARCHAR",
    "upstream": "VARCHAR",
    "upstream_status": "VARCHAR",
    "pinned": "VARCHAR",
}
APPLICATION_TYPES = {
    "event": "VARCHAR",
    "at_us": "BIGINT",
    "id": "VARCHAR",
    "slot": "VARCHAR",
    "version": "VARCHAR",
    "method": "VARCHAR",
    "path": "VARCHAR",
    "status": "SMALLINT",
}
APPLICATION_KEPT = {name: kind for name, kind in APPLICATION_TYPES.items() if name not in ("method", "status")}


def json_reader() -> str:
    """Return the table function that reads an access log; its parameter is the path. Unreadable lines become NULL."""
    return f"read_ndjson(?, columns = {PROXY_TYPES}, ignore_errors = true, maximum_object_size = {_LONGEST_LINE})"


def wash_json_lines(path: Path, washed: Path) -> tuple[list[str], bool]:
    """Copy the readable rows of an access log. Returns the text of the others, and whether the last line was torn.

    nginx escapes control characters but passes bytes above 0x7f as they came, so a stranger's address may not be
    UTF-8: that alone does not make a row malformed.
    """
    malformed, is_torn = [], False
    with washed.open("w", encoding="utf-8") as clean:
        for line, is_whole in _lines(path):
            text = line.decode("utf-8", "replace")
            row = json_row(text)
            if row is None and not is_whole:
                is_torn = True
            elif row is None:
                malformed.append(text)
            else:
                clean.write(json.dumps(row) + "\n")
    return malformed, is_torn


def json_row(text: str) -> dict[str, Any] | None:
    """Return the row of an access log that a line holds, with the columns of PROXY_TYPES; None if it is no row."""
    try:
        row = json.loads(text) if len(text) < _LONGEST_LINE // 2 else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    kept = {name: _as_type(row.get(name), kind) for name, kind in PROXY_TYPES.items()}
    is_row = isinstance(kept["id"], str) and isinstance(kept["at"], float) and isinstance(kept["status"], int)
    return kept if is_row else None


def _as_type(value: Any, kind: str) -> str | float | int | None:
    """Return the value in the type of the column, or None if it does not fit."""
    if kind == "VARCHAR":
        return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if kind == "DOUBLE":
        return float(value)
    return value if isinstance(value, int) and abs(value) <= _LIMITS[kind] else None


def _lines(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Yield every line that is not blank, without its line feed, and whether it had one."""
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield line.rstrip(b"\r\n"), line.endswith(b"\n")


def tail_of(path: Path) -> str:
    """Return the text after the last line feed."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _TORN_BYTES))
        return file.read().rpartition(b"\n")[2].decode("utf-8", "replace")


def header_of(path: Path, needed: dict[str, str]) -> dict[str, str]:
    """Return the file's own columns in their order, with types. Raises TrafficError if a needed one is missing."""
    try:
        with path.open("rb") as file:
            names = file.readline(65_536).decode("utf-8", "replace").strip().split(",")
    except OSError as error:
        raise TrafficError(
            f"{path}: {error.strerror}", remedy="run the traffic again; without records nothing is proven"
        ) from error
    missing = [name for name in needed if name not in names]
    if missing or len(set(names)) != len(names):
        raise TrafficError(
            f"{path} does not start with the columns of a request record: {', '.join(missing) or 'a name twice'}",
            remedy="read it with the version of this package that wrote it",
        )
    return {name: needed.get(name, "VARCHAR") for name in names}


def csv_reader(types: dict[str, str], *, quote: bool) -> str:
    """Return the table function that reads separated text; its parameter is the path. Bad lines become rejects."""
    marks = (
        "quote = '\"', escape = '\"', header = true, delim = ','"
        if quote
        else "quote = '', escape = '', header = false, delim = '\t'"
    )
    columns = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in types.items()) + "}"
    return (
        f"read_csv(?, columns = {columns}, auto_detect = false, {marks}, "
        f"store_rejects = true, buffer_size = {_CSV_BUFFER})"
    )
