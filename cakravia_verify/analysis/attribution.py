"""Which failures before the switch are the version before's own, and which count against the candidate.

Told apart class by class, from two stretches: before the release touched anything, and from there to the switch. An
error answer that the old slot itself gave is its own; whatever else failed there is so only where the same was failing
before the release touched anything. Neither holds for what rose significantly once the release had begun: a candidate
whose mere start breaks the version before must not pass for one that mends it.
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

# An answer that an upstream gave and nginx passed on. Without nginx's log the answer's own headers have to do.
_OWN = (
    "coalesce(by_slot = $old, false) AND coalesce(status NOT IN (502, 504), false) AND (proxy_rows IS NULL OR "
    "coalesce(upstream IS NOT NULL AND upstream_status = status::VARCHAR, false))"
)


@dataclass(frozen=True)
class _Failing:
    """A class of failures: the count it belongs to, in words, the rows, and whether the old slot itself said so."""

    count: str
    words: str
    rows: str
    is_answer: bool = False


# Under way at the switch and failed after it: the release's, but an error answer of the old slot is its own even then.
_CLASSES: Final = (
    _Failing("lost", "lost requests", f"outcome = 'lost' AND {ENDED_BEFORE}"),
    _Failing("unreached", "requests that could not even be sent", f"outcome = 'unreached' AND {ENDED_BEFORE}"),
    _Failing("errors", "error answers of the version before", f"outcome = 'error' AND {_OWN}", is_answer=True),
    _Failing("errors", "error answers that no slot gave", f"outcome = 'error' AND NOT ({_OWN}) AND {ENDED_BEFORE}"),
    _Failing("masked", "requests another slot answered in its place", f"masked AND {ENDED_BEFORE}"),
)


@dataclass(frozen=True)
class Attribution:
    """How many failures of each count of `Measured` are not the candidate's, and in words what was decided and why."""

    excused: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[str, ...] = ()


def attribute_failures(
    ledger: Ledger, *, touched: Microseconds | None, decided: Microseconds | None, old: str
) -> Attribution:
    """The excuses of a release that touched something first at `touched` and decided to switch at `decided`, both in
    CLOCK_MONOTONIC microseconds; none where it never came to either."""
    if touched is None or decided is None:
        return Attribution()
    sums = ", ".join(f"count(*) FILTER ({each.rows})" for each in _CLASSES)
    # By its end: what was under way when the release began may have failed because of it.
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
        seen = f"{before:,} of {early_total:,} requests before the release began, {since:,} of {late_total:,} after"
        why = next(_objections(each, (before, early_total), (since, late_total)), "")
        if why:
            findings.append(f"before the switch: {before + since:,} {each.words}, which count: {why} ({seen})")
            continue
        excused[each.count] = excused.get(each.count, 0) + before + since
        owner = "its own" if each.is_answer else "the version before had such already when the release began"
        findings.append(f"before the switch: {before + since:,} {each.words}, which are not counted: {owner} ({seen})")
    return Attribution(excused, tuple(findings))


def _objections(failing: _Failing, before: tuple[int, int], since: tuple[int, int]) -> Iterator[str]:
    """Why failures before the switch are not the version before's own."""
    if not before[1]:
        yield "nothing was measured before the release began"
        return
    if not failing.is_answer and not before[0]:
        yield "there were none before the release began"
    # What no longer fails at all has not risen, and the test has nothing to say about it.
    p = fisher_exact(*since, *before) if since[0] else 1.0
    if p < SIGNIFICANT:
        yield f"they rose once it had begun (Fisher's exact test, p = {p:.2g})"
