"""The checks of the gate as lines of a table."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from cakravia_verify.gate.model import Check, CheckStatus, Measured
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.text.formats import one_line, zero_in_words

# These checks count requests. If the count is zero, the line shows what that proves.
_COUNTED_OF_ALL = ("lost", "unreached", "duplicated", "masked", "errors")


@dataclass(frozen=True)
class CheckLine:
    """A check as a line of a table. A test is shown as the claim of its name, and `place` is its id."""

    title: str
    place: str
    standing: CheckStatus
    value: str
    threshold: str


def check_lines(document: ReleaseDocument) -> tuple[CheckLine, ...]:
    """Return every check of the gate, first those that did not pass."""
    rank = {CheckStatus.FAILED: 0, CheckStatus.UNKNOWN: 1, CheckStatus.PASSED: 2}
    measured = document.evidence.measured or Measured()
    of_all = {name: zero_in_words(getattr(measured, name), measured.sent) for name in _COUNTED_OF_ALL}
    of_all["fence"] = zero_in_words(measured.fence_violations, measured.sent_after_switch)
    of_all["sessions"] = zero_in_words(measured.old_sessions_failed, measured.old_sessions)
    of_all["open pages"] = zero_in_words(measured.broken_pages, measured.open_pages)
    checks = (_as_told(check, measured) for check in document.verdict.checks)
    ranked = sorted(checks, key=lambda check: rank[check.standing])
    return tuple(_line(check, bound=of_all.get(check.name, "")) for check in ranked)


def _as_told(check: Check, measured: Measured) -> Check:
    """Return the check as people see it: what only informs is no pass if it showed nothing good."""
    if check.name == "growth" and check.standing is CheckStatus.PASSED and measured.growth:
        return replace(check, standing=CheckStatus.UNKNOWN, title="The candidate grows; this does not decide")
    if check.name != "judgement" or check.standing is not CheckStatus.PASSED or measured.judgement == "PASS":
        return check
    if measured.judgement == "INCONCLUSIVE" and measured.judgement_gross == "PASS":
        return replace(check, title="The candidate is not grossly worse than the previous slot; no more was proven")
    could = "could not be compared with" if measured.judgement == "INCONCLUSIVE" else "is not as good as"
    title = f"The candidate {could} the previous slot; this does not decide"
    return replace(check, standing=CheckStatus.UNKNOWN, title=title)


def _line(check: Check, *, bound: str) -> CheckLine:
    is_test = check.name.startswith("test ")
    value = check.value
    if check.detail and check.detail != check.value:
        value = check.detail if check.detail.startswith(f"{check.value} ") else f"{check.value}; {check.detail}"
    value = f"{value}, {bound}" if bound and bound not in value else value
    title = claim_of(check.title) if is_test else check.title
    return CheckLine(title, check.title if is_test else "", check.standing, value, check.threshold)


def claim_of(nodeid: str) -> str:
    """Return a test's name as a claim: `a.py::test_no_request_was_lost[blue]` becomes "No request was lost [blue]"."""
    path, _, name = nodeid.partition("::")
    bare, bracket, parameters = (name or path).partition("[")
    words = re.sub(r"^test_+", "", bare.rpartition("::")[2]).replace("_", " ").strip()
    claim = f"{words[:1].upper()}{words[1:]}" or nodeid
    return one_line(f"{claim} [{parameters}" if bracket else claim, limit=400)
