"""The verdict on checks of a site fails closed."""

from __future__ import annotations

import pytest

from cakravia_verify.gate.checks import judge_checks
from cakravia_verify.gate.model import Check, CheckStatus, Decision

LOST = Check("lost", "Lost requests", CheckStatus.FAILED, "3", "0")


def test_checks_that_all_passed_are_passed() -> None:
    assert judge_checks({"test_a": "passed", "test_b": "passed"}).decision is Decision.PASSED


def test_a_check_that_does_not_apply_decides_nothing() -> None:
    verdict = judge_checks({"test_a": "passed", "test_b": "skipped", "test_c": "deselected"})
    assert (verdict.decision, len(verdict.checks)) == (Decision.PASSED, 1)


@pytest.mark.parametrize("outcome", ["failed", "error"])
def test_one_failed_check_fails_the_site_and_says_why(outcome: str) -> None:
    verdict = judge_checks({"test_a": "passed", "test_b": outcome}, reasons={"test_b": "port 80 is in use"})
    assert verdict.decision is Decision.FAILED
    assert [check.detail for check in verdict.checks] == ["", "port 80 is in use"]


@pytest.mark.parametrize("outcome", ["missing", "rerun", "xfailed", "xpassed"])
def test_a_check_without_a_clear_end_is_inconclusive(outcome: str) -> None:
    assert judge_checks({"test_a": "passed", "test_b": outcome}).decision is Decision.INCONCLUSIVE


@pytest.mark.parametrize("outcomes", [{}, {"test_a": "skipped"}])
def test_no_check_at_all_is_inconclusive(outcomes: dict[str, str]) -> None:
    assert judge_checks(outcomes).decision is Decision.INCONCLUSIVE


def test_a_load_over_its_budget_fails_the_site() -> None:
    assert judge_checks({"test_a": "passed"}, others=[LOST]).decision is Decision.FAILED


def test_a_load_that_was_not_measured_is_inconclusive() -> None:
    verdict = judge_checks({"test_a": "passed"}, trouble="the load made way for a release")
    assert (verdict.decision, verdict.why) == (Decision.INCONCLUSIVE, "the load made way for a release")


def test_an_interrupted_check_is_inconclusive_whatever_failed() -> None:
    assert judge_checks({"test_a": "failed"}, interrupted="SIGINT").decision is Decision.INCONCLUSIVE
