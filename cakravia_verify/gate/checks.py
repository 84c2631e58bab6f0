"""The rule that makes a verdict on checks of a site. It is pure and fails closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from cakravia_verify.gate.model import Check, CheckStatus, Decision, Verdict
from cakravia_verify.gate.rules import in_words, suite_checks

# A check that does not apply to this site, or that the command line left out, decides nothing.
NOT_ASKED: Final = frozenset({"skipped", "deselected"})


def judge_checks(
    outcomes: Mapping[str, str],
    *,
    reasons: Mapping[str, str] | None = None,
    interrupted: str = "",
    others: Sequence[Check] = (),
    trouble: str = "",
) -> Verdict:
    """Return the verdict on checks: PASSED needs at least one, and every one that applies must have passed.

    `outcomes` maps the name of each check to how it ended, and `reasons` to why it did not pass. `others` are checks of
    a load that was part of the session, and `trouble` is what kept that load from being measured.
    """
    asked = {name: outcome for name, outcome in outcomes.items() if outcome not in NOT_ASKED}
    of_suite = [replace(check, detail=(reasons or {}).get(check.title, "")) for check in suite_checks(asked)]
    checks = (*of_suite, *others)
    failed = [check for check in checks if check.standing is CheckStatus.FAILED]
    unknown = [check for check in checks if check.standing is CheckStatus.UNKNOWN]
    if interrupted:
        return Verdict(Decision.INCONCLUSIVE, f"interrupted: {interrupted}", checks)
    if failed:
        return Verdict(Decision.FAILED, in_words(failed), checks)
    if unknown or trouble:
        return Verdict(Decision.INCONCLUSIVE, trouble or in_words(unknown), checks)
    return Verdict(Decision.PASSED, f"all {len(checks)} checks passed", checks)
