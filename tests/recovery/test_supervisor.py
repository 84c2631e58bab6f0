"""A part that dies while no release runs is started again; crash loops back off and are told."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from cakravia_verify.proxy.protocol import ProxyState
from cakravia_verify.recovery.supervisor import CRASH_LOOP, LONGEST_PAUSE, STABLE, Supervisor
from cakravia_verify.slots import Colour
from cakravia_verify.testing.memory import MemoryProxy
from tests.memory_stage import Stage, events


class Watched:
    """A supervised site: what it was told, and looks one second apart."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.lines: list[str] = []
        self.supervisor = Supervisor(stage.site, told=self.lines.append)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.supervisor.look()
            self.stage.clock.sleep(1.0)

    def kill(self, colour: Colour) -> None:
        self.stage.memory.running.pop(colour, None)

    @property
    def versions(self) -> dict[Colour, str]:
        return {colour: slot.version for colour, slot in self.stage.memory.running.items()}

    @property
    def serving(self) -> str:
        slot = self.stage.serving
        return slot.version if slot else ""


@pytest.fixture
def watched(site_with_v1: Stage) -> Watched:
    """A site with v2 in green and v1 warm in blue."""
    assert site_with_v1.deploy("v2") == "promoted"
    return Watched(site_with_v1)


def test_a_sound_site_is_left_alone(watched: Watched) -> None:
    assert watched.stage.acts(lambda: watched.look(5)) == []
    assert watched.lines == []


def test_the_active_slot_is_started_again_and_users_return(watched: Watched) -> None:
    watched.kill(Colour.GREEN)
    assert watched.serving == "v1"  # by failover
    watched.look()
    assert (watched.serving, watched.versions) == ("v2", {Colour.BLUE: "v1", Colour.GREEN: "v2"})
    assert watched.stage.memory.failover
    assert ("site.supervised", "") in events(watched.stage, "site.supervised")


def test_failover_is_allowed_again_after_the_proxy_was_started_again(watched: Watched) -> None:
    """Otherwise a death of the active slot costs every request until the next release."""
    watched.stage.memory.proxy_runs = False
    watched.look()
    assert (watched.serving, watched.stage.memory.failover) == ("v2", True)
    watched.kill(Colour.GREEN)
    assert watched.serving == "v1"


def test_the_warm_slot_is_started_again_for_failover(watched: Watched) -> None:
    watched.kill(Colour.BLUE)
    watched.look()
    assert (watched.serving, watched.versions) == ("v2", {Colour.BLUE: "v1", Colour.GREEN: "v2"})
    assert "blue (v1) stands by again" in watched.lines
    assert watched.stage.acts(lambda: watched.look(3)) == []


def test_a_warm_slot_that_is_not_retained_is_not_missed(watched: Watched) -> None:
    del watched.stage.memory.artifacts["v1"]
    watched.kill(Colour.BLUE)
    assert watched.stage.acts(lambda: watched.look(3)) == []


def test_a_warm_slot_that_stays_ill_is_stopped_again(watched: Watched) -> None:
    watched.stage.memory.sick.add("v1")
    watched.kill(Colour.BLUE)
    watched.look()
    assert watched.versions == {Colour.GREEN: "v2"}
    assert any("could not be mended" in line for line in watched.lines)


def test_both_slots_and_the_proxy_come_back_after_a_reboot(watched: Watched) -> None:
    watched.kill(Colour.BLUE)
    watched.kill(Colour.GREEN)
    watched.stage.memory.proxy_runs = False
    watched.look(2)
    assert (watched.serving, watched.versions) == ("v2", {Colour.BLUE: "v1", Colour.GREEN: "v2"})


def test_a_site_that_was_taken_down_stays_down(watched: Watched) -> None:
    watched.stage.site.journal.append("site.down", stopped=[])
    watched.kill(Colour.BLUE)
    watched.kill(Colour.GREEN)
    watched.stage.memory.proxy_runs = False
    assert watched.stage.acts(lambda: watched.look(5)) == []


def test_an_empty_site_is_left_alone(stage: Stage) -> None:
    assert stage.acts(lambda: Watched(stage).look(3)) == []


def test_a_release_that_holds_the_site_is_left_alone(watched: Watched) -> None:
    watched.stage.site.lock.acquire("release v3")
    watched.kill(Colour.GREEN)
    assert watched.stage.acts(lambda: watched.look(3)) == []
    watched.stage.site.lock.release()
    watched.look()
    assert watched.serving == "v2"


def test_one_answer_that_is_missing_moves_nobody(watched: Watched) -> None:
    identity = watched.stage.memory.running[Colour.GREEN].identity
    watched.stage.memory.mute.add(identity)
    assert watched.stage.acts(lambda: watched.look(2)) == []
    watched.stage.memory.mute.clear()
    assert watched.stage.acts(lambda: watched.look(2)) == []


def test_a_crash_loop_backs_off_and_is_told(watched: Watched) -> None:
    starts = []
    for second in range(300):
        watched.kill(Colour.GREEN)
        acted = watched.stage.acts(watched.look)
        starts += [second for each in acted if each == "start green v2"]
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses == sorted(pauses)
    assert 30 <= pauses[-1] <= LONGEST_PAUSE + 1
    assert any("a crash loop" in line for line in watched.lines)
    assert len(events(watched.stage, "site.crash_loop")) == 1


def test_a_part_that_was_stable_begins_with_short_pauses_again(watched: Watched) -> None:
    for _ in range(CRASH_LOOP):
        watched.kill(Colour.GREEN)
        watched.look(10)
    watched.look(int(STABLE) + 2)
    assert any("in order for" in line for line in watched.lines)
    watched.kill(Colour.GREEN)
    watched.look()
    watched.kill(Colour.GREEN)
    watched.look(2)
    assert watched.serving == "v2"


class MasterlessProxy(MemoryProxy):
    """A proxy whose master process is dead until it is refreshed."""

    def observe(self) -> ProxyState:
        state = super().observe()
        return replace(state, has_master=self.site.acted[-1:] == ["refresh"])


def test_a_master_process_of_nginx_that_died_is_replaced(watched: Watched) -> None:
    watched.stage.memory.acted.clear()
    watched.stage.site.proxy = MasterlessProxy(watched.stage.memory)
    watched.look()
    assert watched.lines[-1] == "nginx has a master process again"
    assert watched.stage.acts(lambda: watched.look(3)) == []


def test_an_interrupted_release_is_undone(watched: Watched) -> None:
    release = watched.stage.release("v3")
    release.start()
    release.advance("prove")
    watched.look()
    assert watched.serving == "v2"
    assert any("rolled back" in line for line in watched.lines)
