"""What makes the numbers of a run incomplete. With any of it, no verdict can be PROMOTE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cakravia_verify.analysis.since_switch import BEGAN_AFTER
from cakravia_verify.traffic.ledger.findings import Kind, LedgerFindings

if TYPE_CHECKING:
    from cakravia_verify.analysis.run_timeline import RunTimeline
    from cakravia_verify.slots import Colour
    from cakravia_verify.traffic.ledger.ledger import Ledger

# While requests are under way, proxy and application have ids that the client has not recorded yet, and traffic.json is
# one second old. The ledger at the end of the traffic must not have any of these findings.
EXPECTED_WHILE_RUNNING = frozenset(
    {Kind.NO_SUMMARY, Kind.UNKNOWN_AT_PROXY, Kind.UNKNOWN_AT_APPLICATION, Kind.REPEATED_AT_PROXY}
)


def integrity(ledger: Ledger, timeline: RunTimeline, *, unlogged: Colour | None) -> tuple[str, ...]:
    """Return every reason why the numbers are incomplete. Empty if every request is accounted for."""
    return (
        *disagreements(ledger.evidence, timeline),
        *_altered(ledger.evidence, timeline),
        *_answered_by_the_proxy(ledger),
        *_answered_as_another_version(ledger, timeline),
        *_unlogged(ledger, unlogged),
    )


def disagreements(evidence: LedgerFindings, timeline: RunTimeline) -> tuple[str, ...]:
    """Return the findings of the ledger, without those that are normal while requests are under way."""
    expected = EXPECTED_WHILE_RUNNING if timeline.until is not None else frozenset()
    return tuple(str(finding) for finding in evidence.findings if finding.kind not in expected)


def _altered(evidence: LedgerFindings, timeline: RunTimeline) -> tuple[str, ...]:
    """Return which requests were in the client's file while it was written, and are not in it now."""
    now = {name: getattr(evidence.counts, name) for name in timeline.followed}
    return tuple(
        f"{number:,} requests were recorded as {name}, but the records have only {now[name]:,} of them now"
        for name, number in timeline.followed.items()
        if now[name] < number
    )


def _answered_by_the_proxy(ledger: Ledger) -> tuple[str, ...]:
    """Return how many good answers came from no slot. A cached page or another server proves nothing."""
    number = _number(ledger, "outcome = 'answered' AND proxy_rows > 0 AND upstream IS NULL")
    return (f"{number:,} requests were answered by the proxy itself, not by a slot",) if number else ()


def _answered_as_another_version(ledger: Ledger, timeline: RunTimeline) -> tuple[str, ...]:
    """Return how many answers of the new slot named another version than the released one.

    An answer without a version proves nothing.
    """
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
    """Return whether only the new slot has no request log: then requests that ran twice cannot be found."""
    number = _number(ledger, "by_slot = $slot AND status IS NOT NULL", slot=str(slot)) if slot else 0
    if not number:
        return ()
    return (
        f"the request log of {slot} has no line of this run, but the log of the old slot has. So it is unknown whether "
        f"any of the {number:,} requests that {slot} answered ran more than once",
    )


def _number(ledger: Ledger, condition: str, **parameters: Any) -> int:
    # Conditions are constants of this module; values travel as parameters.
    return int(ledger.query(f"SELECT count(*) FROM ledger WHERE {condition}", parameters)[0][0])  # noqa: S608
