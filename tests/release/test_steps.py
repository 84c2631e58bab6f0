"""Each step by itself: what it refuses, what it tolerates, what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cakravia_verify.errors import (
    NotConfirmed,
    NotHealthy,
    PlatformError,
    ProxyError,
    ReleaseError,
    RollbackFailed,
)
from cakravia_verify.health.models import Reading
from cakravia_verify.history.releases import ROLLED_BACK
from cakravia_verify.release.machine import Release
from cakravia_verify.settings.contract import ContractSettings
from cakravia_verify.settings.models import SiteSettings, SmokeRequest
from cakravia_verify.slots import Address, Artifact, Colour
from cakravia_verify.testing.memory import MemoryProxy, MemorySite
from tests.memory_stage import Stage


def started(stage: Stage, version: str = "v2", *, to: str = "", kind: str = "deploy") -> Release:
    release = stage.release(version, kind=kind)
    release.start()
    if to:
        release.advance(to)
    return release


class Flapping(MemorySite):
    """A site where the candidate's rounds of probes are bad where `bad` says so, counted from the switch."""

    bad: Callable[[int], bool] = staticmethod(lambda number: False)
    rounds: int = 0

    def read_all(self, address: Address) -> tuple[Reading, ...]:
        readings = super().read_all(address)
        if self.chosen is Colour.GREEN and address.port == 3001:
            self.rounds += 1
            if self.bad(self.rounds):
                return tuple(replace(reading, problem="status 503") for reading in readings)
        return readings


@pytest.fixture
def flapping(quick_folder: Path) -> Stage:
    stage = Stage(quick_folder)
    stage.memory = Flapping(stage.clock)
    stage.opened()
    stage.deploy("v1")
    return stage


def test_a_candidate_that_never_becomes_healthy_is_refused_at_its_deadline(site_with_v1: Stage) -> None:
    site_with_v1.memory.sick.add("v2")
    began = site_with_v1.clock.monotonic()
    with pytest.raises(NotHealthy, match=r"green \(v2\) did not become healthy within 5 s: .*503") as caught:
        started(site_with_v1, to="prove")
    assert site_with_v1.clock.monotonic() - began < 10
    assert "cakravia logs green" in caught.value.remedy


def test_a_late_but_punctual_candidate_is_accepted(site_with_v1: Stage) -> None:
    site_with_v1.memory.sick.add("v2")
    begun = site_with_v1.clock.monotonic()

    def awake() -> None:
        if site_with_v1.clock.monotonic() > begun + 4:
            site_with_v1.memory.sick.clear()

    site_with_v1.clock.on_sleep = awake
    release = started(site_with_v1, to="prove")
    assert release.facts.bad_rounds
    assert release.facts.good_rounds == 2


def test_health_counts_only_good_rounds_in_a_row(site_with_v1: Stage) -> None:
    turns = iter([True, False] * 3 + [False] * 9)
    site_with_v1.clock.on_sleep = lambda: (
        site_with_v1.memory.sick.add("v2") if next(turns) else site_with_v1.memory.sick.clear()
    )
    release = started(site_with_v1, to="prove")
    assert release.facts.good_rounds > 2
    assert "good rounds in a row" in release.events[-1].note


def test_a_candidate_that_names_another_version_is_refused_at_once(site_with_v1: Stage) -> None:
    site_with_v1.memory.lies["v2"] = "v1"
    with pytest.raises(NotHealthy, match=r"does not say that it is green \(v2\)"):
        started(site_with_v1, to="prove")


class Misplaced(MemorySite):
    """Every slot says that it is blue."""

    def read_all(self, address: Address) -> tuple[Reading, ...]:
        return tuple(replace(reading, slot="blue") for reading in super().read_all(address))


class Nameless(MemorySite):
    """No slot says who it is."""

    def read_all(self, address: Address) -> tuple[Reading, ...]:
        return tuple(replace(reading, slot=None, version=None) for reading in super().read_all(address))


def test_a_candidate_that_names_another_slot_is_refused(quick_folder: Path) -> None:
    stage = Stage(quick_folder)
    stage.deploy("v1")
    misplaced = Misplaced(stage.clock, running=stage.memory.running, chosen=Colour.BLUE, proxy_runs=True)
    stage.memory = misplaced
    stage.opened()
    with pytest.raises(NotHealthy, match="does not say that it is green"):
        started(stage, to="prove")


def test_health_that_nobody_signs_is_refused(quick_folder: Path) -> None:
    stage = Stage(quick_folder)
    stage.memory = Nameless(stage.clock)
    stage.opened()
    with pytest.raises(NotHealthy, match="nothing in its answers names its slot") as caught:
        started(stage, "v1", to="prove")
    assert "X-Deployment-Slot" in caught.value.remedy


def test_an_application_that_is_said_to_name_nothing_may_name_nothing(quick_folder: Path) -> None:
    stage = Stage(quick_folder)
    stage.memory = Nameless(stage.clock)
    contract = ContractSettings(slot_field="", version_field="", slot_header="", version_header="")
    stage.settings = stage.settings.model_copy(update={"contract": contract})
    stage.opened()
    started(stage, "v1", to="prove")


def test_an_application_with_one_plain_endpoint_may_name_nothing(quick_folder: Path) -> None:
    stage = Stage(quick_folder)
    stage.memory = Nameless(stage.clock)
    contract = ContractSettings(health="/health", ready="", live="", status="")
    stage.settings = stage.settings.model_copy(update={"contract": contract})
    stage.opened()
    started(stage, "v1", to="prove")


def test_a_candidate_that_ends_while_it_is_proved_is_refused(site_with_v1: Stage) -> None:
    site_with_v1.memory.sick.add("v2")
    site_with_v1.clock.on_sleep = partial(site_with_v1.memory.running.__delitem__, Colour.GREEN)
    with pytest.raises(NotHealthy, match="ended by itself"):
        started(site_with_v1, to="prove")


def test_a_candidate_that_restarted_behind_our_back_is_refused(site_with_v1: Stage) -> None:
    release = started(site_with_v1, to="prove")
    running = site_with_v1.memory.running[Colour.GREEN]
    site_with_v1.memory.running[Colour.GREEN] = replace(running, identity="another")
    release.done.remove("prove")
    with pytest.raises(NotHealthy, match="ended by itself"):
        release.advance("prove")


def test_the_slot_of_users_is_never_staged_over(site_with_v1: Stage) -> None:
    release = started(site_with_v1, to="prepare")
    site_with_v1.memory.chosen = Colour.GREEN
    with pytest.raises(PlatformError, match="neither replaced nor stopped"):
        release.advance("stage")


@pytest.mark.parametrize("moved_at", ["prepare", "prove"])
def test_users_moved_by_hand_are_brought_back_before_their_slot_is_unstaged(site_with_v1: Stage, moved_at: str) -> None:
    release = started(site_with_v1, to=moved_at)
    site_with_v1.memory.chosen = Colour.GREEN
    if moved_at == "prepare":
        with pytest.raises(PlatformError, match="neither replaced nor stopped"):
            release.advance("stage")
    release.roll_back("users were moved")
    assert site_with_v1.serving is not None
    assert site_with_v1.serving.version == "v1"
    assert Colour.GREEN not in site_with_v1.memory.running


def test_the_slot_of_users_is_not_unstaged_where_they_cannot_be_brought_back(site_with_v1: Stage) -> None:
    release = started(site_with_v1, to="prove")
    site_with_v1.memory.chosen = Colour.GREEN
    site_with_v1.memory.failing["point_at"] = 1
    undo = next(step.undo for step in release.steps if step.name == "stage")
    assert undo is not None
    with pytest.raises(ProxyError):
        undo(release)
    assert Colour.GREEN in site_with_v1.memory.running


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (SmokeRequest(path="/a", expect=(204,)), "status 200, expected 204"),
        (SmokeRequest(path="/a", contains="no such text"), "does not contain 'no such text'"),
    ],
)
def test_a_smoke_request_answered_otherwise_is_refused(
    site_with_v1: Stage, request_: SmokeRequest, complaint: str
) -> None:
    settings = site_with_v1.settings
    site_with_v1.settings = settings.model_copy(
        update={"release": settings.release.model_copy(update={"smoke": (request_,)})}
    )
    site_with_v1.opened()
    with pytest.raises(NotHealthy, match=complaint):
        started(site_with_v1, to="smoke")


def test_a_smoke_request_that_only_the_proxy_breaks_is_refused_before_the_switch(site_with_v1: Stage) -> None:
    release = started(site_with_v1, to="prove")
    site_with_v1.memory.broken_by_proxy = True
    with pytest.raises(NotHealthy, match="as expected from the slot, but through the proxy: status 502"):
        release.advance("smoke")
    assert site_with_v1.memory.chosen is Colour.BLUE


def test_smoke_requests_of_a_site_with_tls_go_through_the_proxy_too(site_with_v1: Stage) -> None:
    site_with_v1.settings = site_with_v1.settings.model_copy(update={"site": SiteSettings(scheme="https")})
    site = site_with_v1.opened()
    site.proxy = MemoryProxy(site_with_v1.memory, tls_address=Address("127.0.0.1", 8443))
    release = started(site_with_v1, to="prove")
    site_with_v1.memory.broken_by_proxy = True
    with pytest.raises(NotHealthy, match="through the proxy: status 502"):
        release.advance("smoke")


def test_the_switch_is_not_made_to_a_candidate_that_fell_ill(site_with_v1: Stage) -> None:
    release = started(site_with_v1, to="smoke")
    site_with_v1.memory.sick.add("v2")
    with pytest.raises(NotHealthy):
        release.advance("switch")
    assert site_with_v1.memory.chosen is Colour.BLUE


def test_the_switch_is_not_made_when_a_watcher_objects(site_with_v1: Stage) -> None:
    release = started(site_with_v1, to="smoke")
    release.watchers.append(lambda: (_ for _ in ()).throw(ReleaseError("requests were lost")))
    with pytest.raises(ReleaseError, match="requests were lost"):
        release.advance("switch")
    assert site_with_v1.memory.chosen is Colour.BLUE


def test_a_proxy_that_goes_on_sending_users_elsewhere_is_not_confirmed(site_with_v1: Stage) -> None:
    site_with_v1.memory.stuck_on = Colour.BLUE
    with pytest.raises(NotConfirmed, match="through the proxy blue v1 answers"):
        started(site_with_v1, to="confirm")


def test_a_proxy_that_flaps_between_slots_is_not_confirmed(site_with_v1: Stage) -> None:
    release = started(site_with_v1, to="switch")
    site_with_v1.clock.on_sleep = lambda: setattr(
        site_with_v1.memory, "stuck_on", None if site_with_v1.memory.stuck_on else Colour.BLUE
    )
    site_with_v1.memory.stuck_on = Colour.BLUE
    release.advance("confirm")
    assert release.facts.confirmations == 2


@pytest.mark.parametrize("step", ["confirm", "drain"])
def test_a_candidate_that_dies_after_the_switch_loses_its_users_at_once(site_with_v1: Stage, step: str) -> None:
    release = started(site_with_v1, to="switch" if step == "confirm" else "confirm")
    site_with_v1.memory.open_connections[Colour.BLUE] = 2
    slept = len(site_with_v1.clock.slept)
    del site_with_v1.memory.running[Colour.GREEN]
    with pytest.raises(NotHealthy, match=r"green \(v2\) ended by itself"):
        release.advance(step)
    assert len(site_with_v1.clock.slept) == slept


@pytest.mark.parametrize("step", ["confirm", "drain"])
def test_a_candidate_unhealthy_for_two_rounds_loses_its_users_in_every_step(site_with_v1: Stage, step: str) -> None:
    release = started(site_with_v1, to="switch" if step == "confirm" else "confirm")
    site_with_v1.memory.open_connections[Colour.BLUE] = 2
    site_with_v1.memory.mute.add(site_with_v1.memory.running[Colour.GREEN].identity)
    site_with_v1.memory.sick.add("v2")
    bad = release.facts.bad_rounds
    with pytest.raises(NotHealthy, match="became unhealthy under traffic"):
        release.advance(step)
    assert release.facts.bad_rounds - bad == 2


def test_the_drain_tolerates_one_bad_round(site_with_v1: Stage) -> None:
    release = started(site_with_v1, to="confirm")
    site_with_v1.memory.open_connections[Colour.BLUE] = 2
    site_with_v1.memory.sick.add("v2")
    site_with_v1.clock.on_sleep = site_with_v1.memory.sick.clear
    release.advance("drain")
    assert release.facts.left_in_flight == 2


def test_the_drain_waits_for_requests_in_flight(site_with_v1: Stage) -> None:
    release = started(site_with_v1, to="confirm")
    site_with_v1.memory.open_connections[Colour.BLUE] = 3

    def one_ends() -> None:
        left = site_with_v1.memory.open_connections
        left[Colour.BLUE] = max(0, left[Colour.BLUE] - 1)

    site_with_v1.clock.on_sleep = one_ends
    release.advance("drain")
    assert release.facts.left_in_flight == 0
    assert len(site_with_v1.clock.slept) >= 3


def test_a_drain_that_never_ends_says_what_is_left(site_with_v1: Stage) -> None:
    release = started(site_with_v1, to="confirm")
    site_with_v1.memory.open_connections[Colour.BLUE] = 2
    began = site_with_v1.clock.monotonic()
    release.advance("drain")
    assert release.facts.left_in_flight == 2
    assert site_with_v1.clock.monotonic() - began <= site_with_v1.settings.release.drain + 0.1


def test_the_drain_is_watched(site_with_v1: Stage) -> None:
    release = started(site_with_v1, to="confirm")
    site_with_v1.memory.open_connections[Colour.BLUE] = 2
    release.watchers.append(lambda: (_ for _ in ()).throw(ReleaseError("users suffer")))
    with pytest.raises(ReleaseError, match="users suffer"):
        release.advance("drain")


def test_an_old_slot_that_died_has_nothing_in_flight(site_with_v1: Stage) -> None:
    release = started(site_with_v1, to="confirm")
    del site_with_v1.memory.running[Colour.BLUE]
    release.advance("drain")
    assert release.facts.left_in_flight == 0


def flaps(stage: Stage, bad: Callable[[int], bool]) -> Release:
    release = started(stage, to="drain")
    assert isinstance(stage.memory, Flapping)
    stage.memory.rounds = 0
    stage.memory.bad = bad
    return release


def test_a_bake_tolerates_one_flap(flapping: Stage) -> None:
    release = flaps(flapping, lambda number: number == 2)
    release.advance("bake")
    assert (release.facts.bake_bad_rounds, release.facts.bake_rounds > 3) == (1, True)


def test_a_bake_refuses_two_bad_rounds_in_a_row(flapping: Stage) -> None:
    release = flaps(flapping, lambda number: number in (2, 3))
    with pytest.raises(NotHealthy, match="became unhealthy under traffic"):
        release.advance("bake")


def test_a_bake_does_not_end_on_a_bad_round(flapping: Stage) -> None:
    release = started(flapping, to="drain")
    assert isinstance(flapping.memory, Flapping)
    over = flapping.clock.monotonic() + flapping.settings.release.bake
    flapping.memory.bad = lambda number: flapping.clock.monotonic() >= over
    with pytest.raises(NotHealthy, match="became unhealthy under traffic"):
        release.advance("bake")


def test_a_bake_lasts_as_long_as_planned(site_with_v1: Stage) -> None:
    release = started(site_with_v1, to="bake")
    assert release.facts.bake_began is not None
    assert release.facts.bake_ended is not None
    assert release.facts.bake_ended - release.facts.bake_began >= site_with_v1.settings.release.bake


def test_a_promotion_retires_the_old_slot_where_it_is_not_kept_warm(quick_folder: Path) -> None:
    stage = Stage(quick_folder, keep_warm=False)
    stage.deploy("v1")
    stage.deploy("v2")
    assert set(stage.memory.running) == {Colour.GREEN}
    assert not stage.memory.failover


@pytest.mark.parametrize("what", ["flipped", "dead", "ill", "proxy down"])
def test_a_candidate_without_users_or_health_does_not_retire_the_old_slot(quick_folder: Path, what: str) -> None:
    stage = Stage(quick_folder, keep_warm=False)
    stage.deploy("v1")
    release = started(stage, to="bake")
    if what == "flipped":
        stage.memory.chosen = Colour.BLUE
    if what == "dead":
        del stage.memory.running[Colour.GREEN]
    if what == "ill":
        stage.memory.sick.add("v2")
    if what == "proxy down":
        stage.memory.proxy_runs = False
    with pytest.raises(NotConfirmed, match="cannot be promoted"):
        release.advance("promote")
    assert Colour.BLUE in stage.memory.running


class SickOnce(set[str]):
    """One reading finds what is in here, and none after it."""

    def __contains__(self, item: object) -> bool:
        is_in = super().__contains__(item)
        self.clear()
        return is_in


def test_one_bad_reading_at_the_very_end_does_not_undo_a_release(quick_folder: Path) -> None:
    stage = Stage(quick_folder)
    stage.deploy("v1")
    release = started(stage, to="bake")
    stage.memory.sick = SickOnce({"v2"})
    release.advance("promote")
    assert not stage.memory.sick


def test_an_ill_old_slot_does_not_stand_in(site_with_v1: Stage) -> None:
    release = started(site_with_v1, to="bake")
    site_with_v1.memory.sick.add("v1")
    release.advance("promote")
    assert not site_with_v1.memory.failover


def test_old_files_that_cannot_be_removed_do_not_take_users_back(site_with_v1: Stage) -> None:
    site_with_v1.memory.failing["prune"] = 1
    assert site_with_v1.deploy("v2") == "promoted"


def test_what_a_rollback_may_need_is_kept(site_with_v1: Stage) -> None:
    for version in ("v2", "v3", "v4"):
        site_with_v1.deploy(version)
    assert {artifact.version for artifact in site_with_v1.memory.retained()} == {"v3", "v4"}


def test_a_warm_slot_running_another_build_of_the_version_is_replaced(site_with_v1: Stage) -> None:
    site_with_v1.deploy("v2")
    rebuilt = Artifact("v1", "sha256:rebuilt", "v1")
    release = site_with_v1.release("v1", kind="rollback", target=rebuilt)
    release.start()
    release.advance("stage")
    assert site_with_v1.memory.running[Colour.BLUE].digest == "sha256:rebuilt"


def test_failover_is_off_while_a_release_is_judged(site_with_v1: Stage) -> None:
    site_with_v1.deploy("v2")
    release = started(site_with_v1, "v3", to="prepare")
    assert not site_with_v1.memory.failover
    release.advance("bake")
    assert not site_with_v1.memory.failover


def test_failed_versions_do_not_push_out_what_a_rollback_may_need(site_with_v1: Stage) -> None:
    site_with_v1.deploy("v2")
    for version in ("bad1", "bad2"):
        site_with_v1.memory.sick.add(version)
        assert site_with_v1.deploy(version) == ROLLED_BACK
    site_with_v1.deploy("v3")
    assert {artifact.version for artifact in site_with_v1.memory.retained()} == {"v2", "v3"}


def test_failover_avoids_a_version_that_was_left_after_a_later_failure_too(
    site_with_v1: Stage,
) -> None:
    site_with_v1.deploy("v2")
    site_with_v1.roll_back_to_previous()
    assert site_with_v1.memory.failover is False
    site_with_v1.memory.failing["build"] = 1
    assert site_with_v1.deploy("v3") == ROLLED_BACK
    assert site_with_v1.memory.failover is False


def test_users_return_to_a_slot_that_only_a_changed_contract_calls_unhealthy(
    site_with_v1: Stage,
) -> None:
    memory = site_with_v1.memory
    memory.sick.add("v1")
    site_with_v1.clock.on_sleep = lambda: memory.sick.add("v2") if memory.chosen is Colour.GREEN else None
    release = site_with_v1.release("v2")
    assert release.intent.was_ill
    assert site_with_v1.finished(release) == ROLLED_BACK
    assert "undo.done" in {entry.event for entry in site_with_v1.site.journal.entries() if entry.step == "switch"}
    assert memory.chosen is Colour.BLUE


@pytest.fixture
def replaced(quick_folder: Path) -> Release:
    """A release with its users on green; meanwhile another runner started v9 where v1 was."""
    stage = Stage(quick_folder, keep_warm=False)
    stage.deploy("v1")
    release = started(stage, to="bake")
    slot = stage.memory.running[Colour.BLUE]
    stage.memory.running[Colour.BLUE] = replace(slot, version="v9", digest="sha256:9", release="another")
    return release


def test_users_do_not_go_back_to_a_version_that_another_runner_started(replaced: Release) -> None:
    with pytest.raises(RollbackFailed, match=r"blue \(v9\) runs where this release saw v1"):
        replaced.roll_back("a test")
    assert replaced.site.proxy.observe().chosen is Colour.GREEN


def test_a_promotion_does_not_stop_what_another_runner_started(replaced: Release) -> None:
    replaced.advance("promote")
    left = replaced.site.platform.observe(Colour.BLUE)
    assert left is not None
    assert left.version == "v9"
    assert not replaced.site.proxy.observe().has_failover


def test_the_smoke_step_tells_writes_that_failed_and_goes_on(site_with_v1: Stage) -> None:
    site_with_v1.memory.failed_writes = ("name the folder in [docker] writable",)
    release = started(site_with_v1, "v2", to="smoke")
    (done,) = [
        entry
        for entry in site_with_v1.site.journal.entries()
        if (entry.event, entry.step, entry.release) == ("step.done", "smoke", release.id)
    ]
    assert done.facts["write_failures"] == ["name the folder in [docker] writable"]
