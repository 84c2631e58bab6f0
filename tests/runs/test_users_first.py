"""`cakravia rollback --now`: users go back before the proof, and stay there if the proof fails to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.errors import LockHeld, NotHealthy, NothingToDo
from cakravia_verify.history.releases import ROLLED_BACK, UNPROVEN, last_holding, unfinished
from cakravia_verify.proxy.protocol import ConfigurationState
from cakravia_verify.runs.preparation import Request
from cakravia_verify.runs.users_first import MovedUsers, hand_over, leave, leave_out_proof, move_users, take_over
from cakravia_verify.slots import Colour
from tests.memory_stage import Stage, events


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Green runs v2 and has the users; blue is warm with v1."""
    return promoted(tmp_path)


def promoted(folder: Path) -> Stage:
    made = Stage(folder)
    made.deploy("v1")
    made.deploy("v2")
    return made


def moved(stage: Stage, *, version: str = "") -> MovedUsers | None:
    return move_users(Request(kind="rollback", version=version), stage.opened())


def serving(stage: Stage) -> str:
    return stage.serving.version if stage.serving else ""


def test_users_are_on_the_target_before_it_is_proven(stage: Stage) -> None:
    known = len(events(stage))
    made = moved(stage)
    assert made is not None
    assert made.release.failure is None
    assert serving(stage) == "v1"
    done = [step for event, step in events(stage)[known:] if event == "step.done"]
    assert done == ["build", "prepare", "stage", "switch", "confirm"]
    made.release.advance("cleanup")
    assert {"prove", "smoke", "bake"} <= set(made.release.done)


def test_failover_cannot_hide_a_target_that_dies(stage: Stage) -> None:
    assert moved(stage) is not None
    assert stage.memory.failover is False


def test_a_configuration_is_not_reloaded_while_users_wait(stage: Stage) -> None:
    assert "refresh" not in stage.acts(lambda: moved(stage))


def test_no_reload_is_announced_that_is_not_made(stage: Stage) -> None:
    before = "http { client_max_body_size 1m; }"
    stage.memory.configuration = ConfigurationState(wanted=before.replace("1m", "9m"), written=before, loaded=before)
    made = moved(stage)
    assert made is not None
    assert not [line for line in made.preparation.notices if "reloaded" in line]


def test_a_target_that_does_not_run_changes_nothing(stage: Stage) -> None:
    del stage.memory.running[Colour.BLUE]
    known = len(events(stage))
    assert stage.acts(lambda: moved(stage)) == []
    assert len(events(stage)) == known
    assert stage.site.lock.holder() is None


def test_a_target_that_is_ill_gets_no_users(stage: Stage) -> None:
    stage.memory.sick.add("v1")
    made = moved(stage)
    assert made is not None
    assert isinstance(made.release.failure, NotHealthy)
    assert serving(stage) == "v2"
    leave(made)
    assert serving(stage) == "v2"
    assert stage.site.lock.holder() is None


def test_without_a_version_before_there_is_nothing_to_do(stage: Stage) -> None:
    with pytest.raises(NothingToDo):
        moved(stage, version="v2")
    assert stage.site.lock.holder() is None


def test_a_site_that_a_release_holds_is_left_alone(stage: Stage) -> None:
    other = stage.opened()
    other.lock.acquire("release v3")
    with pytest.raises(LockHeld):
        moved(stage)
    other.lock.release()
    assert serving(stage) == "v2"


def test_users_stay_on_the_target_if_the_session_is_killed(stage: Stage) -> None:
    made = moved(stage)
    assert made is not None
    made.site.lock.release()  # as if its process had ended
    stage.opened()
    assert stage.recover() == [UNPROVEN]
    assert serving(stage) == "v1"
    assert stage.site.observe().drift == ()


def test_users_stay_on_the_target_if_no_session_begins(stage: Stage) -> None:
    made = moved(stage)
    assert made is not None
    leave(made)
    last = last_holding(stage.site.journal.entries())
    assert last is not None
    assert (last.intent.version, last.outcome) == ("v1", UNPROVEN)
    assert (serving(stage), stage.site.lock.holder()) == ("v1", None)


@pytest.mark.parametrize(("is_ill", "kept"), [(False, True), (True, False)])
def test_a_signal_during_the_proof_leaves_users_on_a_healthy_target(stage: Stage, is_ill: bool, kept: bool) -> None:
    made = moved(stage)
    assert made is not None
    made.release.failure = KeyboardInterrupt()
    if is_ill:
        stage.memory.sick.add("v1")
    assert leave_out_proof(made.release) is kept
    if kept:
        made.release.advance("promote")
        assert serving(stage) == "v1"


def test_a_release_is_handed_over_once(stage: Stage) -> None:
    made = moved(stage)
    assert made is not None
    hand_over(made)
    assert take_over() is made
    assert take_over() is None


def test_a_machine_that_stops_while_users_move_comes_back_with_users_served(tmp_path: Path) -> None:
    point, died, outcomes = 0, True, set()
    while died:
        point += 1
        stage = promoted(tmp_path / str(point))
        site, request = stage.opened(), Request(kind="rollback", version="")
        died = stage.die_at(point, lambda site=site, request=request: move_users(request, site))  # type: ignore[misc]
        site.lock.release()
        outcomes.update(stage.recover())
        assert serving(stage) in ("v1", "v2"), point
        assert stage.site.observe().drift == (), point
        assert unfinished(stage.site.journal.entries()) == ()
    assert outcomes == {ROLLED_BACK, UNPROVEN}
