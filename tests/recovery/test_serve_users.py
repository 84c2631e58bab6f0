"""Users who get no answer get the slot that answers first; a slot that hangs is not waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cakravia_verify.cli.site_state import state_lines
from cakravia_verify.health.models import Reading
from cakravia_verify.recovery.repair import repair
from cakravia_verify.recovery.serve_users import healthy_now
from cakravia_verify.slots import Address, Colour
from cakravia_verify.testing.memory import FakeClock, MemorySite
from tests.memory_stage import Stage


class Hanging(MemorySite):
    """A site of which one address gives no answer until `over` is set."""

    def __init__(self) -> None:
        super().__init__(FakeClock())
        self.over = threading.Event()
        self.hung: Address | None = None

    def read_all(self, address: Address) -> tuple[Reading, ...]:
        if address == self.hung:
            self.over.wait(60)
        return super().read_all(address)


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[tuple[Stage, Hanging]]:
    """Green runs v2 and has the users, and hangs; blue is warm with v1."""
    memory = Hanging()
    stage = Stage(tmp_path, memory=memory)
    stage.deploy("v1")
    stage.deploy("v2")
    memory.hung = memory.running[Colour.GREEN].address
    memory.mute.add(memory.running[Colour.GREEN].identity)
    yield stage, memory
    memory.over.set()


def test_a_slot_that_hangs_is_not_waited_for(hanging: tuple[Stage, Hanging]) -> None:
    stage, memory = hanging
    slots = [memory.running[Colour.GREEN], memory.running[Colour.BLUE]]
    assert healthy_now(stage.site, slots) is slots[1]


def test_the_first_slot_comes_first_if_both_are_healthy(hanging: tuple[Stage, Hanging]) -> None:
    stage, memory = hanging
    memory.hung = None
    slots = [memory.running[Colour.GREEN], memory.running[Colour.BLUE]]
    assert healthy_now(stage.site, slots) is slots[0]


def test_no_slot_is_chosen_if_none_is_healthy(hanging: tuple[Stage, Hanging]) -> None:
    stage, memory = hanging
    memory.over.set()
    memory.sick |= {"v1", "v2"}
    assert healthy_now(stage.site, [*memory.running.values()]) is None


def test_users_of_a_version_that_hangs_are_moved_before_it_answers(hanging: tuple[Stage, Hanging]) -> None:
    stage, memory = hanging
    lines = repair(stage.opened())
    assert next(lines) == "users got no answer; they are on blue (v1) now"
    assert not memory.over.is_set()


def test_status_says_first_that_users_get_no_answer(hanging: tuple[Stage, Hanging]) -> None:
    stage, _ = hanging
    first = next(iter(state_lines(stage.site, stage.site.observe())))
    assert "users get no answer from green (v2)" in first
