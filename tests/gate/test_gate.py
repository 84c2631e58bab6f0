"""The gate says PROMOTE for shown, sufficient evidence within budget, and for nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cakravia_verify.gate.model import Budget, CheckStatus, Decision, Evidence, Measured
from cakravia_verify.gate.rules import is_candidate_well, judge

GOOD_MEASURED = Measured(
    sent=5_000,
    answered=5_000,
    lost=0,
    errors=0,
    unreached=0,
    duplicated=0,
    masked=0,
    fence_violations=0,
    candidate_answers=2_500,
    answers_each={"page": 2_250, "checkout": 250},
    share_held=0.999,
    p50=0.01,
    p99=0.2,
    longest_gap=0.1,
    integrity=(),
    idle_closes=0,
    sent_after_switch=2_500,
    errors_after_switch=0,
)
GOOD = Evidence(
    release="r1",
    version="v2",
    candidate="green (v2)",
    candidate_slot="green",
    built_digest="sha256:a",
    running_digest="sha256:a",
    has_previous=True,
    health_rounds=3,
    health_rounds_needed=3,
    bake_rounds=40,
    bake_seconds=10.1,
    bake_seconds_planned=10.0,
    smoke_passed=1,
    smoke_planned=1,
    confirmations=10,
    confirmations_needed=10,
    serving="green (v2)",
    serving_slot="green",
    serving_version="v2",
    serving_digest="sha256:a",
    required={"test_a": "passed", "test_b": "passed"},
    measured=GOOD_MEASURED,
)
BUDGET = Budget()
# What the gate decides by; the rest of the fields tell the story.
DECIDING_MEASURES = (
    "sent",
    "lost",
    "errors",
    "unreached",
    "duplicated",
    "masked",
    "fence_violations",
    "candidate_answers",
    "share_held",
    "p99",
    "integrity",
    "sent_after_switch",
    "errors_after_switch",
)
# A first release has no version before it, and so no traffic before its switch.
NOT_OF_A_FIRST = ("fence_violations", "sent_after_switch", "errors_after_switch")
DECIDING = (
    "candidate_slot",
    "built_digest",
    "running_digest",
    "health_rounds",
    "bake_rounds",
    "bake_seconds",
    "smoke_passed",
    "confirmations",
    "serving_slot",
    "serving_version",
    "serving_digest",
    "required",
    "measured",
)
RANK = {Decision.ROLL_BACK: 0, Decision.INCONCLUSIVE: 1, Decision.PROMOTE: 2}


def measured(**facts: Any) -> Evidence:
    return replace(GOOD, measured=replace(GOOD_MEASURED, **facts))


@pytest.mark.parametrize(
    ("pages", "broken", "allowed", "decision"),
    [
        (3, 0, 0, Decision.PROMOTE),
        (3, 1, 0, Decision.ROLL_BACK),
        (3, 1, 1, Decision.PROMOTE),
        (3, None, 0, Decision.INCONCLUSIVE),
        (3, -1, 0, Decision.INCONCLUSIVE),
        (0, None, 0, Decision.PROMOTE),
        (None, None, 0, Decision.PROMOTE),
    ],
)
def test_a_release_that_breaks_open_pages_is_not_promoted(
    pages: int | None, broken: int | None, allowed: int, decision: Decision
) -> None:
    verdict = judge(measured(open_pages=pages, broken_pages=broken), replace(BUDGET, broken_pages=allowed))
    assert verdict.decision is decision
    shown = [check.value for check in verdict.checks if check.name == "open pages"]
    assert shown == ([] if not pages else ["not measured" if broken is None else f"{broken} of {pages}"])


def test_good_and_complete_evidence_promotes() -> None:
    verdict = judge(GOOD, BUDGET)
    assert verdict.is_promote
    assert all(check.standing is CheckStatus.PASSED for check in verdict.checks)


def test_no_evidence_at_all_is_inconclusive() -> None:
    assert judge(Evidence(), BUDGET).decision is Decision.INCONCLUSIVE


@pytest.mark.parametrize("name", DECIDING)
def test_evidence_without_one_of_its_parts_does_not_promote(name: str) -> None:
    missing: Any = getattr(Evidence(), name)
    assert not judge(replace(GOOD, **{name: missing}), BUDGET).is_promote


@pytest.mark.parametrize("name", DECIDING_MEASURES)
def test_traffic_with_one_number_not_measured_is_inconclusive(name: str) -> None:
    assert judge(measured(**{name: None}), BUDGET).decision is Decision.INCONCLUSIVE


def test_a_release_said_to_have_no_previous_version_only_on_purpose() -> None:
    assert Evidence().has_previous
    first = replace(measured(fence_violations=None), has_previous=False)
    assert judge(first, BUDGET).is_promote


@pytest.mark.parametrize(
    ("facts", "decision"),
    [
        ({"failure": "green (v2) did not become healthy"}, Decision.ROLL_BACK),
        ({"running_digest": "sha256:b"}, Decision.ROLL_BACK),
        ({"serving_slot": "blue"}, Decision.ROLL_BACK),
        ({"serving_version": "v1"}, Decision.ROLL_BACK),
        ({"serving_digest": "sha256:b"}, Decision.ROLL_BACK),
        ({"serving_problem": "no answer"}, Decision.ROLL_BACK),
        ({"is_candidate_gone": True}, Decision.ROLL_BACK),
        ({"running_digest": ""}, Decision.INCONCLUSIVE),
        ({"serving_digest": ""}, Decision.INCONCLUSIVE),
        ({"objections": ("the shop sold nothing",)}, Decision.ROLL_BACK),
        ({"bake_seconds": 9.9}, Decision.ROLL_BACK),
        ({"bake_bad_rounds": 20}, Decision.ROLL_BACK),
        ({"bake_rounds": 1, "bake_bad_rounds": 1}, Decision.ROLL_BACK),
        ({"bake_bad_rounds": -1}, Decision.ROLL_BACK),
        ({"health_rounds": 2}, Decision.INCONCLUSIVE),
        ({"confirmations": 9}, Decision.INCONCLUSIVE),
        ({"interrupted": "SIGTERM"}, Decision.INCONCLUSIVE),
        ({"interrupted": "SIGTERM", "failure": "KeyboardInterrupt"}, Decision.INCONCLUSIVE),
    ],
)
def test_the_release_itself_decides(facts: dict[str, Any], decision: Decision) -> None:
    assert judge(replace(GOOD, **facts), BUDGET).decision is decision


@pytest.mark.parametrize(
    ("outcome", "decision"),
    [
        ("failed", Decision.ROLL_BACK),
        ("error", Decision.ROLL_BACK),
        ("skipped", Decision.INCONCLUSIVE),
        ("xfailed", Decision.INCONCLUSIVE),
        ("xpassed", Decision.INCONCLUSIVE),
        ("deselected", Decision.INCONCLUSIVE),
        ("rerun", Decision.INCONCLUSIVE),
        ("missing", Decision.INCONCLUSIVE),
        ("PASSED", Decision.INCONCLUSIVE),
        ("", Decision.INCONCLUSIVE),
    ],
)
def test_a_required_check_speaks_for_promotion_only_where_it_passed(outcome: str, decision: Decision) -> None:
    assert judge(replace(GOOD, required={"test_a": "passed", "test_b": outcome}), BUDGET).decision is decision


@pytest.mark.parametrize(
    ("facts", "decision"),
    [
        ({"lost": 1}, Decision.ROLL_BACK),
        ({"unreached": 1}, Decision.ROLL_BACK),
        ({"duplicated": 1}, Decision.ROLL_BACK),
        ({"fence_violations": 1}, Decision.ROLL_BACK),
        ({"masked": 1}, Decision.ROLL_BACK),
        ({"errors": 1}, Decision.ROLL_BACK),
        ({"errors_after_switch": 1}, Decision.ROLL_BACK),
        ({"errors_after_switch": -1}, Decision.INCONCLUSIVE),
        ({"sent_after_switch": 0}, Decision.INCONCLUSIVE),
        ({"p99": 2.51}, Decision.ROLL_BACK),
        ({"p99": float("nan")}, Decision.ROLL_BACK),
        ({"sent": 199}, Decision.INCONCLUSIVE),
        ({"sent": 0, "answered": 0, "candidate_answers": 0}, Decision.INCONCLUSIVE),
        ({"share_held": 0.98}, Decision.INCONCLUSIVE),
        ({"share_held": float("nan")}, Decision.INCONCLUSIVE),
        ({"candidate_answers": 0}, Decision.INCONCLUSIVE),
        ({"answers_each": None}, Decision.INCONCLUSIVE),
        ({"answers_each": {}}, Decision.INCONCLUSIVE),
        ({"answers_each": {"page": 2_500, "checkout": 4}}, Decision.INCONCLUSIVE),
        ({"answers_each": {"page": 2_495, "checkout": 5}}, Decision.PROMOTE),
        ({"answers_each": {"page": 2_500, "checkout": -1}}, Decision.INCONCLUSIVE),
        ({"integrity": ("3 x torn rows",)}, Decision.INCONCLUSIVE),
        ({"lost": -1}, Decision.INCONCLUSIVE),
        ({"errors": -1}, Decision.INCONCLUSIVE),
        ({"p99": -0.1}, Decision.INCONCLUSIVE),
        ({"candidate_answers": -5}, Decision.INCONCLUSIVE),
    ],
)
def test_the_traffic_decides(facts: dict[str, Any], decision: Decision) -> None:
    assert judge(measured(**facts), BUDGET).decision is decision


def test_kind_of_request_that_the_candidate_never_answered_is_named() -> None:
    verdict = judge(measured(answers_each={"page": 2_500, "checkout": 0}), BUDGET)
    assert verdict.decision is Decision.INCONCLUSIVE
    assert "not covered: checkout: 0 (required: >= 5 each)" in verdict.why


def test_no_kind_needs_an_answer_if_the_budget_asks_for_none() -> None:
    verdict = judge(measured(answers_each=None), replace(BUDGET, min_each=0))
    assert verdict.is_promote
    assert "coverage" not in {check.name for check in verdict.checks}


def test_one_flap_in_the_bake_does_not_stop_a_good_release() -> None:
    assert judge(replace(GOOD, bake_bad_rounds=1), BUDGET).is_promote


def test_a_budget_allows_what_it_says_and_not_one_more() -> None:
    budget = Budget(lost=2, errors=0.001)
    assert judge(measured(lost=2, errors=5, errors_after_switch=2), budget).is_promote
    assert judge(measured(lost=3), budget).decision is Decision.ROLL_BACK
    assert judge(measured(errors=6), budget).decision is Decision.ROLL_BACK


@pytest.mark.parametrize(
    "budget", [Budget(errors=float("nan")), Budget(p99=float("nan")), Budget(lost=-1), Budget(min_rate_held=2.0)]
)
def test_a_budget_of_nonsense_never_promotes(budget: Budget) -> None:
    assert not judge(GOOD, budget).is_promote


def test_errors_of_the_candidate_are_not_diluted_by_the_good_answers_of_the_version_before() -> None:
    seen = measured(sent=1_539, errors=40, sent_after_switch=270, errors_after_switch=40)
    verdict = judge(seen, Budget(errors=0.03))
    assert verdict.decision is Decision.ROLL_BACK
    (failed,) = (check for check in verdict.checks if check.standing is CheckStatus.FAILED)
    assert (failed.name, failed.value) == ("errors", "40 (2.599%), 40 (14.815%) since the switch")
    assert judge(seen, Budget(errors=0.149)).is_promote


def test_errors_before_the_switch_count_in_the_share_of_the_whole_run() -> None:
    assert judge(measured(errors=6, errors_after_switch=0), Budget(errors=0.001)).decision is Decision.ROLL_BACK


@pytest.mark.parametrize("name", ["lost", "errors", "unreached", "masked"])
def test_what_is_excused_does_not_decide_and_is_told_beside_what_counts(name: str) -> None:
    own: dict[str, Any] = {name: 61, "excused": {name: 61}}
    verdict = judge(measured(**own), BUDGET)
    assert verdict.is_promote
    (check,) = (check for check in verdict.checks if check.name == name)
    assert check.value.startswith("0")
    assert check.value.endswith("; 61 more before the switch count against the version before")
    assert judge(measured(**own | {name: 62}), BUDGET).decision is Decision.ROLL_BACK
    assert judge(measured(**own | {name: 60}), BUDGET).decision is Decision.INCONCLUSIVE


def test_why_names_the_failed_check_its_value_and_its_threshold() -> None:
    why = judge(measured(lost=7), BUDGET).why
    assert "Lost requests: 7 (required: 0)" in why


numbers = st.one_of(st.none(), st.integers(-2, 6_000))
shares = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(0, 1.2))
any_measured = st.builds(
    Measured,
    sent=numbers,
    answered=numbers,
    lost=numbers,
    errors=numbers,
    unreached=numbers,
    duplicated=numbers,
    masked=numbers,
    fence_violations=numbers,
    candidate_answers=numbers,
    sent_after_switch=numbers,
    errors_after_switch=numbers,
    share_held=shares,
    p99=shares,
    integrity=st.one_of(st.none(), st.just(()), st.just(("torn",))),
)
outcomes = st.sampled_from(["passed", "failed", "skipped", "xfailed", "deselected", "missing", "error", "rerun"])
any_evidence = st.builds(
    Evidence,
    candidate_slot=st.sampled_from(["", "green"]),
    version=st.sampled_from(["", "v2"]),
    built_digest=st.sampled_from(["", "a", "b"]),
    running_digest=st.sampled_from(["", "a", "b"]),
    has_previous=st.booleans(),
    health_rounds=st.integers(0, 4),
    health_rounds_needed=st.integers(1, 4),
    bake_rounds=st.integers(0, 50),
    bake_bad_rounds=st.integers(0, 50),
    bake_seconds=shares,
    bake_seconds_planned=st.floats(0, 1),
    smoke_passed=st.integers(0, 2),
    smoke_planned=st.integers(0, 2),
    confirmations=st.integers(0, 3),
    confirmations_needed=st.integers(1, 3),
    serving_slot=st.sampled_from(["", "green", "blue"]),
    serving_version=st.sampled_from(["", "v2", "v1"]),
    serving_digest=st.sampled_from(["", "a", "b"]),
    serving_problem=st.sampled_from(["", "no answer"]),
    is_candidate_gone=st.booleans(),
    failure=st.sampled_from(["", "boom"]),
    interrupted=st.sampled_from(["", "SIGINT"]),
    required=st.dictionaries(st.sampled_from(["a", "b", "c"]), outcomes),
    measured=st.one_of(st.none(), any_measured),
    objections=st.sampled_from([(), ("no",)]),
)


def nearly_good() -> st.SearchStrategy[Evidence]:
    """Good evidence with a few fields drawn anew: promotions happen here, so that implications are not empty."""

    def mixed(other: Evidence, names: list[str]) -> Evidence:
        return replace(GOOD, **{name: getattr(other, name) for name in names})

    names = st.lists(st.sampled_from([field.name for field in fields(Evidence)]), max_size=2)
    return st.builds(mixed, any_evidence, names)


@given(st.one_of(any_evidence, nearly_good()))
def test_promote_implies_that_everything_was_shown_and_within_budget(evidence: Evidence) -> None:
    if not judge(evidence, BUDGET).is_promote:
        return
    seen = evidence.measured
    assert seen is not None
    for name in DECIDING_MEASURES:
        assert getattr(seen, name) is not None or (name in NOT_OF_A_FIRST and not evidence.has_previous)
    assert not evidence.failure
    assert not evidence.interrupted
    assert not evidence.objections
    assert evidence.serving_slot == evidence.candidate_slot != ""
    assert evidence.serving_version == evidence.version != ""
    assert evidence.serving_digest == evidence.built_digest
    assert not evidence.is_candidate_gone
    assert evidence.built_digest == evidence.running_digest != ""
    assert evidence.health_rounds >= evidence.health_rounds_needed
    assert evidence.smoke_passed >= evidence.smoke_planned
    assert evidence.confirmations >= evidence.confirmations_needed
    assert evidence.bake_rounds > 0
    assert evidence.bake_seconds is not None
    assert evidence.bake_seconds >= evidence.bake_seconds_planned
    assert evidence.required
    assert set(evidence.required.values()) == {"passed"}
    assert (seen.sent or 0) >= BUDGET.min_requests
    assert seen.lost == seen.unreached == seen.duplicated == seen.masked == 0
    assert (seen.candidate_answers or 0) > 0
    assert min((seen.answers_each or {"": 0}).values()) >= BUDGET.min_each
    assert (seen.share_held or 0) >= BUDGET.min_rate_held
    assert seen.integrity == ()


WORSE: dict[str, Callable[[Any], Any]] = {
    "lost": lambda value: value + 1,
    "errors": lambda value: value + 1,
    "errors_after_switch": lambda value: value + 1,
    "unreached": lambda value: value + 1,
    "duplicated": lambda value: value + 1,
    "masked": lambda value: value + 1,
    "fence_violations": lambda value: value + 1,
    "p99": lambda value: value * 2 + 0.1,
    "candidate_answers": lambda value: value // 2,
    "share_held": lambda value: value / 2,
}
known = st.integers(0, 6_000)
any_known_measured = st.builds(
    Measured,
    sent=known,
    lost=known,
    errors=known,
    unreached=known,
    duplicated=known,
    masked=known,
    fence_violations=known,
    candidate_answers=known,
    sent_after_switch=known,
    errors_after_switch=known,
    share_held=st.floats(0, 1),
    p99=st.floats(0, 5),
    integrity=st.sampled_from([(), ("torn",)]),
)


@given(
    st.one_of(any_evidence, nearly_good()),
    st.one_of(st.just(GOOD_MEASURED), any_known_measured),
    st.sampled_from([*WORSE]),
)
def test_worse_traffic_never_makes_a_better_verdict(evidence: Evidence, seen: Measured, name: str) -> None:
    before = judge(replace(evidence, measured=seen), BUDGET)
    worse = replace(seen, **{name: WORSE[name](getattr(seen, name))})
    after = judge(replace(evidence, measured=worse), BUDGET)
    assert RANK[after.decision] <= RANK[before.decision]


@given(st.one_of(any_evidence, nearly_good()), st.sampled_from(["a", "b", "c", "d"]), outcomes)
def test_one_more_required_check_never_makes_a_better_verdict(evidence: Evidence, name: str, outcome: str) -> None:
    if name in evidence.required or not evidence.required:
        return
    after = judge(replace(evidence, required={**evidence.required, name: outcome}), BUDGET)
    assert RANK[after.decision] <= RANK[judge(evidence, BUDGET).decision]


@given(st.one_of(any_evidence, nearly_good()), st.sampled_from(["failure", "objections"]))
def test_a_failure_or_an_objection_never_makes_a_better_verdict(evidence: Evidence, name: str) -> None:
    worse = replace(evidence, **{name: "boom" if name == "failure" else ("no",)})  # type: ignore[arg-type]
    assert RANK[judge(worse, BUDGET).decision] <= RANK[judge(evidence, BUDGET).decision]
    assert not judge(worse, BUDGET).is_promote


def test_candidate_is_well_whatever_its_traffic_showed() -> None:
    assert is_candidate_well(GOOD)
    assert is_candidate_well(replace(GOOD, measured=None))
    assert is_candidate_well(replace(GOOD, measured=Measured(sent=5, lost=5)))
    assert is_candidate_well(replace(GOOD, required={}))


@pytest.mark.parametrize(
    "facts",
    [
        {"failure": "it ended by itself"},
        {"interrupted": "SIGTERM"},
        {"objections": ("not on a Friday",)},
        {"running_digest": "sha256:other"},
        {"running_digest": ""},
        {"health_rounds": 0},
        {"smoke_passed": 0},
        {"confirmations": 0},
        {"serving_slot": "blue"},
        {"serving_slot": ""},
        {"bake_rounds": 0},
        {"bake_seconds": 0.1},
        {"bake_bad_rounds": 9},
    ],
    ids=str,
)
def test_candidate_that_was_not_shown_to_be_well_is_not_well(facts: dict[str, Any]) -> None:
    assert not is_candidate_well(replace(GOOD, **facts))


def test_a_verdict_does_not_depend_on_text_for_people() -> None:
    for text in ("", "blue (v1)"):
        assert judge(replace(GOOD, serving=text, candidate="another"), BUDGET).is_promote


@pytest.mark.parametrize(
    ("old", "failed", "new", "new_failed", "decision"),
    [
        (10, 10, 30, 0, Decision.ROLL_BACK),
        (10, 1, 30, 0, Decision.ROLL_BACK),
        (10, 10, 0, 0, Decision.ROLL_BACK),
        (10, 1, 20, 2, Decision.PROMOTE),
        (10, 0, 30, 0, Decision.PROMOTE),
        (0, 0, 30, 0, Decision.PROMOTE),
        (10, None, 30, 0, Decision.INCONCLUSIVE),
        (10, -1, 30, 0, Decision.INCONCLUSIVE),
        (-1, 0, 30, 0, Decision.INCONCLUSIVE),
    ],
)
def test_a_release_that_logs_users_out_is_not_promoted(
    old: int, failed: int | None, new: int, new_failed: int, decision: Decision
) -> None:
    seen = measured(old_sessions=old, old_sessions_failed=failed, new_sessions=new, new_sessions_failed=new_failed)
    assert judge(seen, BUDGET).decision is decision
