"""What the bake judgement does to a verdict."""

from __future__ import annotations

import pytest

from cakravia_verify.gate.model import Budget, Check, CheckStatus, Measured
from cakravia_verify.gate.rules import traffic_checks

PASSED, FAILED, UNKNOWN = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.UNKNOWN


def judged(judgement: str | None, judge: str, *, gross: str | None = "", has_previous: bool = True) -> Check | None:
    seen = Measured(judgement=judgement, judgement_gross=gross or judgement)
    checks = traffic_checks(seen, Budget(judge=judge), has_previous=has_previous)
    return next((check for check in checks if check.name == "judgement"), None)


@pytest.mark.parametrize(
    ("judgement", "gross", "inform", "require"),
    [
        ("PASS", "PASS", PASSED, PASSED),
        ("FAIL", "FAIL", FAILED, FAILED),
        ("FAIL", "PASS", PASSED, FAILED),
        ("FAIL", "INCONCLUSIVE", PASSED, FAILED),
        ("INCONCLUSIVE", "INCONCLUSIVE", PASSED, UNKNOWN),
        ("INCONCLUSIVE", "FAIL", FAILED, UNKNOWN),
        ("anything else", "anything else", UNKNOWN, UNKNOWN),
    ],
)
def test_a_ruling_weighs_as_configured(judgement: str, gross: str, inform: CheckStatus, require: CheckStatus) -> None:
    told, asked = judged(judgement, "inform", gross=gross), judged(judgement, "require", gross=gross)
    assert told is not None
    assert asked is not None
    assert (told.standing, asked.standing) == (inform, require)


def test_a_judgement_that_is_required_but_was_not_made_is_unknown() -> None:
    check = judged(None, "require")
    assert check is not None
    assert check.standing is UNKNOWN


@pytest.mark.parametrize("judge", ["inform", "require"])
def test_where_there_is_nothing_to_compare_with_nothing_is_asked(judge: str) -> None:
    assert judged("", judge) is None
    assert judged("FAIL", judge, has_previous=False) is None
