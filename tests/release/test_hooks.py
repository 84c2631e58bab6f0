"""Hooks run at their moments, stop a release or bring users back, and are in the journal."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.errors import HookFailed, ReleaseError
from cakravia_verify.history.releases import PROMOTED, ROLLED_BACK
from cakravia_verify.recovery.repair import repair
from cakravia_verify.recovery.rollback_target import preview_rollback
from cakravia_verify.release.hooks import ReleaseEnd, moments_of, tell_hooks
from cakravia_verify.settings.hooks import HookKind, HookMoment, HookPlace, HookSettings
from cakravia_verify.slots import Colour
from tests.memory_stage import Stage


def hook(at: HookMoment, command: str = "act", **more: Any) -> HookSettings:
    return HookSettings(at=at, command=(command,), **more)


def migration(command: str = "migrate") -> HookSettings:
    return hook(HookMoment.BEFORE_SWITCH, command, kind=HookKind.MIGRATION)


def on_v1(folder: Path, *hooks: HookSettings) -> Stage:
    """A site whose users are on v1, with hooks from now on."""
    stage = Stage(folder)
    assert stage.deploy("v1") == PROMOTED
    after = Stage(folder, hooks=hooks, memory=stage.memory)
    after.number = stage.number
    return after


def ran(stage: Stage) -> list[str]:
    return [command.argv[0] for command in stage.memory.commands]


def events(stage: Stage, *names: str) -> list[tuple[str, str]]:
    return [(e.event, str(e.facts.get("hook"))) for e in stage.site.journal.entries() if e.event in names]


def test_deciding_hooks_run_before_and_after_their_steps_in_order(tmp_path: Path) -> None:
    moments = (HookMoment.AFTER_SWITCH, HookMoment.BEFORE_SWITCH, HookMoment.BEFORE_STAGE)
    stage = on_v1(tmp_path, *(hook(moment, str(moment)) for moment in moments))
    acts = stage.acts(lambda: stage.deploy("v2"))
    wanted = ["run before-stage", "start green v2", "run before-switch", "point_at green", "run after-switch"]
    assert [act for act in acts if act in wanted] == wanted


@pytest.mark.parametrize("moment", [HookMoment.BEFORE_STAGE, HookMoment.BEFORE_SWITCH])
def test_a_hook_that_fails_before_the_switch_leaves_users_where_they_are(tmp_path: Path, moment: HookMoment) -> None:
    stage = on_v1(tmp_path, hook(moment, "bad"))
    stage.memory.scripted["bad"] = (0.1, 3)
    release = stage.release("v2")
    release.start()
    with pytest.raises(HookFailed, match="ended with status 3; its last lines: the output"):
        release.advance("bake")
    acts = stage.acts(lambda: release.roll_back("a hook failed"))
    assert "point_at green" not in stage.memory.acted
    assert stage.serving
    assert stage.serving.version == "v1"
    assert stage.memory.observe(Colour.GREEN) is None, acts


def test_a_hook_that_fails_after_the_switch_brings_users_back(tmp_path: Path) -> None:
    stage = on_v1(tmp_path, hook(HookMoment.AFTER_SWITCH, "bad"))
    stage.memory.scripted["bad"] = (0.1, 1)
    acts = stage.acts(lambda: stage.deploy("v2"))
    assert acts.index("point_at green") < acts.index("run bad") < acts.index("point_at blue")
    assert stage.serving
    assert stage.serving.version == "v1"


def test_a_hook_that_takes_too_long_is_ended_and_fails(tmp_path: Path) -> None:
    stage = on_v1(tmp_path, hook(HookMoment.BEFORE_SWITCH, "slow", timeout=5.0))
    stage.memory.scripted["slow"] = (60.0, 0)
    release = stage.release("v2")
    release.start()
    with pytest.raises(HookFailed, match="did not end within 5 s and was killed"):
        release.advance("bake")
    assert "end command" in stage.memory.acted


def test_watchers_may_end_the_release_while_a_hook_runs(tmp_path: Path) -> None:
    stage = on_v1(tmp_path, hook(HookMoment.AFTER_SWITCH, "slow"))
    stage.memory.scripted["slow"] = (60.0, 0)
    release = stage.release("v2")

    def objection() -> None:
        if stage.memory.commands:
            raise ReleaseError("users suffer")

    release.watchers.append(objection)
    release.start()
    with pytest.raises(ReleaseError, match="users suffer"):
        release.advance("bake")
    assert stage.memory.acted[-1] == "end command"


def test_users_of_a_candidate_that_dies_during_a_hook_are_brought_back_at_once(tmp_path: Path) -> None:
    stage = on_v1(tmp_path, hook(HookMoment.AFTER_SWITCH, "slow"))
    stage.memory.scripted["slow"] = (60.0, 0)

    def die() -> None:
        if stage.memory.commands:
            stage.memory.running.pop(Colour.GREEN, None)

    stage.clock.on_sleep = die
    began = stage.clock.now
    assert stage.deploy("v2") == ROLLED_BACK
    assert stage.clock.now - began < 10
    assert stage.serving
    assert stage.serving.version == "v1"


def test_a_hook_is_told_the_facts_of_the_release_in_both_ways(tmp_path: Path) -> None:
    stage = on_v1(tmp_path, hook(HookMoment.BEFORE_SWITCH, environment={"OWN": "x"}))
    stage.deploy("v2")
    (command,) = stage.memory.commands
    told = json.loads(command.stdin)
    wanted = {
        "version": "v2",
        "slot": "green",
        "previous_version": "v1",
        "previous_slot": "blue",
        "at": "before-switch",
    }
    assert wanted.items() <= told.items()
    assert command.environment["CAKRAVIA_VERSION"] == "v2"
    assert command.environment["OWN"] == "x"
    assert {name: command.environment[f"CAKRAVIA_{name.upper()}"] for name in told} == told


def test_every_hook_is_in_the_journal_before_it_runs(tmp_path: Path) -> None:
    stage = on_v1(tmp_path, hook(HookMoment.BEFORE_STAGE, "one"), hook(HookMoment.BEFORE_STAGE, "two"))
    stage.memory.scripted["two"] = (0.0, 1)
    stage.deploy("v2")
    assert events(stage, "hook.intent", "hook.done", "hook.failed") == [
        ("hook.intent", "one"),
        ("hook.done", "one"),
        ("hook.intent", "two"),
        ("hook.failed", "two"),
    ]


def test_a_killed_hook_is_ended_by_the_recovery_and_its_release_undone(tmp_path: Path) -> None:
    stage = on_v1(tmp_path, migration())
    release = stage.release("v2")
    release.start()
    release.advance("smoke")
    # A killed process leaves the intent as its last line.
    facts = {"hook": "migrate", "kind": "migration", "version": "v2", "command": "sha256:1"}
    stage.site.journal.append("hook.intent", release=release.id, step="before-switch", **facts)
    stage.opened()
    lines = list(repair(stage.site))
    assert "end_commands r2" in stage.memory.acted
    assert any("release r2 (v2): rolled back" in line for line in lines)
    assert ("hook.failed", "migrate") in events(stage, "hook.failed")
    assert not [line for line in repair(stage.site) if "migrate" in line]


def test_a_migration_runs_once_for_a_version_and_a_command(tmp_path: Path) -> None:
    stage = on_v1(tmp_path, migration())
    stage.memory.sick.add("v2")
    assert stage.deploy("v2") == ROLLED_BACK
    stage.memory.sick.clear()
    assert ran(stage) == []  # it comes after the proof of health
    assert stage.deploy("v2") == PROMOTED
    assert stage.deploy("v3") == PROMOTED
    stage.deploy("v2")
    assert ran(stage) == ["migrate", "migrate"]


def test_a_migration_that_failed_runs_again(tmp_path: Path) -> None:
    stage = on_v1(tmp_path, migration())
    stage.memory.scripted["migrate"] = (0.0, 1)
    assert stage.deploy("v2") == ROLLED_BACK
    stage.memory.scripted.clear()
    assert stage.deploy("v2") == PROMOTED
    assert ran(stage) == ["migrate", "migrate"]


def test_a_rollback_runs_no_migration_and_its_preview_names_those_it_leaves(tmp_path: Path) -> None:
    stage = on_v1(tmp_path, migration())
    assert stage.deploy("v2") == PROMOTED
    details = [check.detail for check in preview_rollback(stage.site).checks if check.name == "migrations stay"]
    assert len(details) == 1
    assert "'migrate' of v2" in details[0]
    assert stage.roll_back_to_previous() == PROMOTED
    assert ran(stage) == ["migrate"]


def test_a_hook_that_fails_does_not_stop_a_rollback(tmp_path: Path) -> None:
    stage = on_v1(tmp_path, hook(HookMoment.BEFORE_SWITCH, "bad"))
    assert stage.deploy("v2") == PROMOTED
    stage.memory.scripted["bad"] = (0.0, 1)
    assert stage.roll_back_to_previous() == PROMOTED
    assert stage.serving
    assert stage.serving.version == "v1"


def test_hooks_that_are_told_cannot_fail_a_release(tmp_path: Path) -> None:
    stage = on_v1(tmp_path, hook(HookMoment.AFTER_PROMOTE, "bad"), hook(HookMoment.AFTER_PROMOTE, "good"))
    stage.memory.scripted["bad"] = (0.0, 1)
    release = stage.release("v2")
    assert stage.finished(release) == PROMOTED
    lines = tell_hooks(release, moments_of(release.intent, PROMOTED), ReleaseEnd(PROMOTED, "all good"))
    assert len(lines) == 1
    assert ran(stage) == ["bad", "good"]
    assert stage.memory.commands[-1].environment["CAKRAVIA_OUTCOME"] == PROMOTED


def test_recovery_tells_the_hooks_how_a_killed_release_ended(tmp_path: Path) -> None:
    stage = on_v1(tmp_path, hook(HookMoment.AFTER_ROLLBACK, "back"), hook(HookMoment.ON_FAILURE, "failed"))
    release = stage.release("v2")
    release.start()
    release.advance("confirm")
    stage.opened()
    list(repair(stage.site))
    assert ran(stage) == ["back", "failed"]


def test_a_hook_on_the_machine_gets_its_input_and_its_output_is_bounded(tmp_path: Path) -> None:
    script = "import sys; print('x' * 300_000); print(sys.stdin.read())"
    on_machine = HookSettings(
        at=HookMoment.BEFORE_STAGE, command=("{python}", "-c", script), name="talk", where=HookPlace.MACHINE
    )
    stage = on_v1(tmp_path, on_machine)
    stage.clock.on_sleep = lambda: time.sleep(0.02)  # the command is real
    release = stage.release("v2")
    release.start()
    release.advance("stage")
    (result,) = release.facts.hooks
    assert "bytes left out" in result.output
    assert len(result.output) < 100_000
    assert '"version": "v2"' in result.output
