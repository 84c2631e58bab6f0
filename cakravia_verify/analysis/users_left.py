"""What users get once a release was undone: their version may fail now, after a migration for instance."""

from __future__ import annotations

from typing import Any, Final

from cakravia_verify.analysis.run_timeline import RunTimeline
from cakravia_verify.analysis.since_switch import ENDED_BEFORE
from cakravia_verify.foreign_text import one_line
from cakravia_verify.system.clock import Microseconds
from cakravia_verify.traffic.ledger.ledger import Ledger

_FAILED: Final = "outcome <> 'answered'"
_AFTER: Final = "started >= $left_at AND NOT list_contains($streams, name)"


def users_left(ledger: Ledger, timeline: RunTimeline, *, left_at: Microseconds) -> dict[str, Any]:
    """Return how many requests began since `left_at`, how many failed, and the first failure in words.

    `failed_before` of `sent_before` failed before the release changed anything.
    """
    streams = {"streams": list(timeline.streams)}
    sent, failed = ledger.query(
        f"SELECT count(*), count(*) FILTER (WHERE {_FAILED}) FROM ledger WHERE {_AFTER}",  # noqa: S608 - constants
        {**streams, "left_at": left_at},
    )[0]
    examples = ledger.query(
        "SELECT method, name, coalesce(detail, outcome) FROM ledger "  # noqa: S608 - constants
        f"WHERE {_AFTER} AND {_FAILED} ORDER BY started LIMIT 1",
        {**streams, "left_at": left_at},
    )
    before = ledger.query(
        f"SELECT count(*), count(*) FILTER (WHERE {_FAILED}) FROM ledger WHERE {ENDED_BEFORE}",  # noqa: S608
        {"decided_at": timeline.touched if timeline.touched is not None else Microseconds(0)},
    )[0]
    method, name, why = examples[0] if examples else ("", "", "")
    return {
        "sent": int(sent),
        "failed": int(failed),
        "example": one_line(f"{method} {name}: {why}") if examples else "",
        "sent_before": int(before[0]),
        "failed_before": int(before[1]),
    }
