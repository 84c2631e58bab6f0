"""Differences of content that the ledger shows: statuses and sizes of the good answers to each kind of request.

They cover what no side request asks for, such as POST and the steps of journeys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from cakravia_verify.analysis.content import LEAST_BYTES
from cakravia_verify.analysis.run_timeline import RunTimeline
from cakravia_verify.analysis.series import FOREVER
from cakravia_verify.analysis.since_switch import BEGAN_AFTER, ENDED_BEFORE
from cakravia_verify.traffic.ledger.ledger import Ledger

LEAST_ANSWERS: Final = 5
"""How many good answers of each side a comparison needs."""
SHRUNK: Final = 20
"""A packed body may be ten times smaller than the same body unpacked."""

_QUERY: Final = """
SELECT name, count(*), list(DISTINCT status), mode(status), min(bytes), median(bytes)
FROM ledger
WHERE outcome = 'answered' AND strict AND by_slot = $slot AND method <> 'HEAD' AND NOT list_contains($streams, name)
  AND {condition}
GROUP BY name
"""
_BEFORE: Final = _QUERY.format(condition=ENDED_BEFORE)
_AFTER: Final = _QUERY.format(condition=f"{BEGAN_AFTER} AND started < $until")


class GoodAnswers(NamedTuple):
    """The good answers of one slot to one kind of request: their number, their statuses, and the sizes of bodies."""

    number: int
    statuses: Collection[int]
    usual: int
    smallest: int
    median: float


def recorded_changes(ledger: Ledger, timeline: RunTimeline) -> dict[str, str]:
    """Return a large change of the answers by the name of the kind of request; empty without a switch."""
    first = timeline.first
    if first is None or not timeline.has_previous:
        return {}
    until = timeline.switchovers[1].decided_at if len(timeline.switchovers) > 1 else FOREVER
    streams = list(timeline.streams)
    old = {"slot": str(first.colour.other), "streams": streams, "decided_at": first.decided_at}
    new = {"slot": str(first.colour), "streams": streams, "effective_at": first.effective_at, "until": until}
    before, after = _answers(ledger.query(_BEFORE, old)), _answers(ledger.query(_AFTER, new))
    found = {name: change_of(before[name], answers) for name, answers in after.items() if name in before}
    return {name: change for name, change in found.items() if change}


def change_of(before: GoodAnswers, after: GoodAnswers) -> str:
    """Return the large change from the answers of one slot to those of the other, '' if there is none."""
    if min(before.number, after.number) < LEAST_ANSWERS:
        return ""
    if after.usual not in before.statuses:
        return f"status {after.usual} instead of {' or '.join(map(str, sorted(before.statuses)))}"
    if before.smallest and not after.median:
        return f"an empty body instead of {before.median:,.0f} bytes"
    if before.smallest >= LEAST_BYTES and after.median * SHRUNK < before.smallest:
        return f"{after.median:,.0f} bytes instead of {before.median:,.0f}"
    return ""


def _answers(rows: Iterable[tuple[Any, ...]]) -> dict[str, GoodAnswers]:
    return {name: GoodAnswers(*facts) for name, *facts in rows}
