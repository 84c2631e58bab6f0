"""Each slot can read whether users are on it, and two slots are never active at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.errors import PlatformError
from cakravia_verify.history.releases import PROMOTED, ROLLED_BACK
from cakravia_verify.recovery.lifecycle import bring_down, bring_up
from cakravia_verify.recovery.repair import repair
from cakravia_verify.slots import Colour, Role
from cakravia_verify.testing.memory import FakeClock, MemorySite
from tests.memory_stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def active(stage: Stage) -> list[Colour]:
    return [colour for colour, role in stage.memory.roles.items() if role is Role.ACTIVE]


def test_the_role_moves_with_the_users(stage: Stage) -> None:
    assert stage.deploy("v1") == PROMOTED
    assert active(stage) == [Colour.BLUE]
    assert stage.deploy("v2") == PROMOTED
    assert active(stage) == [Colour.GREEN]
    assert stage.roll_back_to_previous() == PROMOTED
    assert active(stage) == [Colour.BLUE]


def test_a_release_that_is_rolled_back_gives_the_role_back(stage: Stage) -> None:
    stage.deploy("v1")
    release = stage.release("v2")
    release.start()
    release.advance("confirm")
    assert active(stage) == [Colour.GREEN]
    release.roll_back("a test")
    assert active(stage) == [Colour.BLUE]


def test_no_slot_is_active_while_users_are_on_their_way(stage: Stage) -> None:
    stage.deploy("v1")
    seen: list[list[Colour]] = []
    stage.memory.before = lambda operation: seen.append(active(stage)) if operation == "point_at" else None
    stage.deploy("v2")
    assert seen == [[]]


def test_a_switch_that_the_proxy_refuses_leaves_the_role_where_it_was(stage: Stage) -> None:
    stage.deploy("v1")
    stage.memory.failing["point_at"] = 1
    assert stage.deploy("v2") == ROLLED_BACK
    assert active(stage) == [Colour.BLUE]


def test_recovery_corrects_a_role_that_a_killed_switch_left(stage: Stage) -> None:
    stage.deploy("v1")
    release = stage.release("v2")
    release.start()
    release.advance("smoke")
    stage.memory.set_roles(None)
    stage.opened()
    list(repair(stage.site))
    assert active(stage) == [Colour.BLUE]


def test_failover_gives_the_role_to_the_slot_that_serves_once_it_is_recovered(stage: Stage) -> None:
    stage.deploy("v1")
    stage.deploy("v2")
    del stage.memory.running[Colour.GREEN]
    stage.memory.artifacts.pop("v2")
    list(repair(stage.site))
    assert active(stage) == [Colour.BLUE]


def test_a_site_that_comes_up_again_has_one_active_slot(stage: Stage) -> None:
    stage.deploy("v1")
    bring_down(stage.site)
    stage.memory.set_roles(None)
    list(bring_up(stage.site))
    assert active(stage) == [Colour.BLUE]


def test_a_first_release_that_is_undone_leaves_no_active_slot(stage: Stage) -> None:
    release = stage.release("v1")
    release.start()
    release.advance("confirm")
    release.roll_back("a test")
    assert active(stage) == []


class FullDisk(MemorySite):
    """A site that can write no role."""

    def set_roles(self, active: Colour | None) -> None:
        raise PlatformError("the disk is full")


def test_a_role_that_cannot_be_written_is_recorded_and_stops_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, memory=FullDisk(FakeClock()))
    assert [stage.deploy("v1"), stage.deploy("v2")] == [PROMOTED, PROMOTED]
    assert "the disk is full" in {e.facts.get("error") for e in stage.site.journal.entries()}
