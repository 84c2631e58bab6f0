"""What leaves the numbers of a run unproven: with any of it no verdict can be PROMOTE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cakravia_verify.analysis.since_switch import BEGAN_AFTER
from cakravia_verify.traffic.ledger.findings import Kind, LedgerFindings

if TYPE_CHECKING:
    from cakravia_verify.analysis.run_timeline import RunTimeline
    from cakravia_verify.slots import Colour
    from cakravia_verify.traffic.ledger.ledger import Ledger

# While requests are still under way, proxy and application know ids that the client has not written down yet, and
# traffic.json describes an earlier second. The ledger built after the traffic has ended excuses none of this.
EXCUSED_WHILE_FLOWING = frozenset(
    {Kind.NO_SUMMARY, Kind.UNKNOWN_AT_PROXY, Kind.UNKNOWN_AT_APPLICATION, Kind.REPEATED_AT_PROXY}
)


def integrity(ledger: Ledger, timeline: RunTimeline, *, unlogged: Colour | None) -> tuple[str, ...]:
    """Everything that speaks against the numbers, in words; nothing where every request is accounted for."""
    return (
        *disagreements(ledger.evidence, timeline),
        *_altered(ledger.evidence, timeline),
        *_answered_by_the_proxy(ledger),
        *_answered_as_another_version(ledger, timeline),
        *_unlogged(ledger, unlogged),
    )


def disagreements(evidence: LedgerFindings, timeline: RunTimeline) -> tuple[str, ...]:
    """What the ledger found, but for what only seems so while requests are still under way."""
    excused = EXCUSED_WHILE_FLOWING if timeline.until is not None else frozenset()
    return tuple(str(finding) for finding in evidence.findings if finding.kind not in excused)


def _altered(evidence: LedgerFindings, timeline: RunTimeline) -> tuple[str, ...]:
    """What the client's file said while it was written and says no more."""
    now = {name: getattr(evidence.counts, name) for name in timeline.followed}
    return tuple(
        f"{number:,} requests were recorded as {name}, but the records hold only {now[name]:,} of them now"
        for name, number in timeline.followed.items()
        if now[name] < number
    )


def _answered_by_the_proxy(ledger: Ledger) -> tuple[str, ...]:
    """Good answers that no slot gave: a cached page or another server says nothing about the candidate."""
    number = _number(ledger, "outcome = 'answered' AND proxy_rows > 0 AND upstream IS NULL")
    return (f"{number:,} requests were answered by the proxy itself, by no slot",) if number else ()


def _answered_as_another_version(ledger: Ledger, timeline: RunTimeline) -> tuple[str, ...]:
    """Answers of the new slot to users that name another version than the one released: whatever was probed, this is
    not what they were given. An answer that names none says nothing."""
    first = timeline.first
    if first is None or not timeline.version:
        return ()
    number, named = ledger.query(
        f"SELECT count(*), mode(by_version) FROM ledger WHERE by_slot = $new AND {BEGAN_AFTER} "  # noqa: S608 - a constant
        "AND status IS NOT NULL AND nullif(by_version, '') <> $version",
        {"new": str(first.colour), "effective_at": first.effective_at, "version": timeline.version},
    )[0]
    if not number:
        return ()
    return (
        f"{number:,} answers by {first.colour} after the switch named version {named} instead of {timeline.version}",
    )


def _unlogged(ledger: Ledger, slot: Colour | None) -> tuple[str, ...]:
    """A slot that logs nothing while the one before it did: what it executed twice would never show."""
    number = _number(ledger, "by_slot = $slot AND status IS NOT NULL", slot=str(slot)) if slot else 0
    if not number:
        return ()
    return (
        f"the request log of {slot} has no line of this run, while that of the slot before has: whether any of the "
        f"{number:,} requests it answered was executed more than once cannot be told",
    )


def _number(ledger: Ledger, condition: str, **parameters: Any) -> int:
    # Conditions are constants of this module; values travel as parameters.
    return int(ledger.query(f"SELECT count(*) FROM ledger WHERE {condition}", parameters)[0][0])  # noqa: S608
