"""What several processes of one traffic left, brought together as if one had written it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cakravia_verify.stats.spread import Spread
from cakravia_verify.system.clock import Microseconds, to_microseconds, to_seconds
from cakravia_verify.traffic.records.rows import EVENTS_FILE, REQUESTS_FILE, SUMMARY_FILE, join_parts, part_files

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


def gather(folder: Path, *, parts: int) -> None:
    """requests.csv, events.csv and traffic.json hold what all parts left. Raises OSError where they cannot be written.

    A part that left no readable summary makes the whole end in an error: its records may be incomplete.
    """
    for name in (REQUESTS_FILE, EVENTS_FILE):
        join_parts([folder / part for part in part_files(name, parts)], folder / name)
    merged = merged_summary([_read(folder / part) for part in part_files(SUMMARY_FILE, parts)])
    beside = folder / f"{SUMMARY_FILE}.new"
    beside.write_text(json.dumps(merged, indent=1) + "\n")
    beside.replace(folder / SUMMARY_FILE)


def merged_summary(parts: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """One summary of all; lags are those of all requests together, not means of means."""
    found = [part for part in parts if part is not None]
    lag = Spread()
    for part in found:
        lag.merge(part.get("lag_counts", {}), maximum=int(to_microseconds(part["schedule_lag"]["max"])))
    ends = {part["ended"] for part in found}
    merged: dict[str, Any] = {**(found[0] if found else {}), "processes": len(parts)}
    merged.pop("lag_counts", None)
    merged |= {name: sum(part[name] for part in found) for name in _SUMS}
    merged |= {name: round(sum(part[name] for part in found), 3) for name in _RATES}
    merged["seconds"] = max((part["seconds"] for part in found), default=0.0)
    merged["schedule_lag"] = {
        "p50": to_seconds(Microseconds(lag.quantile(0.5))),
        "p99": to_seconds(Microseconds(lag.quantile(0.99))),
        "max": to_seconds(Microseconds(lag.maximum)),
    }
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
