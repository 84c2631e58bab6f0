"""The rule that makes a verdict on a load: within its budget, over it, or not shown. It is pure and fails closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cakravia_verify.gate.model import Budget, Check, CheckStatus, Decision, Evidence, Measured, Verdict
from cakravia_verify.gate.rules import in_words, suite_checks, traffic_checks

# These checks need a switch: a load makes none.
_OF_A_SWITCH = frozenset({"coverage", "fence", "users"})


def judge_load(
    evidence: Evidence, budget: Budget, *, answered_by: Sequence[tuple[str, str]], trouble: str = ""
) -> Verdict:
    """Return the verdict on a load. WITHIN BUDGET needs every check passed; one failed check makes OVER BUDGET.

    `answered_by` holds the slot and version of every part that answered. `trouble` is what kept the load from being
    measured: with it the verdict is INCONCLUSIVE, whatever failed.
    """
    checks = tuple(_checks(evidence, budget, answered_by))
    failed = [check for check in checks if check.standing is CheckStatus.FAILED]
    unknown = [check for check in checks if check.standing is CheckStatus.UNKNOWN]
    if evidence.interrupted or trouble:
        return Verdict(Decision.INCONCLUSIVE, trouble or f"interrupted: {evidence.interrupted}", checks)
    if failed:
        return Verdict(Decision.OVER_BUDGET, in_words(failed), checks)
    if unknown:
        return Verdict(Decision.INCONCLUSIVE, in_words(unknown), checks)
    return Verdict(Decision.WITHIN_BUDGET, f"all {len(checks)} checks passed", checks)


def _checks(evidence: Evidence, budget: Budget, answered_by: Sequence[tuple[str, str]]) -> list[Check]:
    lasted = evidence.bake_seconds
    is_whole = lasted is not None and lasted >= evidence.bake_seconds_planned
    measured = traffic_checks(evidence.measured or Measured(), budget, has_previous=False)
    return [
        Check(
            "duration",
            "The load lasted its whole duration",
            CheckStatus.PASSED if is_whole else CheckStatus.UNKNOWN,
            evidence.failure or ("not measured" if lasted is None else f"{lasted:.1f} s"),
            f"{evidence.bake_seconds_planned:g} s",
        ),
        Check(
            "unswitched",
            "One slot and one version answered throughout",
            _unswitched(evidence, answered_by),
            "; ".join(" ".join(filter(None, each)) for each in answered_by) or "no answer named its slot",
            f"{evidence.candidate_slot} {evidence.version}",
        ),
        *suite_checks(evidence.required),
        *(_of_a_load(check) for check in measured if check.name not in _OF_A_SWITCH),
    ]


def _unswitched(evidence: Evidence, answered_by: Sequence[tuple[str, str]]) -> CheckStatus:
    """PASSED if exactly one part answered and it is the loaded one; a name that an answer left out is not compared."""
    if len(answered_by) != 1:
        return CheckStatus.UNKNOWN
    loaded = (evidence.candidate_slot, evidence.version)
    is_loaded = all(one in ("", other) for one, other in zip(answered_by[0], loaded, strict=True))
    return CheckStatus.PASSED if is_loaded else CheckStatus.UNKNOWN


def _of_a_load(check: Check) -> Check:
    if check.name == "masked":
        return replace(check, title="Requests that another slot answered instead of the active one")
    return check
