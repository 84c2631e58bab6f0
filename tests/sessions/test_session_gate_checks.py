"""Every check of the gate has a release that it catches; a check without one is a check nobody has seen to work."""

from __future__ import annotations

import pytest

from cakravia_verify.gate import Budget, Evidence, judge
from cakravia_verify.plugin.checks import REQUIRED
from tests.sessions.lanes import Lanes, Scenario
from tests.sessions.test_session_bad_releases import HARMFUL, HARMLESS
from tests.sessions.test_session_sabotage import ALL

SCENARIOS = {scenario.name: scenario for scenario in (*HARMLESS, *HARMFUL, *ALL)}
CAUGHT_BY = {
    "steps": "errors",
    "identity": "candidate-restarted-at-the-end",
    "health": "never-ready",
    "smoke": "errors-at-smoke",
    "confirm": "candidate-killed-before-the-switch",
    "serving": "flipped-back-at-the-end",
    "bake": "candidate-hung-in-the-bake",
    "samples": "too-little-traffic",
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
    "objection 1": "own-gate-objects",
    "suite": "nothing-collected",
    **{f"test {name}": "one-check-only" for name in REQUIRED["deploy"]},
    "test test_no_request_was_lost": "deselected-by-name",
}


def test_every_check_of_the_gate_has_a_release_that_it_catches() -> None:
    evidence = Evidence(objections=("no",), required=dict.fromkeys(REQUIRED["deploy"], "passed"))
    checks = {check.name for each in (evidence, Evidence()) for check in judge(each, Budget()).checks}
    assert checks == set(CAUGHT_BY)


@pytest.mark.parametrize(
    ("check", "scenario"),
    [(check, SCENARIOS[name]) for check, name in CAUGHT_BY.items() if check != "suite"],
    ids=[check for check in CAUGHT_BY if check != "suite"],
)
def test_check_does_not_pass_in_the_release_that_it_must_catch(check: str, scenario: Scenario, lanes: Lanes) -> None:
    """`suite` stands for a session without any required check, which a release suite of ours cannot be."""
    seen = lanes.seen(scenario)
    standings = {each["name"]: each["standing"] for each in seen.verdict["checks"]}
    assert standings[check] != "passed", seen.told
