"""The version before the promoted one stands by again after a release that failed, and after a reboot."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.recovery.warm_slot import warm_again
from cakravia_verify.slots import Colour
from tests.memory_stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Green runs v2 and has the users; blue stood by with v1 until a release of v3 took its slot and failed."""
    made = Stage(tmp_path)
    made.deploy("v1")
    made.deploy("v2")
    made.memory.sick.add("v3")
    assert made.deploy("v3") == "rolled back"
    assert (made.memory.running.get(Colour.BLUE), made.memory.failover) == (None, False)
    return made


def standing_by(stage: Stage) -> tuple[str, bool]:
    slot = stage.memory.running.get(Colour.BLUE)
    return slot.version if slot else "", stage.memory.failover


def test_the_version_before_stands_by_again_after_a_release_that_failed(stage: Stage) -> None:
    assert list(warm_again(stage.site)) == ["blue (v1) stands by again"]
    assert standing_by(stage) == ("v1", True)
    assert stage.site.observe().drift == ()
    assert stage.acts(lambda: list(warm_again(stage.site))) == []


def test_the_next_rollback_is_warm_after_a_release_that_failed(stage: Stage) -> None:
    list(warm_again(stage.site))
    assert stage.roll_back_to_previous() == "promoted"
    assert stage.serving is not None
    assert stage.serving.version == "v1"


def test_nothing_stands_by_after_a_rollback(stage: Stage) -> None:
    list(warm_again(stage.site))
    stage.roll_back_to_previous()
    del stage.memory.running[Colour.GREEN]
    assert stage.acts(lambda: list(warm_again(stage.site))) == []


def test_a_version_before_that_stays_ill_is_stopped_and_told(stage: Stage) -> None:
    stage.memory.sick.add("v1")
    (line,) = warm_again(stage.site)
    assert line.startswith("the version before does not stand by: blue (v1)")
    assert standing_by(stage) == ("", False)


def test_failover_comes_back_if_the_start_of_the_slot_was_interrupted(stage: Stage) -> None:
    list(warm_again(stage.site))
    stage.memory.failover = False
    assert list(warm_again(stage.site)) == ["blue (v1) stands by again"]
    assert standing_by(stage) == ("v1", True)


def test_a_signal_ends_the_wait_for_a_slot_that_warms_up(stage: Stage) -> None:
    stage.memory.sick.add("v1")
    answers = iter([False])
    assert list(warm_again(stage.site, is_over=lambda: next(answers, True))) == []
    assert standing_by(stage) == ("v1", False)


def test_nothing_is_started_while_users_get_no_answer(stage: Stage) -> None:
    del stage.memory.running[Colour.GREEN]
    assert stage.acts(lambda: list(warm_again(stage.site))) == []


def test_a_site_that_keeps_no_slot_warm_gets_none(stage: Stage) -> None:
    slots = stage.settings.slots.model_copy(update={"keep_warm": False})
    stage.settings = stage.settings.model_copy(update={"slots": slots})
    assert stage.acts(lambda: list(warm_again(stage.opened()))) == []
