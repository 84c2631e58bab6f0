"""Companions move with the promoted version, also when the release or its process dies, and none runs twice."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from cakravia_verify.errors import CompanionFailed
from cakravia_verify.gate.model import Decision, Verdict
from cakravia_verify.history.releases import PROMOTED, ROLLED_BACK
from cakravia_verify.recovery.lifecycle import bring_down, bring_up
from cakravia_verify.recovery.repair import repair
from cakravia_verify.runs.carry_out import promote, roll_back
from cakravia_verify.settings.companions import CompanionSettings
from cakravia_verify.slots import Colour
from tests.memory_stage import Stage

WORKER = CompanionSettings(name="worker", command=("work",))
CLOCK = CompanionSettings(name="clock", command=("tick",), settle=0.5)
BOTH = (WORKER, CLOCK)
PROMOTES = Verdict(decision=Decision.PROMOTE, checks=(), why="all good")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, companions=BOTH)


def alive(stage: Stage) -> dict[str, str]:
    return {companion.name: companion.version for companion in stage.memory.companions.running()}


def both(version: str) -> dict[str, str]:
    return {"worker": version, "clock": version}


def test_companions_move_with_a_promotion_and_with_a_rollback(stage: Stage) -> None:
    assert (stage.deploy("v1"), alive(stage)) == (PROMOTED, both("v1"))
    assert (stage.deploy("v2"), alive(stage)) == (PROMOTED, both("v2"))
    assert (stage.roll_back_to_previous(), alive(stage)) == (PROMOTED, both("v1"))
    assert stage.memory.companions.doubles == 0


def test_every_companion_of_the_old_version_ends_before_a_new_one_starts(stage: Stage) -> None:
    stage.deploy("v1")
    acts = [act for act in stage.acts(lambda: stage.deploy("v2")) if "companion" in act]
    assert acts == [
        "stop_companion worker",
        "stop_companion clock",
        "start_companion worker v2",
        "start_companion clock v2",
    ]


def test_a_release_that_is_rolled_back_before_its_promotion_touches_no_companion(stage: Stage) -> None:
    stage.deploy("v1")
    stage.memory.sick.add("v2")
    acts = stage.acts(lambda: stage.deploy("v2"))
    assert alive(stage) == both("v1")
    assert not [act for act in acts if "companion" in act]


def test_a_companion_that_ends_at_once_stops_the_promotion_and_all_go_back(stage: Stage) -> None:
    stage.deploy("v1")
    stage.memory.companions.short_lived.add("v2")
    release = stage.release("v2")
    release.start()
    release.advance("bake")
    notices: list[str] = []
    why = promote(release, PROMOTES, folder=stage.settings.root, notices=notices)
    assert "companion worker of v2 ended within 2 s of its start; its last lines: the log of worker" in why
    assert roll_back(release, PROMOTES, notices=notices) is None
    assert alive(stage) == both("v1")
    assert stage.serving == stage.memory.running[Colour.BLUE]


def test_a_companion_that_does_not_start_stops_the_promotion(stage: Stage) -> None:
    stage.deploy("v1")
    stage.memory.failing["start_companion"] = 1
    release = stage.release("v2")
    release.start()
    release.advance("bake")
    with pytest.raises(CompanionFailed, match="companion worker of v2 does not start"):
        release.advance("promote")


def test_a_rollback_stands_although_a_companion_ends_and_says_so(stage: Stage) -> None:
    stage.deploy("v1")
    stage.deploy("v2")
    stage.memory.companions.short_lived.add("v1")
    assert stage.roll_back_to_previous() == PROMOTED
    assert alive(stage) == {}
    (note,) = [
        e.facts["note"]
        for e in stage.site.journal.entries()
        if e.step == "promote" and e.release == "r3" and "note" in e.facts
    ]
    assert "companion worker of v1 ended" in note
    assert "companion worker does not run" in stage.site.observe().drift


def test_a_companion_that_was_not_running_before_is_not_started_by_an_undo(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.deploy("v1")
    later = Stage(tmp_path, memory=stage.memory, companions=BOTH)
    later.memory.companions.short_lived.add("v2")
    later.number = 1
    release = later.release("v2")
    release.start()
    release.advance("bake")
    promote(release, PROMOTES, folder=tmp_path, notices=[])
    acts = later.acts(lambda: roll_back(release, PROMOTES, notices=[]))
    assert not [act for act in acts if act.startswith("start_companion")]


def test_down_stops_the_companions_and_up_starts_those_of_the_promoted_version(stage: Stage) -> None:
    stage.deploy("v1")
    assert "worker (v1), clock (v1)" in bring_down(stage.site)
    assert (alive(stage), stage.site.observe().drift) == ({}, ())
    assert list(repair(stage.site)) == []
    lines = list(bring_up(stage.site))
    assert alive(stage) == both("v1")
    assert "companion worker (v1) was started" in lines


def test_recovery_starts_a_companion_that_died(stage: Stage) -> None:
    stage.deploy("v1")
    del stage.memory.companions.alive["clock"]
    assert stage.site.observe().drift == ("companion clock does not run",)
    assert list(repair(stage.site)) == ["companion clock (v1) was started"]
    assert (alive(stage), stage.site.observe().drift) == (both("v1"), ())


def test_recovery_stops_a_companion_that_the_settings_no_longer_name(tmp_path: Path) -> None:
    stage = Stage(tmp_path, companions=BOTH)
    stage.deploy("v1")
    later = Stage(tmp_path, memory=stage.memory, companions=(WORKER,))
    assert later.site.observe().drift == ("companion clock (v1) runs, but the settings have none",)
    assert list(repair(later.site)) == ["companion clock (v1) was stopped"]


def test_a_companion_that_cannot_be_stopped_has_no_second_one_beside_it(stage: Stage) -> None:
    stage.deploy("v1")
    old = stage.memory.companions.alive["worker"]
    stage.deploy("v2")
    stage.memory.companions.alive["worker"] = old
    stage.memory.failing["stop_companion"] = 1
    (line,) = repair(stage.site)
    assert line.startswith("companion worker could not be stopped")
    assert (alive(stage)["worker"], stage.memory.companions.doubles) == ("v1", 0)


def test_redeploying_a_version_starts_its_companions_anew(stage: Stage) -> None:
    stage.deploy("v1")
    before = {each.identity for each in stage.memory.companions.running()}
    stage.deploy("v1")
    assert not before & {each.identity for each in stage.memory.companions.running()}


@pytest.mark.check
def test_a_release_killed_at_any_point_leaves_the_companions_of_the_promoted_version(tmp_path: Path) -> None:
    """Also if the recovery itself is killed at any point."""
    for point in range(1, 400):
        stage = Stage(tmp_path / str(point), companions=BOTH, keep_warm=point % 2 == 0)
        stage.deploy("v1")
        if not stage.die_at(point, partial(stage.deploy, "v2")):
            break
        stage.die_at(point % 40 + 1, stage.recover)
        outcomes = stage.recover()
        list(repair(stage.site))
        version = stage.serving.version if stage.serving else ""
        assert alive(stage) == both(version), (point, outcomes)
        assert stage.memory.companions.doubles == 0
        assert not stage.site.observe().drift
    assert point > 40


def test_a_recovered_release_brings_its_companions_back_by_itself(stage: Stage) -> None:
    """The candidate died after the verdict, so the release is undone; no later command is needed."""
    stage.deploy("v1")
    release = stage.release("v2")
    release.start()
    release.advance("bake")
    release.record_verdict("PROMOTE", why="all good")
    release.advance("promote")
    assert alive(stage) == both("v2")
    stage.memory.sick.add("v2")
    assert stage.recover() == [ROLLED_BACK]
    assert alive(stage) == both("v1")
