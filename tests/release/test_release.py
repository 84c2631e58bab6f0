"""A release goes forward step by step and back undo by undo, and whatever kills it can be recovered from."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from cakravia_verify.errors import JournalError, NotHealthy, PlatformError, ProxyError, ReleaseError, RollbackFailed
from cakravia_verify.history.releases import PROMOTED, ROLLED_BACK, STUCK, UNPROVEN, records, unfinished
from cakravia_verify.recovery.interrupted import recover
from cakravia_verify.recovery.lifecycle import bring_up
from cakravia_verify.release.machine import SHORTEST_GRACE, StepEvent
from cakravia_verify.release.steps import STEPS
from cakravia_verify.slots import Colour
from cakravia_verify.testing.memory import running_slot
from tests.memory_stage import Crash, Stage, events

BEFORE_THE_SWITCH = ("build", "prepare", "stage", "prove", "smoke")
OPERATIONS = {"build": "build", "prepare": "refresh", "stage": "start", "switch": "point_at"}


def test_a_release_acts_in_the_order_prove_then_switch_then_tidy(site_with_v1: Stage) -> None:
    assert site_with_v1.acts(lambda: site_with_v1.deploy("v2")) == [
        "build v2",
        "set_failover False",
        "refresh",
        "start green v2",
        "point_at green",
        "set_failover True",
        "prune",
    ]


def test_the_history_has_intent_and_outcome_of_every_step_in_order(site_with_v1: Stage) -> None:
    steps = [step.name for step in STEPS]
    told = events(site_with_v1, "step.intent", "step.done")
    assert told == [(event, step) for step in steps for event in ("step.intent", "step.done")]


def test_the_intent_is_durable_before_the_step_acts(site_with_v1: Stage) -> None:
    seen: list[tuple[str, str]] = []
    site_with_v1.memory.before = lambda operation: seen.append(
        (operation, (events(site_with_v1, "step.intent") or [("", "")])[-1][1])
    )
    site_with_v1.deploy("v2")
    steps = {"set_failover": {"prepare", "promote"}, "prune": {"cleanup"}} | {
        operation: {step} for step, operation in OPERATIONS.items()
    }
    assert all(step in steps[operation] for operation, step in seen)


def test_nothing_before_the_switch_touches_what_serves_users(site_with_v1: Stage) -> None:
    before = site_with_v1.serving
    release = site_with_v1.release("v2")
    release.start()
    for step in BEFORE_THE_SWITCH:
        release.advance(step)
        assert site_with_v1.serving == before
    assert not {act.split()[0] for act in site_with_v1.memory.acted[-4:]} & {"point_at", "stop", "stop_proxy"}


@pytest.mark.parametrize("step", ["build", "prepare", "stage", "switch"])
def test_users_are_back_where_they_were_after_a_failed_step(site_with_v1: Stage, step: str) -> None:
    before = site_with_v1.serving
    site_with_v1.memory.failing[OPERATIONS[step]] = 1
    assert site_with_v1.deploy("v2") == ROLLED_BACK
    assert site_with_v1.serving == before
    assert set(site_with_v1.memory.running) == {Colour.BLUE}


@pytest.mark.parametrize("step", ["confirm", "drain", "bake"])
def test_users_are_back_where_they_were_after_a_failure_behind_the_switch(site_with_v1: Stage, step: str) -> None:
    before = site_with_v1.serving
    release = site_with_v1.release("v2")
    release.start()
    release.advance("switch")
    site_with_v1.memory.stuck_on = Colour.BLUE if step == "confirm" else None
    release.watchers.append(lambda: (_ for _ in ()).throw(ReleaseError("users suffer")))
    with pytest.raises(ReleaseError):
        release.advance(step)
    release.roll_back("it failed")
    assert site_with_v1.serving == before
    assert set(site_with_v1.memory.running) == {Colour.BLUE}


def test_every_undo_is_harmless_when_done_twice(site_with_v1: Stage) -> None:
    before = site_with_v1.serving
    release = site_with_v1.release("v2")
    release.start()
    release.advance("bake")
    for _ in range(2):
        release.undone.clear()
        release.roll_back("again")
    assert (site_with_v1.serving, set(site_with_v1.memory.running)) == (before, {Colour.BLUE})


def test_a_failed_undo_stops_the_rollback_and_leaves_the_serving_slot_alone(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    release.advance("bake")
    site_with_v1.memory.failing["point_at"] = 1
    with pytest.raises(RollbackFailed, match="undoing 'switch' failed") as caught:
        release.roll_back("the gate says so")
    assert caught.value.remedy
    assert not release.undone
    assert site_with_v1.serving is not None
    assert site_with_v1.serving.version == "v2"
    assert events(site_with_v1, "undo.done") == []


def test_a_failed_release_does_not_advance_any_more(site_with_v1: Stage) -> None:
    site_with_v1.memory.failing["start"] = 1
    release = site_with_v1.release("v2")
    release.start()
    with pytest.raises(PlatformError):
        release.advance("stage")
    with pytest.raises(ReleaseError, match="stopped earlier"):
        release.advance("bake")


def test_steps_done_already_are_not_done_again(stage: Stage) -> None:
    release = stage.release("v1")
    release.start()
    release.advance("stage")
    release.advance("stage")
    assert stage.memory.acted.count("start blue v1") == 1


def test_a_first_release_brings_the_proxy_up_with_the_candidate(stage: Stage) -> None:
    assert stage.deploy("v1") == PROMOTED
    assert stage.memory.acted[:4] == ["build v1", "set_failover False", "start blue v1", "start_proxy blue"]
    assert stage.site.observe().drift == ()


def test_a_failed_first_release_leaves_an_empty_site(stage: Stage) -> None:
    stage.memory.sick.add("v1")
    assert stage.deploy("v1") == ROLLED_BACK
    assert stage.site.observe().is_empty


def test_a_failed_first_release_under_a_running_proxy_stops_its_candidate(stage: Stage) -> None:
    stage.memory.proxy_runs = True
    stage.memory.chosen = Colour.BLUE
    release = stage.release("v1")
    assert release.intent.candidate is Colour.GREEN
    release.start()
    release.advance("switch")
    release.roll_back("no")
    assert not stage.memory.running


def test_an_audience_that_fails_stops_neither_the_release_nor_its_way_back(site_with_v1: Stage) -> None:
    def closed_terminal(event: StepEvent) -> None:
        raise BrokenPipeError

    release = site_with_v1.release("v2")
    release.on_event = closed_terminal
    release.start()
    release.advance("bake")
    release.roll_back("no")
    assert site_with_v1.serving is not None
    assert site_with_v1.serving.version == "v1"


def test_a_full_disk_stops_a_release_but_not_its_way_back(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    release.advance("confirm")
    site_with_v1.journal.is_full = True
    with pytest.raises(JournalError):
        release.advance("bake")
    release.record_verdict("ROLL BACK", why="the disk is full")
    release.roll_back("the disk is full")
    assert site_with_v1.serving is not None
    assert site_with_v1.serving.version == "v1"
    with pytest.raises(JournalError):
        release.finish(ROLLED_BACK)
    site_with_v1.opened()
    assert site_with_v1.recover() == [ROLLED_BACK]
    assert site_with_v1.site.observe().drift == ()


def test_a_promotion_that_cannot_be_recorded_is_not_made(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    release.advance("bake")
    site_with_v1.journal.is_full = True
    with pytest.raises(JournalError):
        release.record_verdict("PROMOTE", why="all good")


def test_a_step_whose_outcome_cannot_be_recorded_ends_the_release(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    site_with_v1.memory.before = lambda _: setattr(site_with_v1.journal, "is_full", True)
    with pytest.raises(JournalError):
        release.advance("build")
    assert isinstance(release.failure, JournalError)


def test_an_undo_after_a_signal_waits_for_a_clean_stop_while_there_is_time(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    release.advance("bake")
    assert release.grace == site_with_v1.settings.app.grace
    site_with_v1.memory.open_connections[Colour.GREEN] = 3  # and they never end
    release.shutdown_deadline = release.deadline("the end", 1.0)
    began = site_with_v1.clock.monotonic()
    release.roll_back("SIGTERM")
    assert site_with_v1.clock.monotonic() - began < 1.2
    assert release.grace == SHORTEST_GRACE
    assert site_with_v1.serving is not None
    assert site_with_v1.serving.version == "v1"


def test_what_the_platform_noticed_is_in_the_note_of_the_step(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    site_with_v1.memory.noticed = ["green was killed"]
    release.advance("prove")
    notes = {event.step: event.note for event in release.events if event.kind == "done"}
    assert notes["build"].endswith("; green was killed")
    assert "killed" not in notes["stage"]
    site_with_v1.memory.noticed = ["green was deaf"]
    release.roll_back("a test")
    assert any(event.kind == "undone" and "green was deaf" in event.note for event in release.events)


# Recovery.


def make_ill_once_it_serves(stage: Stage, version: str) -> None:
    running = stage.memory.running.get(stage.memory.chosen)
    if running and running.version == version:
        stage.memory.sick.add(version)


def is_settled(stage: Stage) -> bool:
    """One healthy slot has the users, and the history agrees with everything seen."""
    return stage.serving is not None and stage.site.observe().drift == () and not unfinished_of(stage)


def unfinished_of(stage: Stage) -> tuple[object, ...]:
    return unfinished(stage.site.journal.entries())


def is_decided(stage: Stage) -> bool:
    """Whether v2's PROMOTE is on record."""
    told = records(stage.site.journal.entries())
    return any((record.intent.version, record.decision) == ("v2", "PROMOTE") for record in told)


@pytest.mark.parametrize("keep_warm", [True, False])
def test_a_machine_that_stops_during_a_deploy_comes_back_as_the_record_says(
    quick_folder: Path, keep_warm: bool
) -> None:
    point, died, seen = 0, True, set()
    while died:
        point += 1
        stage = Stage(quick_folder / str(point), keep_warm=keep_warm)
        stage.deploy("v1")
        died = stage.die_at(point, partial(stage.deploy, "v2"))
        decided = is_decided(stage)
        stage.memory.running.clear()
        stage.memory.proxy_runs = False
        list(bring_up(stage.opened()))
        assert is_settled(stage), (point, stage.site.observe().drift)
        assert stage.serving is not None
        assert stage.serving.version == ("v2" if decided else "v1"), point
        seen.add(decided)
    assert seen == {True, False}


@pytest.mark.parametrize("keep_warm", [True, False])
@pytest.mark.parametrize("ending", ["promoted", "refused before the switch", "ill after the switch"])
def test_a_deploy_killed_at_any_point_is_recovered_to_one_healthy_slot(
    quick_folder: Path, ending: str, keep_warm: bool
) -> None:
    point, died = 0, True
    while died:
        point += 1
        stage = Stage(quick_folder / str(point), keep_warm=keep_warm)
        stage.deploy("v1")
        if ending == "refused before the switch":
            stage.memory.lies["v2"] = "v0"
        if ending == "ill after the switch":
            stage.clock.on_sleep = partial(make_ill_once_it_serves, stage, "v2")
        died = stage.die_at(point, partial(stage.deploy, "v2"))
        assert ending == "ill after the switch" or stage.serving is not None, point
        decided = is_decided(stage)
        stage.recover()
        assert is_settled(stage), (point, stage.site.observe().drift)
        assert stage.serving is not None
        assert stage.serving.version == ("v2" if decided else "v1"), point
        assert not stage.site.journal.damage()
    assert point > 30


def test_a_first_release_killed_at_any_point_ends_serving_or_gone(quick_folder: Path) -> None:
    point, died = 0, True
    while died:
        point += 1
        stage = Stage(quick_folder / str(point))
        died = stage.die_at(point, partial(stage.deploy, "v1"))
        stage.recover()
        assert stage.site.observe().is_empty or is_settled(stage), point


def test_a_rollback_killed_at_any_point_is_recovered_to_one_healthy_slot(quick_folder: Path) -> None:
    point, died = 0, True
    while died:
        point += 1
        stage = Stage(quick_folder / str(point))
        stage.deploy("v1")
        stage.deploy("v2")
        died = stage.die_at(point, stage.roll_back_to_previous)
        assert stage.serving is not None, point
        stage.recover()
        assert is_settled(stage), (point, stage.site.observe().drift)


@pytest.mark.parametrize("first", [8, 23, 31, 40, 45])
def test_a_recovery_killed_at_any_point_is_recovered_in_turn(quick_folder: Path, first: int) -> None:
    second, died = 0, True
    while died:
        second += 1
        stage = Stage(quick_folder / str(second), keep_warm=False)
        stage.deploy("v1")
        assert stage.die_at(first, partial(stage.deploy, "v2"))
        died = stage.die_at(second, stage.recover)
        stage.recover()
        assert is_settled(stage), (first, second, stage.site.observe().drift)


def test_a_promotion_whose_way_back_had_begun_is_not_finished_forward(quick_folder: Path) -> None:
    stage = Stage(quick_folder, keep_warm=False)
    stage.deploy("v1")
    stage.memory.failing["stop"] = 1
    release = stage.release("v2")
    release.start()
    release.advance("bake")
    with pytest.raises(PlatformError):
        release.advance("promote")
    stage.memory.before = lambda operation: (_ for _ in ()).throw(Crash) if operation == "stop" else None
    with pytest.raises(Crash):
        release.roll_back("promoting failed")
    stage.memory.before = lambda _: None
    stage.opened()
    assert stage.recover() == [ROLLED_BACK]
    assert stage.serving is not None
    assert stage.serving.version == "v1"


def died_after_the_verdict(stage: Stage, *, at: str = "prune") -> None:
    """v2's PROMOTE is on record; the release died where it was about to do `at`."""
    stage.memory.before = lambda operation: (_ for _ in ()).throw(Crash) if operation == at else None
    with pytest.raises(Crash):
        stage.deploy("v2")
    stage.memory.before = lambda _: None
    stage.opened()


@pytest.mark.parametrize("keep_warm", [True, False])
def test_a_promotion_is_finished_with_its_candidate_restarted_after_a_stop(quick_folder: Path, keep_warm: bool) -> None:
    stage = Stage(quick_folder, keep_warm=keep_warm)
    stage.deploy("v1")
    died_after_the_verdict(stage, at="prune" if keep_warm else "stop")
    stage.memory.running.clear()
    stage.memory.proxy_runs = False
    assert stage.recover() == [PROMOTED]
    assert is_settled(stage)
    assert stage.serving is not None
    assert stage.serving.version == "v2"


def test_a_promotion_stands_where_somebody_moved_users_since(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    release.advance("bake")
    release.record_verdict("PROMOTE", why="all good")
    site_with_v1.memory.chosen = Colour.BLUE
    site_with_v1.opened()
    assert site_with_v1.recover() == [PROMOTED]
    assert is_settled(site_with_v1)


@pytest.mark.parametrize("point", range(1, 17))
def test_a_rollback_that_was_to_stand_is_finished_so_wherever_it_died(quick_folder: Path, point: int) -> None:
    stage = Stage(quick_folder)
    stage.deploy("v1")
    stage.deploy("v2")
    target = next(each for each in stage.memory.retained() if each.version == "v1")
    release = stage.release("v1", kind="rollback", target=target)
    release.start()
    release.advance("bake")
    release.record_verdict("INCONCLUSIVE", why="no traffic", keeps_users=True)

    def ends() -> None:
        release.advance("cleanup")
        release.finish(UNPROVEN)

    stage.die_at(point, ends)
    assert stage.recover() in ([UNPROVEN], [])
    assert records(stage.site.journal.entries())[-1].outcome == UNPROVEN
    assert is_settled(stage)
    assert stage.serving is not None
    assert stage.serving.version == "v1"
    assert stage.memory.failover is False


def test_a_promotion_taken_back_on_record_does_not_stand(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    release.advance("bake")
    release.record_verdict("PROMOTE", why="all good")
    release.record_verdict("INCONCLUSIVE", why="users were gone when it came to it")
    site_with_v1.opened()
    assert site_with_v1.recover() == [ROLLED_BACK]
    assert is_settled(site_with_v1)


@pytest.mark.parametrize("trouble", ["ill", "ill since it was started again", "gone for good", "another one there"])
def test_a_promotion_is_undone_if_its_candidate_cannot_serve_users_any_more(site_with_v1: Stage, trouble: str) -> None:
    died_after_the_verdict(site_with_v1)
    memory = site_with_v1.memory
    if trouble.startswith("ill"):
        memory.sick.add("v2")
    if trouble == "ill since it was started again":
        memory.running.clear()
    if trouble == "gone for good":
        del memory.running[Colour.GREEN], memory.artifacts["v2"]
    if trouble == "another one there":
        memory.running[Colour.GREEN] = running_slot(Colour.GREEN, "v0")
    assert site_with_v1.recover() == [ROLLED_BACK]
    assert site_with_v1.serving is not None
    assert site_with_v1.serving.version == "v1"
    assert "cannot serve users any more" in records(site_with_v1.site.journal.entries())[-1].why


def test_a_promotion_is_not_taken_back_because_the_proxy_does_not_start(site_with_v1: Stage) -> None:
    died_after_the_verdict(site_with_v1)
    site_with_v1.memory.proxy_runs = False
    site_with_v1.memory.failing["start_proxy"] = 1
    with pytest.raises(ProxyError):
        site_with_v1.recover()
    assert site_with_v1.recover() == [PROMOTED]
    assert is_settled(site_with_v1)


def test_a_promotion_finished_by_recovery_makes_what_lies_before_it_history(site_with_v1: Stage) -> None:
    stuck = site_with_v1.release("v2")
    stuck.start()
    stuck.advance("smoke")
    site_with_v1.opened()
    later = site_with_v1.release("v3")
    later.start()
    later.advance("bake")
    later.record_verdict("PROMOTE", why="all good")
    site_with_v1.opened()
    assert site_with_v1.recover() == [PROMOTED]
    assert is_settled(site_with_v1)
    assert site_with_v1.serving is not None
    assert site_with_v1.serving.version == "v3"


def test_a_machine_that_died_after_the_switch_comes_back_on_the_old_version(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    release.advance("bake")
    site_with_v1.memory.running.clear()
    site_with_v1.memory.proxy_runs = False
    site_with_v1.opened()
    assert site_with_v1.recover() == [ROLLED_BACK]
    assert is_settled(site_with_v1)
    assert site_with_v1.serving is not None
    assert site_with_v1.serving.version == "v1"


def test_a_recovery_that_fails_is_recorded_and_tried_again_by_the_next(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    release.advance("bake")
    site_with_v1.opened()
    site_with_v1.memory.failing["point_at"] = 1
    with pytest.raises(RollbackFailed):
        site_with_v1.recover()
    assert records(site_with_v1.site.journal.entries())[-1].outcome == STUCK
    assert site_with_v1.recover() == [ROLLED_BACK]
    assert is_settled(site_with_v1)


def test_an_old_slot_that_died_is_started_again_from_its_retained_artifact(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    release.advance("bake")
    del site_with_v1.memory.running[Colour.BLUE]
    release.roll_back("v2 is bad")
    assert "start blue v1" in site_with_v1.memory.acted[-5:]
    assert site_with_v1.serving is not None
    assert site_with_v1.serving.version == "v1"


def test_users_stay_where_they_are_when_the_old_version_is_gone_for_good(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    release.advance("bake")
    del site_with_v1.memory.running[Colour.BLUE]
    del site_with_v1.memory.artifacts["v1"]
    with pytest.raises(RollbackFailed, match="not retained"):
        release.roll_back("v2 is bad")
    assert site_with_v1.serving is not None
    assert site_with_v1.serving.version == "v2"


def test_an_ill_old_version_that_users_never_left_needs_no_person(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    release.advance("smoke")
    site_with_v1.memory.sick |= {"v1", "v2"}
    with pytest.raises(NotHealthy):
        release.advance("switch")
    release.roll_back("v2 became ill")
    assert set(site_with_v1.memory.running) == {Colour.BLUE}


def test_a_warm_rollback_starts_nothing_and_stops_nothing(site_with_v1: Stage) -> None:
    site_with_v1.deploy("v2")
    acted = site_with_v1.acts(site_with_v1.roll_back_to_previous)
    assert acted == ["set_failover False", "refresh", "point_at blue", "set_failover False", "prune"]
    assert site_with_v1.serving is not None
    assert site_with_v1.serving.version == "v1"


def test_the_version_users_were_brought_back_from_does_not_stand_in(site_with_v1: Stage) -> None:
    site_with_v1.deploy("v2")
    assert site_with_v1.memory.failover
    site_with_v1.roll_back_to_previous()
    assert not site_with_v1.memory.failover


def test_a_failed_stage_leaves_the_warm_version_that_was_there(site_with_v1: Stage) -> None:
    site_with_v1.deploy("v2")
    site_with_v1.memory.failing["start"] = 1
    assert site_with_v1.deploy("v3") == ROLLED_BACK
    assert {slot.version for slot in site_with_v1.memory.running.values()} == {"v1", "v2"}


def test_recovery_of_a_release_killed_in_its_middle_says_so_in_the_history(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    release.advance("prove")
    site_with_v1.opened()
    site_with_v1.recover()
    (entry,) = [each for each in site_with_v1.site.journal.entries() if each.facts.get("recovered")]
    assert (entry.event, entry.facts["outcome"], entry.release) == ("release.finished", ROLLED_BACK, release.id)


def test_recovering_a_site_with_nothing_unfinished_touches_nothing(site_with_v1: Stage) -> None:
    assert site_with_v1.acts(site_with_v1.recover) == []


def test_a_slot_of_another_release_is_not_stopped_by_an_undo(stage: Stage) -> None:
    stage.memory.running[Colour.BLUE] = running_slot(Colour.BLUE, "v0")
    release = stage.release("v1")
    release.start()
    release.begun.append("stage")
    release.roll_back("no")
    assert stage.memory.running


def test_recover_is_callable_for_one_record(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    (record,) = unfinished(site_with_v1.site.journal.entries())
    assert recover(site_with_v1.site, record, STEPS, on_event=lambda _: None) == ROLLED_BACK


def test_a_promotion_given_up_before_users_moved_stays_so_after_a_crash(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    release.advance("bake")
    site_with_v1.memory.before = lambda operation: (_ for _ in ()).throw(Crash) if operation == "point_at" else None
    site_with_v1.memory.failing["set_failover"] = 1
    with pytest.raises(PlatformError):
        release.advance("promote")
    with pytest.raises(Crash):
        release.roll_back("promoting failed")
    site_with_v1.memory.before = lambda _: None
    site_with_v1.opened()
    assert site_with_v1.recover() == [ROLLED_BACK]
