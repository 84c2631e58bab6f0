"""Sessions that were opened before the switch and used after it, beside those that were opened after it."""

from __future__ import annotations

from typing import NamedTuple

from cakravia_verify.analysis.run_timeline import RunTimeline
from cakravia_verify.analysis.series import FOREVER
from cakravia_verify.traffic.ledger.ledger import Ledger
from cakravia_verify.traffic.records.rows import FOLLOW_UP

# A session is a journey: its first request opens it, and its steps use it.
_QUERY = """
SELECT opening.done <= $decided AS is_old, count(DISTINCT opening.id),
       count(DISTINCT opening.id) FILTER (WHERE step.outcome <> 'answered')
FROM ledger step JOIN ledger opening ON opening.id = split_part(step.id, $follow_up, 1)
WHERE contains(step.id, $follow_up) AND NOT list_contains($streams, step.name) AND opening.outcome = 'answered'
  AND step.started >= $effective AND step.started < $until
  AND (opening.done <= $decided OR opening.started >= $effective)
GROUP BY is_old
"""


class SessionCounts(NamedTuple):
    """Sessions used after the switch, and how many of them failed then; None if users were not switched."""

    old: int | None = None
    old_failed: int | None = None
    new: int | None = None
    new_failed: int | None = None


def count_sessions(ledger: Ledger, timeline: RunTimeline) -> SessionCounts:
    """Return the sessions used after the switch, by when they were opened. What follows a second switch is left out."""
    if timeline.first is None or not timeline.has_previous:
        return SessionCounts()
    following = timeline.switchovers[1].decided_at if len(timeline.switchovers) > 1 else FOREVER
    rows = ledger.query(
        _QUERY,
        {
            "decided": timeline.first.decided_at,
            "effective": timeline.first.effective_at,
            "until": following,
            "follow_up": FOLLOW_UP,
            "streams": list(timeline.streams),
        },
    )
    counts = {bool(is_old): (int(used), int(failed)) for is_old, used, failed in rows}
    (old, old_failed), (new, new_failed) = counts.get(True, (0, 0)), counts.get(False, (0, 0))
    return SessionCounts(old, old_failed, new, new_failed)
