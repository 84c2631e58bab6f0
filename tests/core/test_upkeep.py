"""What keeps a site up between releases."""

from __future__ import annotations

from pathlib import Path

from cakravia_verify.slots import Colour
from cakravia_verify.upkeep import repair
from tests.core.memory_stage import Stage


def promoted_twice(tmp_path: Path) -> Stage:
    """Green runs v2 and has the users; blue is warm with v1."""
    stage = Stage(tmp_path)
    stage.deploy("v1")
    stage.deploy("v2")
    assert stage.memory.chosen is Colour.GREEN
    return stage


def test_users_moved_by_hand_are_brought_back_to_the_promoted_version(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    stage.memory.chosen = Colour.BLUE
    assert any("did not promote" in line for line in repair(stage.opened()))
    assert stage.memory.chosen is Colour.GREEN
    assert repair(stage.opened()) == []


def test_users_moved_by_hand_stay_where_the_promoted_version_is_not_healthy(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    stage.memory.chosen = Colour.BLUE
    stage.memory.sick.add("v2")
    assert repair(stage.opened()) == []
    assert stage.memory.chosen is Colour.BLUE


def test_nothing_is_repaired_where_nothing_disagrees(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    before = list(stage.memory.acted)
    assert repair(stage.opened()) == []
    assert stage.memory.acted == before


def test_users_without_a_slot_get_the_one_that_runs(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    del stage.memory.running[Colour.GREEN]
    stage.memory.failover = False
    assert any("without a slot" in line for line in repair(stage.opened()))
    assert stage.memory.chosen is Colour.BLUE
