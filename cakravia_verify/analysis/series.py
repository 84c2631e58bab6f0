"""The slices of a run that a report draws: columns of time, windows around switches, the longest silences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cakravia_verify.analysis import windows
from cakravia_verify.analysis.model import Bucket, ReportWindow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cakravia_verify.analysis.course import RunTimeline
    from cakravia_verify.traffic.ledger.ledger import Ledger

SECOND = 1_000_000
FOREVER = 1 << 62


def buckets(ledger: Ledger, course: RunTimeline, *, most: int = 240) -> Sequence[Bucket]:
    """Return the run in equal intervals of 100 ms or a multiple of it: at most `most`, and one for the last instant.

    An interval in which no request was planned has no bucket.
    """
    bounds = ledger.query("SELECT min(planned), max(planned) FROM ledger")[0]
    if bounds[0] is None:
        return []
    origin = int(bounds[0])
    width = max(100_000, -(-(int(bounds[1]) - origin) // most // 100_000) * 100_000)
    slices = ledger.query(
        "SELECT (planned - $origin) // $width AS slice, count(*) FILTER (WHERE outcome = 'answered'), "
        "count(*) FILTER (WHERE outcome IN ('lost', 'unreached')), count(*) FILTER (WHERE outcome = 'error'), "
        "quantile_disc(latency, 0.5) FILTER (WHERE outcome = 'answered' AND NOT list_contains($streams, name)), "
        "quantile_disc(latency, 0.99) FILTER (WHERE outcome = 'answered' AND NOT list_contains($streams, name)) "
        "FROM ledger GROUP BY 1 ORDER BY 1",
        {"origin": origin, "width": width, "streams": list(course.streams)},
    )
    slots = ledger.query(
        "SELECT (planned - $origin) // $width, by_slot, count(*) FROM ledger "
        "WHERE outcome = 'answered' AND by_slot IS NOT NULL GROUP BY 1, 2",
        {"origin": origin, "width": width},
    )
    by_slice: dict[int, dict[str, int]] = {}
    for index, slot, number in slots:
        by_slice.setdefault(int(index), {})[str(slot)] = int(number)
    zero = course.touched if course.touched is not None else origin
    return [
        Bucket(
            at=(origin + int(index) * width - zero) / SECOND,
            seconds=width / SECOND,
            answered=int(answered),
            lost=int(lost),
            errors=int(errors),
            p50=in_seconds(p50),
            p99=in_seconds(p99),
            by_slot=by_slice.get(int(index), {}),
        )
        for index, answered, lost, errors, p50, p99 in slices
    ]


def windows_of(ledger: Ledger, course: RunTimeline, *, around: int = SECOND) -> Sequence[ReportWindow]:
    """Before, during and after each switch. During: from the decision to one second after it took effect."""
    found: list[ReportWindow] = []
    for index, switch in enumerate(course.switches):
        last = index + 1 == len(course.switches)
        what = "the switch" if index == 0 else "the rollback" if index == 1 else f"switch {index + 1}"
        begin = course.switches[index - 1].effective + around if index else 0
        end = FOREVER if last else course.switches[index + 1].decided
        spans = (
            (f"before {what}", begin, switch.decided),
            (f"during {what}", switch.decided, switch.effective + around),
            *(((f"after {what}", switch.effective + around, end),) if last else ()),
        )
        found += [_window(ledger, name, since, until, course) for name, since, until in spans]
    return found


def _window(ledger: Ledger, name: str, since: int, until: int, course: RunTimeline) -> ReportWindow:
    seen = windows.window(ledger, name, start=since, end=until, without=course.streams)
    # A window reaches no further than the run: before its first request and after its last one nobody was silent.
    low, high = ledger.query("SELECT min(planned), max(planned) FROM ledger")[0]
    gap = None
    if seen.counts.total:
        gap = windows.longest_gap(ledger, rate_planned=course.rate, start=max(since, low), end=min(until, high))
    return ReportWindow(
        name=name,
        requests=seen.counts.total,
        lost=seen.counts.lost + seen.counts.unreached,
        errors=seen.counts.error,
        p50=in_seconds(seen.quantile(0.5)),
        p99=in_seconds(seen.quantile(0.99)),
        longest_gap=gap.duration / SECOND if gap else None,
    )


def longest_gap(ledger: Ledger, course: RunTimeline) -> float | None:
    gap = windows.longest_gap(ledger, rate_planned=course.rate)
    return gap.duration / SECOND if gap else None


def longest_gap_of_one(ledger: Ledger, course: RunTimeline) -> dict[str, object]:
    """The longest time that one client, that is one connection, went without a good answer; streams left out."""
    gaps = windows.longest_gaps_by_connection(ledger, rate_planned=course.rate, first=1, without=course.streams)
    return {
        key: value
        for gap in gaps
        for key, value in {
            "seconds": gap.duration / SECOND,
            "connection": gap.connection,
            "requests_expected": round(gap.expected, 1),
            "failed": gap.failed,
        }.items()
    }


def in_seconds(microseconds: object) -> float | None:
    return float(microseconds) / SECOND if isinstance(microseconds, int | float) else None
