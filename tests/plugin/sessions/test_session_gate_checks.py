"""Every check of the gate has a release that it catches; a check without one is a check nobody has seen to work."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from _pytest.mark.structures import ParameterSet

from cakravia_verify.gate.model import Budget, Evidence, Measured
from cakravia_verify.gate.rules import judge
from cakravia_verify.plugin.sessions.registry import SESSION_TYPES
from tests.plugin.sessions.lanes import Lanes, Scenario
from tests.plugin.sessions.test_session_bad_releases import HARMFUL, HARMLESS
from tests.plugin.sessions.test_session_sabotage import ALL

SCENARIOS = {scenario.name: scenario for scenario in (*HARMLESS, *HARMFUL, *ALL)}
# The gate's own checks: in these releases they do not pass.
CAUGHT_BY = {
    "steps": "errors",
    "identity": "candidate-restarted-at-the-end",
    "health": "never-ready",
    "smoke": "errors-at-smoke",
    "confirm": "candidate-killed-before-the-switch",
    "serving": "flipped-back-at-the-end",
    "bake": "candidate-hung-in-the-bake",
    "samples": "too-little-traffic",
    "coverage": "traffic-missing",  # tests/plugin/sessions/test_session_coverage.py has an entry that is never asked
    "schedule": "traffic-missing",
    "ledger": "records-cut",
    "lost": "slower-than-patience",
    "unreached": "nginx-killed",
    "duplicated": "orders-replayed",
    "fence": "flipped-back-and-forth",
    "masked": "old-slot-stands-in",
    "errors": "lying-health",
    "latency": "slow",
    "users": "candidate-killed-before-the-switch",
    "judgement": "slower-than-before",
    "objection 1": "own-gate-objects",
    "suite": "no-suite",
}
# The checks that an operator's suites are made of (those of suites/load: tests/load): in these releases they fail.
FAIL_IN = {
    "deploy": {
        "test_candidate_is_staged_in_the_idle_slot": "no-start",
        "test_users_stay_on_the_active_slot_while_the_candidate_warms_up": "users-moved-early",
        "test_candidate_answers_before_any_user_reaches_it": "errors-at-smoke",
        "test_switchover_brings_users_to_the_candidate": "candidate-killed-before-the-switch",
        "test_old_slot_drained": "request-held-on-the-old-slot",
        "test_candidate_keeps_within_budget_through_the_bake": "slow",
        "test_no_request_was_lost": "connections-broken-at-last",
    },
    "rollback": {
        "test_target_is_healthy_before_users_return": "back-to-never-ready",
        "test_users_stay_where_they_are_until_then": "back-moved-early",
        "test_users_are_back_on_the_target": "back-killed-before-the-switch",
        "test_target_keeps_within_budget_through_the_bake": "back-to-slow",
        "test_no_request_was_lost_going_back": "back-connections-broken",
    },
}


def each_check(caught_by: Mapping[str, str]) -> list[ParameterSet]:
    """Return checks with their scenarios as parameters of a test. A check is as slow as its scenario."""
    return [
        pytest.param(check, SCENARIOS[name], id=check, marks=[pytest.mark.slow] if SCENARIOS[name].slow else [])
        for check, name in caught_by.items()
    ]


def test_every_check_of_the_gate_has_a_release_that_it_catches() -> None:
    checks = {
        check.name
        for each in (Evidence(objections=("no",), measured=Measured(judgement="FAIL")), Evidence())
        for check in judge(each, Budget()).checks
    }
    assert checks == set(CAUGHT_BY)


def test_every_required_check_of_a_release_suite_has_a_release_that_it_catches() -> None:
    required = {each.policy.name: set(each.required) for each in SESSION_TYPES if each.policy.switches_users}
    assert {kind: set(names) for kind, names in FAIL_IN.items()} == required


@pytest.mark.parametrize(("check", "scenario"), each_check(CAUGHT_BY))
def test_check_does_not_pass_in_the_release_that_it_must_catch(check: str, scenario: Scenario, lanes: Lanes) -> None:
    assert standings(scenario, lanes)[check] != "passed", lanes.seen(scenario).told


@pytest.mark.parametrize(("check", "scenario"), each_check(FAIL_IN["deploy"] | FAIL_IN["rollback"]))
def test_suites_own_check_fails_in_the_release_that_it_must_catch(check: str, scenario: Scenario, lanes: Lanes) -> None:
    found = standings(scenario, lanes)
    assert found[f"test {check}"] == "failed", lanes.seen(scenario).told


@pytest.mark.slow
def test_judgement_alone_keeps_back_a_version_that_is_within_every_limit_but_slower(lanes: Lanes) -> None:
    found = standings(SCENARIOS["slower-than-before"], lanes)
    against = {check for check, standing in found.items() if standing == "failed"}
    assert against == {"judgement", "test test_candidate_keeps_within_budget_through_the_bake"}


def standings(scenario: Scenario, lanes: Lanes) -> dict[str, str]:
    """How every check of the scenario's verdict came out."""
    return {each["name"]: each["standing"] for each in lanes.seen(scenario).verdict["checks"]}
