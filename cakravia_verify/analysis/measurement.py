"""From the ledger of a run to the numbers a gate weighs and the slices a report draws."""

from __future__ import annotations

from typing import Any

from cakravia_verify.analysis import windows
from cakravia_verify.analysis.attribution import attribute_failures
from cakravia_verify.analysis.comparison import GROSS, Ruling, Sample, judge, sample
from cakravia_verify.analysis.course import RunTimeline, Switch
from cakravia_verify.analysis.integrity import disagreements, integrity
from cakravia_verify.analysis.model import Measurement
from cakravia_verify.analysis.series import (
    FOREVER,
    SECOND,
    buckets,
    in_seconds,
    longest_gap,
    longest_gap_of_one,
    windows_of,
)
from cakravia_verify.gate.model import Measured
from cakravia_verify.slots import Colour
from cakravia_verify.stats.bounds import failures_in_words
from cakravia_verify.system.clock import Microseconds
from cakravia_verify.traffic.ledger.findings import LedgerFindings
from cakravia_verify.traffic.ledger.ledger import Ledger
from cakravia_verify.traffic.records.rows import FOLLOW_UP


def measure(
    ledger: Ledger, course: RunTimeline, *, has_application: bool, unlogged: Colour | None = None
) -> Measurement:
    """What the ledger says of a release that took this course. `unlogged` is the slot whose request log has no line of
    this run, where that of the slot before has."""
    evidence = ledger.evidence
    first = course.switches[0] if course.switches else None
    excuse = attribute_failures(
        ledger,
        touched=course.touched,
        decided=first.decided if first else None,
        old=str(first.old or "") if first else "",
    )
    fence, straddling = _fence(ledger, course)
    latency = _latency(ledger, since=first.effective if first else None, streams=course.streams)
    since = _since(ledger, first)
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
        share_held=_share_held(ledger, course),
        p50=latency[0],
        p99=latency[1],
        longest_gap=longest_gap(ledger, course),
        lost_bound=failures_in_words(evidence.counts.lost, evidence.total),
        integrity=integrity(ledger, course, unlogged=unlogged),
        idle_closes=evidence.idle_closes,
        **_judgement(ledger, course),
        sent_after_switch=since[0],
        errors_after_switch=since[1],
        excused=excuse.excused,
    )
    figures: dict[str, object] = {
        "straddling": straddling,
        "executed": evidence.executed,
        "lost_but_executed": evidence.lost_but_executed,
        "by_slot": {slot: count.total for slot, count in evidence.by_slot.items()},
        "by_version": {version: count.total for version, count in evidence.by_version.items()},
        "by_name": {name: {"sent": c.total, "lost": c.lost, "errors": c.error} for name, c in evidence.by_name.items()},
        "switch_milliseconds": [round((s.effective - s.decided) / 1000, 3) for s in course.switches],
        "first_answer_milliseconds": _first_answer(ledger, first),
        "longest_silence_of_one_client": longest_gap_of_one(ledger, course),
        "streams": ", ".join(course.streams),
    }
    return Measurement(
        measured=measured,
        findings=(*excuse.findings, *disagreements(evidence, course)),
        buckets=tuple(buckets(ledger, course)),
        windows=tuple(windows_of(ledger, course)),
        lost_rows=tuple(dict(row) for row in evidence.lost.first),
        figures=figures,
    )


def _since(ledger: Ledger, switch: Switch | None) -> tuple[int | None, int | None]:
    """Requests begun since users were sent to the new slot, and the error answers among them."""
    if switch is None:
        return None, None
    row = ledger.query(
        "SELECT count(*), count(*) FILTER (outcome = 'error') FROM ledger WHERE started > $at", {"at": switch.effective}
    )[0]
    return int(row[0]), int(row[1])


def _duplicated(ledger: Ledger, evidence: LedgerFindings, has_application: bool) -> int:
    """By the application's own log; without one, by the proxy's: a body sent to two upstreams may have run twice."""
    if has_application and evidence.duplicated is not None:
        return evidence.duplicated.total
    return _number(ledger, "masked AND method IN ('POST', 'PUT', 'PATCH', 'DELETE')")


def _fence(ledger: Ledger, course: RunTimeline) -> tuple[int | None, int]:
    violations, straddling = 0, 0
    asked = False
    for index, switch in enumerate(course.switches):
        if switch.old is None:
            continue
        asked = True
        following = course.switches[index + 1].decided if index + 1 < len(course.switches) else None
        report = ledger.fence_violations(
            Microseconds(switch.effective + switch.grace),
            str(switch.old),
            until=None if following is None else Microseconds(following),
        )
        violations += report.violations.total
        straddling += report.straddling.total
    return (violations if asked else None), straddling


def _latency(ledger: Ledger, *, since: int | None, streams: tuple[str, ...]) -> tuple[float | None, float | None]:
    row = ledger.query(
        "SELECT quantile_disc(latency, 0.5), quantile_disc(latency, 0.99) FROM ledger "
        "WHERE outcome = 'answered' AND planned >= $since AND NOT list_contains($streams, name)",
        {"since": since or 0, "streams": list(streams)},
    )[0]
    return in_seconds(row[0]), in_seconds(row[1])


def _candidate_answers(ledger: Ledger, switch: Switch | None) -> int | None:
    if switch is None:
        return None
    return _number(
        ledger, "outcome = 'answered' AND by_slot = $new AND started > $at", at=switch.effective, new=str(switch.new)
    )


def _judgement(ledger: Ledger, course: RunTimeline) -> dict[str, str]:
    """The candidate since the switch against the previous slot before it, on the same traffic; empty on a first
    release, which has nothing to be compared with."""
    first = course.switches[0] if course.switches else None
    warm_up = course.judge_warm_up
    if warm_up is None or first is None or first.old is None:
        return {"judgement": "", "judgement_gross": "", "judgement_why": ""}
    begin = ledger.query("SELECT coalesce(min(planned), 0) FROM ledger")[0][0]
    end = course.switches[1].decided if len(course.switches) > 1 else course.until or FOREVER

    def side(slot: Colour, start: int, end: int, left_out: int) -> Sample:
        return sample(ledger, str(slot), start=start, end=end, warm_up=left_out, without=course.streams)

    # The previous slot is warm; where it is watched for a moment only, most of that has to count.
    before = side(first.old, int(begin), first.decided, min(warm_up, (first.decided - int(begin)) // 4))
    after = side(first.new, first.effective, end, warm_up)
    said, gross = judge(before, after), judge(before, after, GROSS)
    telling = gross if gross.ruling is Ruling.FAIL else said
    words = telling.findings[:2] if telling.ruling is Ruling.PASS else telling.findings
    why = [finding.words for finding in words if finding.ruling is telling.ruling]
    return {"judgement": str(said.ruling), "judgement_gross": str(gross.ruling), "judgement_why": "; ".join(why)}


def _share_held(ledger: Ledger, course: RunTimeline) -> float | None:
    """Arrivals that were really started by the end, over those the plan had until then."""
    row = ledger.query(
        "SELECT min(planned), max(planned), count(*) FILTER (WHERE started <= coalesce($until, started)) "
        "FROM ledger WHERE strict AND NOT contains(id, $follow_up) AND planned <= coalesce($until, planned)",
        {"until": course.until, "follow_up": FOLLOW_UP},
    )[0]
    if row[0] is None:
        return None
    end = course.until if course.until is not None else int(row[1])
    seconds = (end - int(row[0])) / SECOND
    planned = course.expected(seconds) if course.expected else seconds * course.rate
    return min(1.0, float(row[2]) / planned) if planned >= 1 else None


def _first_answer(ledger: Ledger, switch: Switch | None) -> float | None:
    """Milliseconds from the decision to switch to the first user answered by the candidate."""
    if switch is None:
        return None
    moved = windows.SlotChange(switch.decided, switch.effective, str(switch.old or ""), str(switch.new))
    first = windows.crossover(ledger, moved).first_new
    return None if first is None else round(first / 1000, 3)


def _number(ledger: Ledger, condition: str, **parameters: Any) -> int:
    # Conditions are constants of this module; values travel as parameters.
    return int(ledger.query(f"SELECT count(*) FROM ledger WHERE {condition}", parameters)[0][0])  # noqa: S608
