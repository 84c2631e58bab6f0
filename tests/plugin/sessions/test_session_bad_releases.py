"""Every seeded bad release is refused, and those caught before the switch cost users nothing."""

from __future__ import annotations

import pytest

from tests.plugin.sessions.lanes import HOME, Lanes, Scenario, each

# Caught before any user reaches them.
HARMLESS = (
    Scenario("never-ready", ("--set", "health.deadline=2"), misbehave="never-ready", check=True),
    Scenario("too-late-ready", ("--set", "health.deadline=2"), misbehave="late-ready:30", slow=True),
    Scenario("wrong-version", misbehave="wrong-version:v0.0.0"),
    Scenario("wrong-slot", misbehave="wrong-slot", slow=True),
    Scenario("no-start", misbehave="no-start"),
    Scenario("errors-at-smoke", misbehave="errors:1"),
    Scenario("slow-at-smoke", misbehave="slow:5", slow=True),
    Scenario("lying-health-at-smoke", misbehave="lying-health", slow=True),
    Scenario("crash-at-smoke", misbehave="crash-after:0", slow=True),
)
# Caught once users are there: smoke asks only what such a release answers well.
SET = ("--set",)
NO_SMOKE = ("--set", 'release.smoke=[{path="/api/health/live"}]')
HARMFUL = (
    Scenario("errors", NO_SMOKE, misbehave="errors:0.2", check=True),
    Scenario("lying-health", NO_SMOKE, misbehave="lying-health", slow=True),
    Scenario("slow", (*NO_SMOKE, "--set", "budget.p99=0.3"), misbehave="slow:0.5", slow=True),
    Scenario("slower-than-patience", NO_SMOKE, misbehave="slow:4"),
    Scenario("crash-after", NO_SMOKE, misbehave="crash-after:60", slow=True),
    Scenario("corrupt", NO_SMOKE, misbehave="corrupt:0.5", slow=True),
    # Nothing but the comparison with the version before is against this one: 50 ms are within every limit.
    Scenario(
        "slower-than-before",
        (
            *SET,
            "budget.judge=require",
            *SET,
            "budget.judge_warm_up=0.2",
            "--bake",
            "3.5",
            "--rate",
            "400",
            "--users",
            "60",
        ),
        misbehave="slow:0.05",
        slow=True,
    ),
    Scenario("leak", (*NO_SMOKE, "--set", "slots.memory_limit=160M"), misbehave="leak:4000000", slow=True),
)


@pytest.mark.parametrize("scenario", each(*HARMLESS, *HARMFUL))
def test_bad_release_is_refused_and_users_are_where_they_were(scenario: Scenario, lanes: Lanes) -> None:
    seen = lanes.seen(scenario)
    assert seen.ended.status == 1, seen.told
    assert seen.verdict["decision"] == "ROLL BACK"
    assert seen.outcome == "rolled back"
    assert seen.after == seen.before == (HOME, seen.before[1])
    assert not seen.ended.has_traceback, seen.told
    assert seen.state.drift == ()


@pytest.mark.parametrize("scenario", each(*HARMLESS, *HARMFUL))
def test_candidate_of_a_bad_release_is_gone(scenario: Scenario, lanes: Lanes) -> None:
    seen = lanes.seen(scenario)
    assert seen.version not in seen.running
    assert seen.traffic_left == 0


@pytest.mark.parametrize("scenario", each(*HARMLESS))
def test_users_lose_nothing_to_a_release_caught_before_the_switch(scenario: Scenario, lanes: Lanes) -> None:
    seen = lanes.seen(scenario)
    measured = seen.verdict["evidence"]["measured"]
    assert (measured["lost"], measured["errors"], measured["unreached"]) == (0, 0, 0)
    assert measured["sent"] > 0
    assert seen.answers > 0
    assert seen.witnessed == ()
    assert seen.verdict["switch"]["at"] is None


@pytest.mark.parametrize("scenario", each(*HARMFUL))
def test_only_users_could_tell_that_these_are_bad(scenario: Scenario, lanes: Lanes) -> None:
    """Should smoke catch one of them, it would no longer show that the traffic does."""
    assert lanes.seen(scenario).verdict["switch"]["at"] is not None
