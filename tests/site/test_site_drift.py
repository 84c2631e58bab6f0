"""What a site really serves, and every way its parts can disagree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cakravia_verify.slots import Colour
from cakravia_verify.testing.memory import running_slot
from tests.memory_stage import Stage


def test_a_released_site_has_no_drift(site_with_v1: Stage) -> None:
    state = site_with_v1.site.observe()
    assert state.drift == ()
    assert state.active is not None
    assert (state.active.version, state.served) == ("v1", Colour.BLUE)


def test_a_site_with_nothing_is_empty_and_without_drift(stage: Stage) -> None:
    state = stage.site.observe()
    assert state.is_empty
    assert state.drift == ()
    assert state.slots.idle_colour is Colour.BLUE


def drift(stage: Stage) -> str:
    return "\n".join(stage.site.observe().drift)


def test_a_proxy_flipped_by_hand_is_named(site_with_v1: Stage) -> None:
    site_with_v1.deploy("v2")
    site_with_v1.memory.chosen = Colour.BLUE
    assert "the history says that green (v2) serves users, but blue (v1) does" in drift(site_with_v1)


def test_an_answer_from_another_slot_than_the_chosen_one_is_named(site_with_v1: Stage) -> None:
    site_with_v1.deploy("v2")
    site_with_v1.memory.stuck_on = Colour.BLUE
    assert "the proxy points at green, but blue answers users" in drift(site_with_v1)
    assert site_with_v1.site.observe().slots.active_colour is Colour.BLUE


def test_a_dead_active_slot_is_named(site_with_v1: Stage) -> None:
    site_with_v1.memory.running.clear()
    assert "the proxy points at blue, but nothing runs there" in drift(site_with_v1)
    assert "the history says that blue (v1) serves users, but no slot does" in drift(site_with_v1)


def test_a_proxy_that_went_down_is_named(site_with_v1: Stage) -> None:
    site_with_v1.memory.proxy_runs = False
    assert "slots run, but the proxy does not" in drift(site_with_v1)


def test_a_slot_replaced_by_hand_is_named(site_with_v1: Stage) -> None:
    site_with_v1.memory.running[Colour.BLUE] = running_slot(Colour.BLUE, "v9")
    assert "the history says that blue (v1) serves users, but blue (v9) does" in drift(site_with_v1)


def test_another_build_of_the_same_version_is_named(site_with_v1: Stage) -> None:
    slot = site_with_v1.memory.running[Colour.BLUE]
    site_with_v1.memory.running[Colour.BLUE] = replace(slot, digest="sha256:other")
    assert "runs sha256:other, but the history promoted sha256:v1" in drift(site_with_v1)


def test_a_site_whose_history_was_lost_is_named_and_still_seen_as_it_is(site_with_v1: Stage) -> None:
    site_with_v1.settings.history.unlink()
    site_with_v1.opened()
    state = site_with_v1.site.observe()
    assert "the history has no release" in "\n".join(state.drift)
    assert state.active is not None
    assert state.active.version == "v1"


def test_observing_changes_nothing(site_with_v1: Stage, quick_folder: Path) -> None:
    history = site_with_v1.settings.history.read_bytes()
    assert site_with_v1.acts(site_with_v1.site.observe) == []
    assert site_with_v1.settings.history.read_bytes() == history
