"""From the history and the report folders to the releases that the page lists."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from cakravia_verify.history.journal_file import Entries
from cakravia_verify.history.releases import PROMOTED, ROLLED_BACK, STUCK, UNPROVEN, Record, newest_records
from cakravia_verify.monitor.web.snapshot import MeasuredTraffic, ReleaseRow, RequestWindow, Standing, StepEnd, StepSpan
from cakravia_verify.report.verdict.model import FILE_NAME

MOST_ROWS: Final = 8
MOST_LOST_ROWS: Final = 10
LONGEST_TEXT: Final = 200
REPORT: Final = "report.html"
# A verdict is some 30 KB. What is larger by far is not read into the monitor's memory.
_LARGEST: Final = 8 * 1024 * 1024
_LOST_COLUMNS: Final = ("id", "method", "name", "status", "served_slot", "detail")
_STANDINGS: Final = {
    PROMOTED: Standing.GOOD,
    UNPROVEN: Standing.WARNING,
    ROLLED_BACK: Standing.WARNING,
    STUCK: Standing.BAD,
    "": Standing.UNKNOWN,
}


class ReleaseRows:
    """The newest releases with their verdicts. A verdict is read once."""

    def __init__(self, reports: Path) -> None:
        self._reports = reports
        self._verdicts: dict[str, Mapping[str, Any]] = {}

    def rows(self, entries: Entries) -> tuple[ReleaseRow, ...]:
        """Return the newest releases, newest first. Raises JournalError if the history describes none of them."""
        rows = tuple(self._row(record) for record in newest_records(entries, MOST_ROWS))
        self._verdicts = {row.release: self._verdicts[row.release] for row in rows if row.release in self._verdicts}
        return rows

    def _row(self, record: Record) -> ReleaseRow:
        intent, verdict = record.intent, self._verdict(record)
        has_page = bool(verdict) and (self._reports / intent.release / REPORT).is_file()
        return ReleaseRow(
            release=cut(intent.release),
            kind=intent.policy.title,
            version=cut(intent.version),
            from_version=cut(intent.active_version),
            colour=str(intent.candidate),
            at=_seconds(record.at),
            seconds=record.seconds,
            standing=_STANDINGS.get(record.outcome, Standing.UNKNOWN),
            outcome=cut(record.outcome or "not finished"),
            why=cut(record.why),
            who=cut(record.who),
            reason=cut(intent.reason),
            phases=tuple(_phases(record)),
            report=f"{quote(intent.release)}/{REPORT}" if has_page else "",
            traffic=_traffic(verdict),
        )

    def _verdict(self, record: Record) -> Mapping[str, Any]:
        release = record.intent.release
        if release not in self._verdicts and record.is_finished and _is_file_name(release):
            found = _read(self._reports / release / FILE_NAME)
            if found:
                self._verdicts[release] = _needed(found)
        return self._verdicts.get(release, {})


def cut(text: object, limit: int = LONGEST_TEXT) -> str:
    """Return the text, shortened: what applications and people write must not make the page large."""
    said = str(text)
    return said if len(said) <= limit else f"{said[: limit - 1]}…"


def _is_file_name(release: str) -> bool:
    return bool(release) and release not in (".", "..") and "/" not in release and "\0" not in release


def _read(path: Path) -> Mapping[str, Any]:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        if path.stat().st_size <= _LARGEST:
            value = json.loads(path.read_bytes())
            if isinstance(value, dict):
                return value
    return {}


def _needed(verdict: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parts that the page shows: the rest of a verdict is not kept in memory."""
    evidence = verdict.get("evidence")
    measured = evidence.get("measured") if isinstance(evidence, dict) else None
    rows = verdict.get("lost_rows")
    return {
        "measured": measured if isinstance(measured, dict) else {},
        "windows": [each for each in verdict.get("windows") or () if isinstance(each, dict)][:6],
        "lost_rows": [each for each in rows if isinstance(each, dict)][:MOST_LOST_ROWS] if rows else [],
    }


def _phases(record: Record) -> Iterator[StepSpan]:
    seconds = dict(record.step_seconds)
    for step in record.begun:
        if step in record.undone:
            yield StepSpan(cut(step), StepEnd.UNDONE, seconds.get(step))
        elif step in seconds:
            yield StepSpan(cut(step), StepEnd.DONE, seconds[step])
        else:
            yield StepSpan(cut(step), StepEnd.UNFINISHED, None)


def _traffic(verdict: Mapping[str, Any]) -> MeasuredTraffic | None:
    if not verdict or not verdict["measured"]:
        return None
    measured = verdict["measured"]
    rows: Sequence[Mapping[str, Any]] = verdict["lost_rows"]
    columns = tuple(name for name in _LOST_COLUMNS if any(row.get(name) not in (None, "") for row in rows))
    return MeasuredTraffic(
        sent=_count(measured.get("sent")),
        lost=_count(measured.get("lost")),
        lost_bound=cut(measured.get("lost_bound") or ""),
        windows=tuple(_window(each) for each in verdict["windows"]),
        lost_columns=columns,
        lost_rows=tuple(tuple(cut(_plain(row.get(name)), 80) for name in columns) for row in rows),
    )


def _window(row: Mapping[str, Any]) -> RequestWindow:
    return RequestWindow(
        name=cut(row.get("name", ""), 40),
        requests=_count(row.get("requests")) or 0,
        lost=_count(row.get("lost")) or 0,
        errors=_count(row.get("errors")) or 0,
        p50=number(row.get("p50")),
        p99=number(row.get("p99")),
        longest_gap=number(row.get("longest_gap")),
    )


def _plain(value: object) -> str:
    return "" if value is None else str(value)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: object) -> float | None:
    """Return a number that a file may hold, None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(float(value)) < 1e300 else None  # type: ignore[arg-type]


def _seconds(at: str) -> float:
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(at).timestamp()
    return 0.0
