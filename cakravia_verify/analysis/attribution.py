"""Which failures before the switch belong to the old version, and which count against the candidate.

Each class of failures is compared in two periods: before the release changed anything, and from there to the switch.
An error answer that the old slot gave belongs to the old version. Another failure belongs to it only if requests failed
in the same way before the release. Both count against the candidate if they rose significantly after the release began:
the start of a candidate can break the version that serves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cakravia_verify.analysis.since_switch import ENDED_BEFORE
from cakravia_verify.stats.rank_tests import fisher_exact

if TYPE_CHECKING:
    from cakravia_verify.system.clock import Microseconds
    from cakravia_verify.traffic.ledger.ledger import Ledger

SIGNIFICANT: Final = 0.05

# An answer that nginx passed on from the old slot. Without nginx's log, only the headers of the answer show that.
_OWN = (
    "coalesce(by_slot = $old, false) AND coalesce(status NOT IN (502, 504), false) AND (proxy_rows IS NULL OR "
    "coalesce(upstream IS NOT NULL AND upstream_status = status::VARCHAR, false))"
)


@dataclass(frozen=True)
class _Failing:
    """A class of failures: its count, its name, its rows, and whether it is an answer of the old slot."""

    count: str
    words: str
    rows: str
    is_answer: bool = False


# A request that was under way at the switch and failed after it counts, except for an error answer of the old slot.
_CLASSES: Final = (
    _Failing("lost", "lost requests", f"outcome = 'lost' AND {ENDED_BEFORE}"),
    _Failing("unreached", "requests that could not be sent", f"outcome = 'unreached' AND {ENDED_BEFORE}"),
    _Failing("errors", "error answers of the old version", f"outcome = 'error' AND {_OWN}", is_answer=True),
    _Failing("errors", "error answers that no slot gave", f"outcome = 'error' AND NOT ({_OWN}) AND {ENDED_BEFORE}"),
    _Failing("masked", "requests that the other slot answered instead", f"masked AND {ENDED_BEFORE}"),
)


@dataclass(frozen=True)
class Attribution:
    """How many failures of each count of `Measured` belong to the old version, and one sentence for each decision."""

    excused: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[str, ...] = ()


def attribute_failures(
    ledger: Ledger, *, touched: Microseconds | None, decided: Microseconds | None, old: str
) -> Attribution:
    """Return which failures before the switch belong to the old version.

    `touched` is when the release first changed anything, `decided` when it decided to switch. Without both of them no
    failure belongs to the old version.
    """
    if touched is None or decided is None:
        return Attribution()
    sums = ", ".join(f"count(*) FILTER ({each.rows})" for each in _CLASSES)
    # The end of a request counts: one that was under way when the release began may have failed because of it.
    stretches = {
        bool(is_early): (int(total), [int(number) for number in numbers])
        for is_early, total, *numbers in ledger.query(
            f"SELECT coalesce(done, started) < $touched, count(*), {sums} FROM ledger "  # noqa: S608 - constants
            "WHERE started < $decided_at GROUP BY 1",
            {"touched": touched, "decided_at": decided, "old": old},
        )
    }
    nothing = (0, [0] * len(_CLASSES))
    (early_total, early), (late_total, late) = stretches.get(True, nothing), stretches.get(False, nothing)
    excused: dict[str, int] = {}
    findings: list[str] = []
    for each, before, since in zip(_CLASSES, early, late, strict=True):
        if not before + since:
            continue
        counts = f"{before:,} of {early_total:,} requests before the release began, {since:,} of {late_total:,} after"
        why = next(_objections(each, (before, early_total), (since, late_total)), "")
        if why:
            findings.append(f"before the switch: {before + since:,} {each.words}, which count: {why} ({counts})")
            continue
        excused[each.count] = excused.get(each.count, 0) + before + since
        owner = "they are its own" if each.is_answer else "there were some before the release began"
        findings.append(
            f"before the switch: {before + since:,} {each.words}, which are not counted: {owner} ({counts})"
        )
    return Attribution(excused, tuple(findings))


def _objections(failing: _Failing, before: tuple[int, int], since: tuple[int, int]) -> Iterator[str]:
    """Yield why failures before the switch do not belong to the old version."""
    if not before[1]:
        yield "nothing was measured before the release began"
        return
    if not failing.is_answer and not before[0]:
        yield "there were none before the release began"
    # Without a failure since, nothing has risen, and the test has no result.
    p = fisher_exact(*since, *before) if since[0] else 1.0
    if p < SIGNIFICANT:
        yield f"they rose after it began (Fisher's exact test, p = {p:.2g})"
