"""Good releases promote, however unsteady the road: a gate that refuses everything protects nobody."""

from __future__ import annotations

import pytest

from tests.plugin.sessions.lanes import Lanes, Scenario, each
from tests.plugin.sessions.test_session_sabotage import bent

OBSERVER_FAILS = """
def pytest_cakravia_step(event):
    if event.step in ("switch", "promote"):
        pytest.fail("an observer of somebody's")
def pytest_cakravia_outcome():
    raise SystemExit(3)
"""
REVERSED = """
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items.reverse()
"""
DOCTEST = '''
def twice(number):
    """
    >>> twice(2)
    4
    """
    return 2 * number
'''
GOOD = (
    Scenario("plain", check=True),
    Scenario("late-ready", misbehave="late-ready:1.5", slow=True),
    Scenario("flap", ("--set", "health.deadline=10"), misbehave="flap:4"),
    Scenario("unsteady-latency", ("--set", "traffic.arrivals=poisson"), misbehave="slow:0.005", slow=True),
    Scenario("ignores-sigterm", misbehave="ignore-sigterm", slow=True),
    Scenario("double-orders-nobody-repeats", misbehave="double-orders", slow=True),
    Scenario(
        "errors-within-budget",
        (
            "--set",
            "budget.errors=0.2",
            "--set",
            "budget.broken_pages=9",
            "--set",
            'release.smoke=[{path="/api/health/live"}]',
        ),
        misbehave="errors:0.02",
        slow=True,
    ),
    Scenario(
        "losses-within-budget",
        ("--set", "budget.lost=60", "--set", 'release.smoke=[{path="/api/health/live"}]'),
        misbehave="corrupt:0.02",
        slow=True,
    ),
    Scenario("leak-within-limit", misbehave="leak:1000", slow=True),
    Scenario("not-kept-warm", ("--set", "slots.keep_warm=false"), slow=True),
    Scenario("round-trip", ("--round-trip", "0.02")),
    Scenario("reference-mix", ("--set", "traffic.profile=reference", "--set", "traffic.mix=[]"), slow=True),
    Scenario("own-gate-agrees", ("-p", "sabotage"), environment={"CAKRAVIA_TEST_SABOTAGE": "nothing"}, slow=True),
    Scenario("quiet", ("-q",), slow=True),
    Scenario("verbose-and-strict", ("-vv", "-W", "error", "--strict-markers"), slow=True),
    Scenario("fail-fast", ("-x",), slow=True),
    Scenario("uncaptured", ("-s",), slow=True),
    Scenario("observer-fails", session=bent(conftest=OBSERVER_FAILS), slow=True),
    Scenario("checks-in-another-order", session=bent(conftest=REVERSED), slow=True),
    Scenario("doctest-beside", session=bent(test=DOCTEST, more=("--doctest-modules",)), slow=True),
)


@pytest.mark.parametrize("scenario", each(*GOOD))
def test_good_release_promotes(scenario: Scenario, lanes: Lanes) -> None:
    seen = lanes.seen(scenario)
    assert seen.ended.status == 0, seen.told
    assert seen.verdict["decision"] == "PROMOTE"
    assert seen.after[0] == seen.version
    assert seen.outcome == "promoted"
    assert seen.state.drift == ()
    assert seen.verdict["evidence"]["measured"]["lost"] <= seen.verdict["budget"]["lost"]
