"""How a release is put into words: one wording for the page, the job summary and the terminal."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from cakravia_verify.gate.model import Check, CheckStatus, Decision, Exit, Measured
from cakravia_verify.history.releases import PROMOTED, ROLLED_BACK, UNPROVEN
from cakravia_verify.kinds import policy_of
from cakravia_verify.report.document import Event, ReleaseDocument
from cakravia_verify.stats.bounds import failures_in_words

_LIMIT = 2000
# Checks of a count of requests: where it is zero, what that proves stands beside it.
_COUNTED_OF_ALL = ("lost", "unreached", "duplicated", "masked", "errors")
# Characters that reorder what stands beside them, so that text can be made to read as something it is not.
_DECEIVING = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


class Tone(StrEnum):
    """How the end of a release is to be taken."""

    GOOD = "good"
    BAD = "bad"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Figure:
    """One number worth a glance: what it is, its value, what it is held against, and how it came out."""

    label: str
    value: str
    note: str
    standing: CheckStatus | None


@dataclass(frozen=True)
class ToldCheck:
    """A check in words: a test as the claim its name makes, with its id as `place`."""

    title: str
    place: str
    standing: CheckStatus
    seen: str
    threshold: str


def visible(text: str, *, limit: int = _LIMIT) -> str:
    """`text` without anything that acts instead of being read: control, reordering and unpaired surrogate characters
    become U+FFFD, line ends stay, and what is longer than `limit` is cut with a note."""
    cut = text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"
    shown = _DECEIVING.sub("\ufffd", cut)
    return "".join(
        "\ufffd" if unicodedata.category(one) in ("Cc", "Cs") and one not in "\n\t" else one for one in shown
    )


def one_line(text: str, *, limit: int = _LIMIT) -> str:
    """`text` made visible, on one line."""
    return " ".join(visible(text, limit=limit).split())


def seconds_in_words(seconds: float | None) -> str:
    """A duration with three digits at most, in the unit that fits: 0.31 ms, 42 ms, 1.24 s, 3 min 05 s."""
    if seconds is None or not math.isfinite(seconds):
        return "not measured"
    if seconds < 0.0000005:
        return "0 ms"
    if seconds < 1:
        milliseconds = seconds * 1000
        digits = 0 if milliseconds >= 99.95 else 1 if milliseconds >= 9.995 else 2
        return f"{_trimmed(f'{milliseconds:.{digits}f}')} ms"
    if seconds < 99.95:
        return f"{_trimmed(f'{seconds:.{2 if seconds < 9.995 else 1}f}')} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _trimmed(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number


def count_in_words(count: int | None) -> str:
    return "not measured" if count is None else f"{count:,}"


def tone_of(document: ReleaseDocument) -> Tone:
    """GOOD only where decision, outcome and exit status all say promoted, or of a load, within its budget."""
    decision = document.verdict.decision
    if not policy_of(document.kind).switches_users:
        is_good = decision is Decision.WITHIN_BUDGET and document.exit_status == Exit.WITHIN_BUDGET
        return Tone.GOOD if is_good else Tone.BAD if decision is Decision.OVER_BUDGET else Tone.UNSURE
    if decision is Decision.PROMOTE and document.exit_status == Exit.PROMOTED and document.outcome == PROMOTED:
        return Tone.GOOD
    if document.exit_status == Exit.NEEDS_A_PERSON or decision is Decision.ROLL_BACK:
        return Tone.BAD
    return Tone.UNSURE


def headline(document: ReleaseDocument) -> str:
    """The verdict in one or two words; a person who is needed comes before any verdict."""
    return "A PERSON IS NEEDED" if document.exit_status == Exit.NEEDS_A_PERSON else str(document.verdict.decision)


def what_happened(document: ReleaseDocument) -> str:
    """What the release did to users, in one or two sentences that a person woken at night understands."""
    return f"{_where_users_are(document)} {_what_they_lost(document.evidence.measured)}"


def _where_users_are(document: ReleaseDocument) -> str:
    new = f"{document.version} ({document.slot})" if document.slot else document.version
    if not policy_of(document.kind).switches_users:
        said = {Tone.GOOD: "bears", Tone.BAD: "does not bear", Tone.UNSURE: "was not shown to bear"}[tone_of(document)]
        return f"{new} {said} this load. Nothing was switched."
    if document.exit_status == Exit.NEEDS_A_PERSON:
        return f"The way back did not complete: check now which slot users reach. {new} was not promoted."
    if tone_of(document) is Tone.GOOD:
        return f"All users are on {new}."
    if document.outcome == UNPROVEN:
        return f"Users are back on {new}, which is healthy; not everything that a PROMOTE takes was shown."
    if document.outcome != ROLLED_BACK:
        return f"The gate said {document.verdict.decision}, but the release ended {document.outcome or 'unfinished'}."
    if not document.previous_version:
        return f"{new} was not promoted; no version was active before it."
    if not _users_may_have_moved(document):
        return f"Users stayed on {document.previous_version} throughout: {new} was refused before the switch."
    return f"Users are back on {document.previous_version}: {new} had them{_for_how_long(document)}."


def _users_may_have_moved(document: ReleaseDocument) -> bool:
    """True unless nothing at all hints at a switch; one that failed half-way counts as a switch."""
    seen = document.evidence.measured or Measured()
    hints = (switched_at(document) is not None, document.evidence.confirmations, seen.candidate_answers)
    return any(hints) or any(event.step == "switch" for event in document.timeline)


def _for_how_long(document: ReleaseDocument) -> str:
    there, back = switched_at(document), returned_at(document)
    if there is None or back is None or back < there:
        return " for a time"
    return f" for {seconds_in_words(back - there)}"


def _what_they_lost(seen: Measured | None) -> str:
    if seen is None or seen.sent is None or seen.lost is None:
        return "What they lost was not measured."
    if seen.sent == 0:
        return "No request was sent, so nothing is proven."
    if seen.lost == 0 and seen.integrity:
        return f"Of {seen.sent:,} recorded requests none was lost, but not every request is accounted for."
    lost = "None" if seen.lost == 0 else f"{seen.lost:,}"
    told = [f"{lost} of {seen.sent:,} requests {'was' if seen.lost in (0, 1) else 'were'} lost"]
    told += [f"{seen.unreached:,} could not even be sent"] if seen.unreached else []
    told += [f"{seen.errors:,} got an error answer"] if seen.errors else []
    return f"{', '.join(told)}.{_not_counted(seen)}"


def _not_counted(seen: Measured) -> str:
    """What happened to users and is not held against the release; empty where nothing is."""
    names = {"lost": "lost", "unreached": "not sent", "errors": "with an error answer"}
    told = [f"{seen.excused[name]:,} {words}" for name, words in names.items() if seen.excused.get(name)]
    if not told:
        return ""
    return f" Not counted: {', '.join(told)} before the switch, as the version before failed so by itself."


def what_to_do(document: ReleaseDocument) -> str:
    """What to do next; never empty."""
    if document.next_step:
        return document.next_step
    if document.exit_status == Exit.NEEDS_A_PERSON:
        return "See who serves with `cakravia status`, then repair with `cakravia recover`."
    if tone_of(document) is Tone.GOOD:
        return "Nothing."
    if not policy_of(document.kind).switches_users:
        return "Find out why the open checks could not be answered, then load again. Users need nothing."
    if document.outcome == UNPROVEN:
        return "Look at the checks that failed or were not shown. Users need nothing."
    if document.outcome != ROLLED_BACK:
        return "See who serves with `cakravia status`; what was left half done is repaired with `cakravia recover`."
    if document.verdict.decision is Decision.ROLL_BACK:
        return "Mend what the failed checks name, then release again. Users need nothing."
    return "Find out why the open checks could not be answered, then release again. Users need nothing."


def lost_in_words(seen: Measured | None) -> tuple[str, str]:
    """Lost requests as a count of all, and what that count proves: ("0 of 30,124", "< 0.010% at 95%")."""
    if seen is None or seen.lost is None:
        return "not measured", ""
    value = f"{seen.lost:,} of {seen.sent:,}" if seen.sent is not None else f"{seen.lost:,}"
    bound = seen.lost_bound.removeprefix(value).lstrip(", ")
    return value, "; ".join(filter(None, (bound, _excused(seen, "lost"))))


def zero_in_words(count: int | None, total: int | None) -> str:
    """What none of so many proves, as in "< 0.010% at 95%"; empty where there were some, or nothing was counted."""
    return failures_in_words(0, total).rpartition(", ")[2] if count == 0 and total is not None and total > 0 else ""


def _excused(seen: Measured, name: str) -> str:
    return f"{seen.excused[name]:,} not counted" if seen.excused.get(name) else ""


def silence_in_words(document: ReleaseDocument) -> tuple[str, str]:
    """The longest time without a good answer, of all clients together and of the one that waited longest."""
    seen = document.evidence.measured or Measured()
    one = document.traffic.get("longest_silence_of_one_client")
    seconds = one.get("seconds") if isinstance(one, Mapping) else None
    of_one = f"one client {seconds_in_words(seconds)}" if isinstance(seconds, int | float) else ""
    return seconds_in_words(seen.longest_gap), of_one


def key_figures(document: ReleaseDocument) -> tuple[Figure, ...]:
    """The numbers that tell the release at a glance, each with the standing of the check that judged it."""
    seen = document.evidence.measured or Measured()
    standings = {check.name: check.standing for check in document.verdict.checks}
    lost, bound = lost_in_words(document.evidence.measured)
    held = "" if seen.share_held is None else f"{_percent(seen.share_held)} of the plan"
    switch = switch_seconds(document)
    silence, of_one = silence_in_words(document)
    twice = zero_in_words(seen.duplicated, seen.sent)
    late = zero_in_words(seen.fence_violations, seen.sent_after_switch)
    wrong = zero_in_words(seen.errors, seen.sent) or _share(seen.errors, seen.sent)
    wrong = "; ".join(filter(None, (wrong, _excused(seen, "errors"))))
    figures = [
        Figure("Sent", count_in_words(seen.sent), held, standings.get("samples")),
        Figure("Lost", lost, bound, standings.get("lost")),
        Figure(
            "Duplicated",
            count_in_words(seen.duplicated),
            twice or "executed more than once",
            standings.get("duplicated"),
        ),
        Figure(
            "Old slot after switch",
            count_in_words(seen.fence_violations),
            late or "fence violations",
            standings.get("fence"),
        ),
        Figure("Errors", count_in_words(seen.errors), wrong, standings.get("errors")),
        Figure("Latency p50", seconds_in_words(seen.p50), "from the planned instant, without streams", None),
        Figure(
            "Latency p99",
            seconds_in_words(seen.p99),
            f"budget {seconds_in_words(document.budget.p99)}",
            standings.get("latency"),
        ),
        Figure("Switch", "not reached" if switch is None else seconds_in_words(switch), "decision to effect", None),
        Figure("Longest silence", silence, of_one or "between good answers", None),
    ]
    if not policy_of(document.kind).switches_users:
        figures = [one for one in figures if one.label not in ("Old slot after switch", "Switch")]
    return tuple(figures)


def _share(part: int | None, whole: int | None) -> str:
    return f"{part / whole:.3%} of sent" if part is not None and whole else ""


def _percent(share: float) -> str:
    # Rounded down: 99.996% of the plan is not the whole plan.
    return f"{_trimmed(f'{int(share * 10_000 + 1e-9) / 100:.2f}')}%"


def told_checks(document: ReleaseDocument) -> tuple[ToldCheck, ...]:
    """Every check of the gate, those that decided against the release first."""
    rank = {CheckStatus.FAILED: 0, CheckStatus.UNKNOWN: 1, CheckStatus.PASSED: 2}
    seen = document.evidence.measured or Measured()
    of_all = {name: zero_in_words(getattr(seen, name), seen.sent) for name in _COUNTED_OF_ALL}
    of_all["fence"] = zero_in_words(seen.fence_violations, seen.sent_after_switch)
    checks = sorted(document.verdict.checks, key=lambda check: rank[check.standing])
    return tuple(_told(check, bound=of_all.get(check.name, "")) for check in checks)


def _told(check: Check, *, bound: str) -> ToldCheck:
    is_test = check.name.startswith("test ")
    seen = check.value
    if check.detail and check.detail != check.value:
        seen = check.detail if check.detail.startswith(f"{check.value} ") else f"{check.value}; {check.detail}"
    seen = f"{seen}, {bound}" if bound and bound not in seen else seen
    title = claim_of(check.title) if is_test else check.title
    return ToldCheck(title, check.title if is_test else "", check.standing, seen, check.threshold)


def claim_of(nodeid: str) -> str:
    """The claim a test's name makes: `a.py::test_no_request_was_lost[blue]` says "No request was lost [blue]"."""
    path, _, name = nodeid.partition("::")
    bare, bracket, parameters = (name or path).partition("[")
    words = re.sub(r"^test_+", "", bare.rpartition("::")[2]).replace("_", " ").strip()
    claim = f"{words[:1].upper()}{words[1:]}" or nodeid
    return one_line(f"{claim} [{parameters}" if bracket else claim, limit=400)


def switched_at(document: ReleaseDocument) -> float | None:
    """When users were sent to the candidate, in seconds since the release began; None where they never were."""
    if document.switched_at is not None:
        return document.switched_at
    done = _events(document, step="switch", kinds=("done",))
    return done[0].at if done else None


def returned_at(document: ReleaseDocument) -> float | None:
    """When users were brought back, in seconds since the release began; None where they were not.

    Undoing the switch also drains the candidate, so without a measured instant its beginning is the nearest known.
    """
    if document.returned_at is not None:
        return document.returned_at
    undone = _events(document, step="switch", kinds=("undone",))
    return max(undone[0].at - undone[0].seconds, 0.0) if undone and switched_at(document) is not None else None


def switch_seconds(document: ReleaseDocument) -> float | None:
    """How long the switch took, from decision to effect; None where it was not made."""
    if document.switch_seconds is not None:
        return document.switch_seconds
    done = _events(document, step="switch", kinds=("done",))
    return done[0].seconds if done else None


def _events(document: ReleaseDocument, *, step: str, kinds: tuple[str, ...]) -> list[Event]:
    return [event for event in document.timeline if event.step == step and event.kind in kinds]
