"""Merge the records of several traffic processes into those that one process would have written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cakravia_verify.system.clock import to_microseconds
from cakravia_verify.traffic.records.rows import EVENTS_FILE, REQUESTS_FILE, SUMMARY_FILE, join_parts, part_files
from cakravia_verify.traffic.records.schedule_lag import ScheduleLag

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SUMS = (
    "planned",
    "started",
    "finished",
    "never_started",
    "unfinished",
    "answered",
    "lost",
    "error",
    "unreached",
    "foreign",
    "follow_ups",
    "users",
    "connections",
    "idle_closes",
)
_RATES = ("rate_planned", "rate_achieved")


def merge_records(folder: Path, *, parts: int) -> None:
    """Write requests.csv, events.csv and traffic.json from the files of all parts.

    If a part left no readable summary, the whole ends in an error: its records may be incomplete. Raises OSError if a
    file cannot be written.
    """
    for name in (REQUESTS_FILE, EVENTS_FILE):
        join_parts([folder / part for part in part_files(name, parts)], folder / name)
    merged = merged_summary([_read(folder / part) for part in part_files(SUMMARY_FILE, parts)])
    beside = folder / f"{SUMMARY_FILE}.new"
    beside.write_text(json.dumps(merged, indent=1) + "\n")
    beside.replace(folder / SUMMARY_FILE)


def merged_summary(parts: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """Return one summary of all parts; its lags are those of all requests together."""
    found = [part for part in parts if part is not None]
    lag = ScheduleLag()
    for part in found:
        lag.merge(part.get("lag_counts", {}), maximum=to_microseconds(part["schedule_lag"]["max"]))
    ends = {part["ended"] for part in found}
    merged: dict[str, Any] = {**(found[0] if found else {}), "processes": len(parts)}
    merged.pop("lag_counts", None)
    merged |= {name: sum(part[name] for part in found) for name in _SUMS}
    merged |= {name: round(sum(part[name] for part in found), 3) for name in _RATES}
    merged["seconds"] = max((part["seconds"] for part in found), default=0.0)
    merged["schedule_lag"] = lag.in_seconds()
    merged["ended"] = ends.pop() if len(ends) == 1 and len(found) == len(parts) else "error"
    return merged


def _read(path: Path) -> dict[str, Any] | None:
    try:
        summary = json.loads(path.read_text())
        return (
            summary if isinstance(summary, dict) and all(name in summary for name in (*_SUMS, "schedule_lag")) else None
        )
    except (OSError, ValueError):
        return None
