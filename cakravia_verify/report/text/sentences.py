"""What a release did, as sentences: the same on the page, in the job summary and on the terminal."""

from __future__ import annotations

from enum import StrEnum

from cakravia_verify.command_options import with_options
from cakravia_verify.gate.model import CheckStatus, Decision, Exit, Measured
from cakravia_verify.history.releases import PROMOTED, ROLLED_BACK, UNPROVEN
from cakravia_verify.kinds import policy_of
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.failing_users import failing_users
from cakravia_verify.report.switch_times import returned_at, switched_at
from cakravia_verify.report.text.formats import seconds_in_words


class Tone(StrEnum):
    """Whether the end of a release is good news."""

    GOOD = "good"
    BAD = "bad"
    UNSURE = "unsure"


def tone_of(document: ReleaseDocument) -> Tone:
    """GOOD only where decision, outcome and exit status all say so: promoted, within its budget, or passed."""
    decision = document.verdict.decision
    if not policy_of(document.kind).switches_users:
        is_good = decision in (Decision.WITHIN_BUDGET, Decision.PASSED) and document.exit_status == Exit.WITHIN_BUDGET
        is_bad = decision in (Decision.OVER_BUDGET, Decision.FAILED)
        return Tone.GOOD if is_good else Tone.BAD if is_bad else Tone.UNSURE
    if decision is Decision.PROMOTE and document.exit_status == Exit.PROMOTED and document.outcome == PROMOTED:
        return Tone.GOOD
    is_failing = bool(failing_users(document.traffic))
    if is_failing or document.exit_status == Exit.NEEDS_A_PERSON or decision is Decision.ROLL_BACK:
        return Tone.BAD
    return Tone.UNSURE


def headline(document: ReleaseDocument) -> str:
    """Return the verdict in a few words. The call for a person replaces every verdict."""
    return "A PERSON IS NEEDED" if document.exit_status == Exit.NEEDS_A_PERSON else str(document.verdict.decision)


def what_happened(document: ReleaseDocument) -> str:
    """Return in two or three sentences where users are and what they lost."""
    policy, measured = policy_of(document.kind), document.evidence.measured
    if not policy.switches_users and not policy.is_about_load:
        return f"{_check_result(document)} {_what_they_lost(measured) if measured else ''}".rstrip()
    said = (failing_users(document.traffic), _where_users_are(document), _what_they_lost(measured))
    return " ".join(filter(None, said))


def _where_users_are(document: ReleaseDocument) -> str:
    new = f"{document.version} ({document.slot})" if document.slot else document.version
    if not policy_of(document.kind).switches_users:
        return f"{_load_result(tone_of(document), new)} Users were not switched."
    if document.exit_status == Exit.NEEDS_A_PERSON:
        return f"The rollback did not complete. Check now which slot users reach. {new} was not promoted."
    if tone_of(document) is Tone.GOOD:
        return f"All users are on {new}."
    if document.outcome == UNPROVEN:
        return f"Users are back on {new}, which is healthy. The evidence for PROMOTE is not complete."
    if document.outcome != ROLLED_BACK:
        return (
            f"The decision is {document.verdict.decision}, but the release ended as {document.outcome or 'unfinished'}."
        )
    if not document.previous_version:
        return f"{new} was not promoted. No version was active before."
    if not _users_may_have_moved(document):
        return f"Users stayed on {document.previous_version}. The release of {new} ended before the switch."
    return f"Users are back on {document.previous_version}. They were on {new}{_for_how_long(document)}."


def _users_may_have_moved(document: ReleaseDocument) -> bool:
    """Return whether anything shows a switch. A switch that failed half-way counts."""
    measured = document.evidence.measured or Measured()
    hints = (switched_at(document) is not None, document.evidence.confirmations, measured.candidate_answers)
    return any(hints) or any(event.step == "switch" for event in document.timeline)


def _load_result(tone: Tone, new: str) -> str:
    if tone is Tone.UNSURE:
        return f"It is not proven that {new} can take this load."
    return f"{new} {'can' if tone is Tone.GOOD else 'cannot'} take this load within the budget."


def _check_result(document: ReleaseDocument) -> str:
    checks = document.verdict.checks
    passed = sum(check.standing is CheckStatus.PASSED for check in checks)
    return f"{passed} of {len(checks)} checks passed. Nothing was changed."


def _for_how_long(document: ReleaseDocument) -> str:
    there, back = switched_at(document), returned_at(document)
    if there is None or back is None or back < there:
        return " for some time"
    return f" for {seconds_in_words(back - there)}"


def _what_they_lost(measured: Measured | None) -> str:
    if measured is None or measured.sent is None or measured.lost is None:
        return "Lost requests were not measured."
    if measured.sent == 0:
        return "No request was sent, so nothing is proven."
    if measured.lost == 0 and measured.integrity:
        return f"None of {measured.sent:,} recorded requests was lost, but the records are not complete."
    lost = "None" if measured.lost == 0 else f"{measured.lost:,}"
    parts = [f"{lost} of {measured.sent:,} requests {'was' if measured.lost in (0, 1) else 'were'} lost"]
    parts += [f"{measured.unreached:,} could not be sent"] if measured.unreached else []
    parts += [f"{measured.errors:,} got an error answer"] if measured.errors else []
    return f"{', '.join(parts)}.{_not_counted(measured)}"


def _not_counted(measured: Measured) -> str:
    """Return the failures that do not count against the release; empty if there are none."""
    names = {"lost": "lost", "unreached": "not sent", "errors": "with an error answer"}
    parts = [f"{measured.excused[name]:,} {words}" for name, words in names.items() if measured.excused.get(name)]
    if not parts:
        return ""
    return f" Not counted: {', '.join(parts)} before the switch, because these are failures of the old version."


def what_to_do(document: ReleaseDocument) -> str:
    """Return what to do next. It is never empty."""
    if document.next_step:
        return document.next_step
    if document.exit_status == Exit.NEEDS_A_PERSON:
        return with_options("Run `cakravia status` to see which slot answers users, then `cakravia recover`.")
    if tone_of(document) is Tone.GOOD:
        return "Nothing."
    if not policy_of(document.kind).switches_users:
        return "Find out why some checks are unknown, then run the load again. Users are not affected."
    if document.outcome == UNPROVEN:
        return "Look at the checks that failed or are unknown. Users are not affected."
    if document.outcome != ROLLED_BACK:
        return with_options(
            "Run `cakravia status` to see which slot answers users. `cakravia recover` repairs what is half done."
        )
    if document.verdict.decision is Decision.ROLL_BACK:
        return "Correct what the failed checks name, then release again. Users are not affected."
    return "Find out why some checks are unknown, then release again. Users are not affected."
