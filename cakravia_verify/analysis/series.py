"""The series that a report shows: intervals of time, windows around switches, the longest silences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cakravia_verify.analysis import windows
from cakravia_verify.analysis.model import Bucket, ReportWindow
from cakravia_verify.system.clock import SECOND, Microseconds, to_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cakravia_verify.analysis.run_timeline import RunTimeline
    from cakravia_verify.traffic.ledger.ledger import Ledger

FOREVER = Microseconds(1 << 62)
# No interval of the chart is shorter.
NARROWEST = Microseconds(100_000)


def buckets(ledger: Ledger, timeline: RunTimeline, *, most: int = 240) -> Sequence[Bucket]:
    """Return the run in equal intervals of 100 ms or a multiple of it: at most `most`, and one for the last instant.

    An interval in which no request was planned has no bucket.
    """
    bounds = ledger.query("SELECT min(planned), max(planned) FROM ledger")[0]
    if bounds[0] is None:
        return []
    origin, last = Microseconds(bounds[0]), Microseconds(bounds[1])
    width = NARROWEST * max(1, math.ceil((last - origin) / (NARROWEST * most)))
    slices = ledger.query(
        "SELECT (planned - $origin) // $width AS slice, count(*) FILTER (WHERE outcome = 'answered'), "
        "count(*) FILTER (WHERE outcome IN ('lost', 'unreached')), count(*) FILTER (WHERE outcome = 'error'), "
        "quantile_disc(latency, 0.5) FILTER (WHERE outcome = 'answered' AND NOT list_contains($streams, name)), "
        "quantile_disc(latency, 0.99) FILTER (WHERE outcome = 'answered' AND NOT list_contains($streams, name)) "
        "FROM ledger GROUP BY 1 ORDER BY 1",
        {"origin": origin, "width": width, "streams": list(timeline.streams)},
    )
    slots = ledger.query(
        "SELECT (planned - $origin) // $width, by_slot, count(*) FROM ledger "
        "WHERE outcome = 'answered' AND by_slot IS NOT NULL GROUP BY 1, 2",
        {"origin": origin, "width": width},
    )
    by_slice: dict[int, dict[str, int]] = {}
    for index, slot, number in slots:
        by_slice.setdefault(int(index), {})[str(slot)] = int(number)
    zero = timeline.touched if timeline.touched is not None else origin
    return [
        Bucket(
            at=to_seconds(origin + int(index) * width - zero),
            seconds=to_seconds(width),
            answered=int(answered),
            lost=int(lost),
            errors=int(errors),
            p50=in_seconds(p50),
            p99=in_seconds(p99),
            by_slot=by_slice.get(int(index), {}),
        )
        for index, answered, lost, errors, p50, p99 in slices
    ]


def windows_of(ledger: Ledger, timeline: RunTimeline, *, around: Microseconds = SECOND) -> Sequence[ReportWindow]:
    """Return the windows before, during and after each switch.

    "During" is from the decision to one second after the switch was effective.
    """
    found: list[ReportWindow] = []
    for index, switch in enumerate(timeline.switchovers):
        last = index + 1 == len(timeline.switchovers)
        what = "the switch" if index == 0 else "the rollback" if index == 1 else f"switch {index + 1}"
        begin = timeline.switchovers[index - 1].effective_at + around if index else Microseconds(0)
        end = FOREVER if last else timeline.switchovers[index + 1].decided_at
        spans = (
            (f"before {what}", begin, switch.decided_at),
            (f"during {what}", switch.decided_at, switch.effective_at + around),
            *(((f"after {what}", switch.effective_at + around, end),) if last else ()),
        )
        found += [_window(ledger, name, since, until, timeline) for name, since, until in spans]
    return found


def _window(ledger: Ledger, name: str, since: Microseconds, until: Microseconds, timeline: RunTimeline) -> ReportWindow:
    part = windows.window(ledger, name, start=since, end=until, without=timeline.streams)
    # A window ends with the run: before the first request and after the last one there is no silence.
    gap = None
    if part.counts.total:
        low, high = map(Microseconds, ledger.query("SELECT min(planned), max(planned) FROM ledger")[0])
        gap = windows.longest_gap(ledger, rate_planned=timeline.rate, start=max(since, low), end=min(until, high))
    return ReportWindow(
        name=name,
        requests=part.counts.total,
        lost=part.counts.lost + part.counts.unreached,
        errors=part.counts.error,
        p50=in_seconds(part.quantile(0.5)),
        p99=in_seconds(part.quantile(0.99)),
        longest_gap=to_seconds(gap.duration) if gap else None,
    )


def longest_gap(ledger: Ledger, timeline: RunTimeline) -> float | None:
    """Return the longest time in seconds without a good answer to any client."""
    gap = windows.longest_gap(ledger, rate_planned=timeline.rate)
    return to_seconds(gap.duration) if gap else None


def longest_gap_of_one(ledger: Ledger, timeline: RunTimeline) -> dict[str, object]:
    """Return the longest time without a good answer on one connection, without streams."""
    gaps = windows.longest_gaps_by_connection(ledger, rate_planned=timeline.rate, first=1, without=timeline.streams)
    return {
        key: value
        for gap in gaps
        for key, value in {
            "seconds": to_seconds(gap.duration),
            "connection": gap.connection,
            "requests_expected": round(gap.expected, 1),
            "failed": gap.failed,
        }.items()
    }


def in_seconds(microseconds: int | Microseconds | None) -> float | None:
    """Return a number of the ledger in seconds; None stays None."""
    return None if microseconds is None else to_seconds(Microseconds(int(microseconds)))
