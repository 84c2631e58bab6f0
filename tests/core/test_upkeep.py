"""What keeps a site up between releases."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.slots import Colour
from cakravia_verify.upkeep import repair, serve_again
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


def test_users_of_a_stand_in_are_told_to_stay_there(tmp_path: Path) -> None:
    """The next release takes failover away, and with it the users of whoever only stands in."""
    stage = promoted_twice(tmp_path)
    del stage.memory.running[Colour.GREEN]
    stage.memory.failover = True
    assert any("stood in for it" in line for line in serve_again(stage.opened()))
    stage.memory.failover = False
    assert stage.serving is not None
    assert stage.serving.version == "v1"


@pytest.mark.parametrize("kind", ["served", "empty", "moved by hand"])
def test_a_release_moves_nobody_who_is_served_before_it_begins(kind: str, tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    if kind == "empty":
        stage.memory.running.clear()
        stage.memory.proxy_runs = False
    if kind == "moved by hand":
        stage.memory.chosen = Colour.BLUE
    before = list(stage.memory.acted)
    assert serve_again(stage.opened()) == []
    assert stage.memory.acted == before


def test_users_without_a_proxy_have_one_before_a_release_begins(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    stage.memory.proxy_runs = False
    assert serve_again(stage.opened()) != []
    assert stage.serving is not None
    assert stage.serving.version == "v2"


def test_users_without_an_answer_get_the_healthy_slot_where_theirs_is_ill(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    stage.memory.proxy_runs = False
    stage.memory.sick.add("v2")
    assert serve_again(stage.opened()) == ["users were without a slot; they are on blue (v1) now"]
    assert stage.serving is not None
