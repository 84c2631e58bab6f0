"""From the ledger of a run to the numbers for the gate and the series for the report."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any, Final

from cakravia_verify.analysis import windows
from cakravia_verify.analysis.attribution import attribute_failures
from cakravia_verify.analysis.comparison import Ruling, Sample, compare, compare_gross, sample
from cakravia_verify.analysis.integrity import disagreements, integrity
from cakravia_verify.analysis.model import Measurement
from cakravia_verify.analysis.run_timeline import RunTimeline
from cakravia_verify.analysis.series import (
    FOREVER,
    buckets,
    in_seconds,
    longest_gap,
    longest_gap_of_one,
    windows_of,
)
from cakravia_verify.analysis.sessions import count_sessions
from cakravia_verify.analysis.since_switch import BEGAN_AFTER
from cakravia_verify.gate.model import Measured
from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.slots import Colour
from cakravia_verify.stats.bounds import failures_in_words
from cakravia_verify.system.clock import Microseconds, to_seconds
from cakravia_verify.traffic.ledger.findings import LedgerFindings
from cakravia_verify.traffic.ledger.ledger import Ledger
from cakravia_verify.traffic.records.rows import FOLLOW_UP

_BY_CANDIDATE: Final = f"outcome = 'answered' AND by_slot = $new AND {BEGAN_AFTER}"


def measure(
    ledger: Ledger, timeline: RunTimeline, *, has_application: bool, unlogged: Colour | None = None
) -> Measurement:
    """Return the numbers of a run with this timeline.

    `unlogged` is the slot whose request log has no line of this run although the other slot's log has.
    """
    evidence = ledger.evidence
    first = timeline.first
    attribution = attribute_failures(
        ledger,
        touched=timeline.touched,
        decided=first.decided_at if first else None,
        old=_old_slot(timeline, first) if first else "",
    )
    fence, straddling = _fence(ledger, timeline)
    latency = _latency(ledger, since=first.effective_at if first else None, streams=timeline.streams)
    since = _since(ledger, first)
    sessions = count_sessions(ledger, timeline)
    measured = Measured(
        sent=evidence.total,
        answered=evidence.counts.answered,
        lost=evidence.counts.lost,
        errors=evidence.counts.error,
        unreached=evidence.counts.unreached,
        duplicated=_duplicated(ledger, evidence, has_application),
        masked=_number(ledger, "masked"),
        fence_violations=fence,
        candidate_answers=_candidate_answers(ledger, first),
        answers_each=_answers_each(ledger, first, timeline.entries),
        share_held=_share_held(ledger, timeline),
        p50=latency[0],
        p99=latency[1],
        longest_gap=longest_gap(ledger, timeline),
        lost_bound=failures_in_words(evidence.counts.lost, evidence.total),
        integrity=integrity(ledger, timeline, unlogged=unlogged),
        idle_closes=evidence.idle_closes,
        **_comparison(ledger, timeline),
        open_pages=None,  # the run itself holds them: `runs.open_pages`
        broken_pages=None,
        content_compared=None,  # `runs.content_watch` asks for them
        content_changes={},
        growth=None,
        sent_after_switch=since[0],
        errors_after_switch=since[1],
        excused=attribution.excused,
        old_sessions=sessions.old,
        old_sessions_failed=sessions.old_failed,
        new_sessions=sessions.new,
        new_sessions_failed=sessions.new_failed,
    )
    figures: dict[str, object] = {
        "straddling": straddling,
        "executed": evidence.executed,
        "lost_but_executed": evidence.lost_but_executed,
        "by_slot": {slot: count.total for slot, count in evidence.by_slot.items()},
        "by_version": {version: count.total for version, count in evidence.by_version.items()},
        "by_name": {name: {"sent": c.total, "lost": c.lost, "errors": c.error} for name, c in evidence.by_name.items()},
        "switch_milliseconds": [round(switch.seconds * 1000, 3) for switch in timeline.switchovers],
        "first_answer_milliseconds": _first_answer(ledger, timeline),
        "longest_silence_of_one_client": longest_gap_of_one(ledger, timeline),
        "streams": ", ".join(timeline.streams),
    }
    return Measurement(
        measured=measured,
        findings=(*attribution.findings, *disagreements(evidence, timeline)),
        buckets=tuple(buckets(ledger, timeline)),
        windows=tuple(windows_of(ledger, timeline)),
        lost_rows=tuple(dict(row) for row in evidence.lost.first),
        figures=figures,
    )


def _since(ledger: Ledger, switch: Switchover | None) -> tuple[int | None, int | None]:
    """Return how many requests began since the switch, and how many of them got an error answer."""
    if switch is None:
        return None, None
    condition, effective_at = BEGAN_AFTER, switch.effective_at
    return (
        _number(ledger, condition, effective_at=effective_at),
        _number(ledger, f"{condition} AND outcome = 'error'", effective_at=effective_at),
    )


def _duplicated(ledger: Ledger, evidence: LedgerFindings, has_application: bool) -> int:
    """Return how many requests ran twice, from the application's log.

    Without that log the proxy's log decides: a body that was sent to two upstreams may have run twice.
    """
    if has_application and evidence.duplicated is not None:
        return evidence.duplicated.total
    return _number(ledger, "masked AND method IN ('POST', 'PUT', 'PATCH', 'DELETE')")


def _fence(ledger: Ledger, timeline: RunTimeline) -> tuple[int | None, int]:
    if not timeline.has_previous or not timeline.switchovers:
        return None, 0
    decisions = [switch.decided_at for switch in timeline.switchovers[1:]]
    reports = [
        ledger.fence_violations(switch.effective_at + timeline.grace, str(switch.colour.other), until=following)
        for switch, following in zip_longest(timeline.switchovers, decisions)
    ]
    return sum(each.violations.total for each in reports), sum(each.straddling.total for each in reports)


def _latency(
    ledger: Ledger, *, since: Microseconds | None, streams: tuple[str, ...]
) -> tuple[float | None, float | None]:
    row = ledger.query(
        "SELECT quantile_disc(latency, 0.5), quantile_disc(latency, 0.99) FROM ledger "
        "WHERE outcome = 'answered' AND planned >= $since AND NOT list_contains($streams, name)",
        {"since": since or 0, "streams": list(streams)},
    )[0]
    return in_seconds(row[0]), in_seconds(row[1])


def _candidate_answers(ledger: Ledger, switch: Switchover | None) -> int | None:
    if switch is None:
        return None
    return _number(ledger, _BY_CANDIDATE, effective_at=switch.effective_at, new=str(switch.colour))


def _answers_each(ledger: Ledger, switch: Switchover | None, entries: tuple[str, ...]) -> dict[str, int] | None:
    """Return how many requests of each entry the candidate answered; None if users were not switched."""
    if switch is None:
        return None
    rows = ledger.query(
        f"SELECT name, count(*) FROM ledger WHERE {_BY_CANDIDATE} GROUP BY name",  # noqa: S608 - a constant
        {"effective_at": switch.effective_at, "new": str(switch.colour)},
    )
    return dict.fromkeys(entries, 0) | {str(name): int(count) for name, count in rows if name in entries}


def _comparison(ledger: Ledger, timeline: RunTimeline) -> dict[str, str]:
    """Compare the candidate after the switch with the previous slot before it, on the same traffic.

    The values are empty on a first release, which has no previous slot.
    """
    first, warm_up = timeline.first, timeline.warm_up
    if warm_up is None or first is None or not timeline.has_previous:
        return {"judgement": "", "judgement_gross": "", "judgement_why": ""}
    begin = Microseconds(ledger.query("SELECT coalesce(min(planned), 0) FROM ledger")[0][0])
    end = timeline.switchovers[1].decided_at if len(timeline.switchovers) > 1 else timeline.until or FOREVER

    def side(slot: Colour, start: Microseconds, end: Microseconds, left_out: Microseconds) -> Sample:
        return sample(ledger, str(slot), start=start, end=end, warm_up=left_out, without=timeline.streams)

    # The previous slot is warm already. If its sample is short, most of it has to count.
    watched = first.decided_at - begin
    before = side(first.colour.other, begin, first.decided_at, min(warm_up, Microseconds(int(watched) // 4)))
    after = side(first.colour, first.effective_at, end, warm_up)
    usual, gross = compare(before, after), compare_gross(before, after)
    # The wide question has an answer with few requests already. The narrow one says more if it has one.
    decisive = gross if gross.ruling is Ruling.FAIL or usual.ruling is Ruling.INCONCLUSIVE else usual
    words = decisive.findings[:2] if decisive.ruling is Ruling.PASS else decisive.findings
    why = [finding.words for finding in words if finding.ruling is decisive.ruling]
    return {"judgement": str(usual.ruling), "judgement_gross": str(gross.ruling), "judgement_why": "; ".join(why)}


def _share_held(ledger: Ledger, timeline: RunTimeline) -> float | None:
    """Return the arrivals that were started by the end, divided by those that were planned until then."""
    row = ledger.query(
        "SELECT min(planned), max(planned), count(*) FILTER (WHERE started <= coalesce($until, started)) "
        "FROM ledger WHERE strict AND NOT contains(id, $follow_up) AND planned <= coalesce($until, planned)",
        {"until": timeline.until, "follow_up": FOLLOW_UP},
    )[0]
    if row[0] is None:
        return None
    end = timeline.until if timeline.until is not None else Microseconds(row[1])
    seconds = to_seconds(end - Microseconds(row[0]))
    planned = timeline.expected(seconds) if timeline.expected else seconds * timeline.rate
    return min(1.0, float(row[2]) / planned) if planned >= 1 else None


def _first_answer(ledger: Ledger, timeline: RunTimeline) -> float | None:
    """Return the milliseconds from the decision to switch to the first good answer by the candidate."""
    first_new = windows.crossover(ledger, timeline.first).first_new if timeline.first else None
    return None if first_new is None else round(to_seconds(first_new) * 1000, 3)


def _old_slot(timeline: RunTimeline, first: Switchover) -> str:
    return str(first.colour.other) if timeline.has_previous else ""


def _number(ledger: Ledger, condition: str, **parameters: Any) -> int:
    # Conditions are constants of this module; values travel as parameters.
    return int(ledger.query(f"SELECT count(*) FROM ledger WHERE {condition}", parameters)[0][0])  # noqa: S608
