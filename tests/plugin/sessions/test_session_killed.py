"""A release killed with SIGKILL at any step: users stay served, the next command ends on one healthy active slot."""

from __future__ import annotations

import pytest

from tests.plugin.sessions.lanes import HOME, Lanes, Scenario, each

MOMENTS = (
    "build.begins",
    "stage.begins",
    "stage.done",
    "prove.begins",
    "switch.begins",
    "switch.done",
    "drain.begins",
    "bake.begins",
)


def killed(moment: str, *, slow: bool, check: bool = False) -> Scenario:
    return Scenario(
        f"killed-{moment.replace('.', '-')}",
        sabotage=f"kill@{moment}",
        follow_up=("recover",),
        statuses=(-9,),
        slow=slow,
        check=check,
    )


UNDONE = tuple(killed(moment, slow=moment != "switch.done", check=moment == "switch.done") for moment in MOMENTS)
MIDWAY = tuple(
    Scenario(
        f"killed-in-{step}",
        sabotage=f"kill-midway@{step}.begins",
        follow_up=("recover",),
        statuses=(-9,),
        slow=step != "bake",
    )
    for step in ("prove", "bake")
)
FINISHED = tuple(
    killed(moment, slow=moment != "promote.begins") for moment in ("promote.begins", "promote.done", "cleanup.begins")
)
EXITED = Scenario(
    "os-exit-zero",
    ("-p", "exits"),
    environment={"CAKRAVIA_TEST_EXITS": "1"},
    follow_up=("recover",),
    statuses=(0,),
)


@pytest.mark.parametrize("scenario", each(*UNDONE, *MIDWAY, EXITED))
def test_killed_release_is_undone_by_the_next_command(scenario: Scenario, lanes: Lanes) -> None:
    seen = lanes.seen(scenario)
    assert seen.ended.status in scenario.statuses, seen.told
    assert seen.recovered is not None
    assert seen.recovered.status == 0, seen.recovered.output
    assert seen.after == seen.before == (HOME, seen.before[1])
    assert seen.version not in seen.running
    assert seen.outcome == "rolled back"
    assert seen.state.drift == ()


@pytest.mark.parametrize("scenario", each(*FINISHED))
def test_killed_promotion_is_finished_by_the_next_command(scenario: Scenario, lanes: Lanes) -> None:
    seen = lanes.seen(scenario)
    assert seen.ended.status == -9, seen.told
    assert seen.recovered is not None
    assert seen.recovered.status == 0, seen.recovered.output
    assert seen.after[0] == seen.version
    assert seen.outcome == "promoted"
    assert seen.state.drift == ()


@pytest.mark.parametrize("scenario", each(*UNDONE, *MIDWAY, *FINISHED, EXITED))
def test_users_lose_nothing_when_a_release_is_killed(scenario: Scenario, lanes: Lanes) -> None:
    seen = lanes.seen(scenario)
    assert seen.answers > 0
    assert seen.witnessed == ()


@pytest.mark.parametrize("scenario", each(*UNDONE, *MIDWAY, *FINISHED, EXITED))
def test_killed_release_leaves_neither_verdict_nor_traffic(scenario: Scenario, lanes: Lanes) -> None:
    seen = lanes.seen(scenario)
    assert seen.verdict == {}
    assert seen.traffic_left == 0


@pytest.mark.parametrize("scenario", each(*UNDONE, *MIDWAY, *FINISHED))
def test_history_tells_the_truth_about_a_killed_release(scenario: Scenario, lanes: Lanes) -> None:
    """Every entry is there once and in order, and every step that began has its intent before anything else."""
    seen = lanes.seen(scenario)
    numbers = [entry["seq"] for entry in seen.history]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    events = [entry["event"] for entry in seen.history]
    assert events[0] == "release.started"
    assert "recovery.started" in events
    assert events.index("recovery.started") < events.index("release.finished")
    done = [entry["step"] for entry in seen.history if entry["event"] == "step.done"]
    intents = [entry["step"] for entry in seen.history if entry["event"] == "step.intent"]
    assert set(done) <= set(intents)
