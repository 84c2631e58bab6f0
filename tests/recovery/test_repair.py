"""What keeps a site up between releases."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from cakravia_verify.errors import DeadlineExceeded, NotConfirmed, RollbackFailed
from cakravia_verify.history.releases import PROMOTED
from cakravia_verify.recovery.lifecycle import bring_down, bring_up
from cakravia_verify.recovery.repair import repair, serve_again
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Colour
from cakravia_verify.testing.memory import running_slot
from tests.memory_stage import Stage


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
    assert list(repair(stage.opened())) == ["blue (v1) is not what the history promoted; users are on green (v2) now"]
    assert stage.memory.chosen is Colour.GREEN
    assert list(repair(stage.opened())) == []


def test_users_moved_by_hand_stay_where_the_promoted_version_is_not_healthy(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    stage.memory.chosen = Colour.BLUE
    stage.memory.sick.add("v2")
    (line,) = list(repair(stage.opened()))
    assert "green (v2), which cannot serve: green (v2) is not healthy" in line
    assert line.endswith("users stay on blue (v1)")
    assert stage.memory.chosen is Colour.BLUE


@pytest.mark.parametrize("stands_in", [True, False])
def test_promoted_version_that_died_is_started_again_and_has_its_users_back(stands_in: bool, tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    del stage.memory.running[Colour.GREEN]
    stage.memory.failover = stands_in
    assert list(repair(stage.opened()))[-1] == "green (v2) had ended and was started again; users are on green (v2) now"
    assert stage.serving is not None
    assert (stage.serving.version, stage.serving.digest) == ("v2", "sha256:v2")
    assert stage.site.observe().drift == ()
    assert list(repair(stage.opened())) == []


def test_version_before_may_stand_in_again_after_the_repair(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    del stage.memory.running[Colour.GREEN]
    list(repair(stage.opened()))
    assert stage.memory.failover is True


def test_repair_allows_no_failover_to_a_version_that_was_rolled_back(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    stage.roll_back_to_previous()
    del stage.memory.running[Colour.BLUE]
    assert list(repair(stage.opened())) != []
    assert stage.serving is not None
    assert stage.serving.version == "v1"
    assert stage.memory.failover is False


def test_promoted_version_that_stays_unhealthy_gets_no_users_and_is_stopped(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    del stage.memory.running[Colour.GREEN]
    stage.memory.failover = True
    stage.memory.sick.add("v2")
    line = list(repair(stage.opened()))[-1]
    assert "green (v2), which cannot serve" in line
    assert Colour.GREEN not in stage.memory.running
    assert stage.serving is not None
    assert stage.serving.version == "v1"


def test_users_stay_where_the_promoted_version_is_not_retained(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    del stage.memory.running[Colour.GREEN]
    del stage.memory.artifacts["v2"]
    assert "not retained here" in list(repair(stage.opened()))[-1]
    assert stage.serving is not None
    assert stage.serving.version == "v1"


def test_users_stay_if_another_version_runs_in_the_slot_of_the_promoted_one(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    stage.memory.chosen = Colour.BLUE
    stage.memory.running[Colour.GREEN] = replace(running_slot(Colour.GREEN, "v9"), release="r2")
    assert "its slot runs green (v9)" in list(repair(stage.opened()))[-1]
    assert stage.memory.running[Colour.GREEN].version == "v9"
    assert stage.serving is not None
    assert stage.serving.version == "v1"


def test_users_who_do_not_arrive_on_the_promoted_version_are_sent_back(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    stage.memory.chosen = Colour.BLUE
    stage.memory.stuck_on = Colour.BLUE
    assert "users stay on blue (v1)" in list(repair(stage.opened()))[-1]
    assert stage.memory.chosen is Colour.BLUE


def test_site_that_comes_up_on_whoever_runs_ends_on_the_promoted_version(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    del stage.memory.running[Colour.GREEN]
    stage.memory.proxy_runs = False
    assert list(bring_up(stage.opened())) == [
        "blue (v1) serves users at http://127.0.0.1:8080",
        "green (v2) had ended and was started again; users are on green (v2) now",
    ]


def fall_silent_at(stage: Stage, operation: str, *colours: Colour) -> None:
    """From that operation on, no request through the proxy gets an answer from these slots."""
    silent = {stage.memory.running[colour].identity for colour in colours}
    stage.memory.before = lambda name: stage.memory.mute.update(silent) if name == operation else None


def test_repair_says_users_are_on_a_stand_in_that_gives_no_answer(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    del stage.memory.running[Colour.GREEN]
    stage.memory.failover = True
    fall_silent_at(stage, "point_at", Colour.BLUE)
    with pytest.raises(NotConfirmed, match=r"users do not reach blue \(v1\)"):
        list(repair(stage.opened()))
    assert "site.repaired" not in {entry.event for entry in stage.journal.entries()}


@pytest.mark.parametrize("mend", [repair, serve_again, bring_up])
def test_repair_says_a_slot_serves_users_while_the_started_proxy_is_silent(
    mend: Callable[[Site], Iterable[str]], tmp_path: Path
) -> None:
    stage = promoted_twice(tmp_path)
    stage.memory.proxy_runs = False
    fall_silent_at(stage, "start_proxy", Colour.BLUE, Colour.GREEN)
    with pytest.raises(NotConfirmed, match=r"users do not reach green \(v2\)"):
        list(mend(stage.opened()))
    assert "site.up" not in {entry.event for entry in stage.journal.entries()}


def test_repair_says_users_stay_on_a_slot_that_gives_no_answer(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    stage.memory.chosen = Colour.BLUE
    fall_silent_at(stage, "point_at", Colour.BLUE, Colour.GREEN)
    with pytest.raises(NotConfirmed, match=r"which cannot serve: .*; users do not reach blue \(v1\)"):
        list(repair(stage.opened()))


def test_nothing_is_repaired_where_nothing_disagrees(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    before = list(stage.memory.acted)
    assert list(repair(stage.opened())) == []
    assert stage.memory.acted == before


def test_users_without_a_slot_get_the_one_that_runs(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    del stage.memory.running[Colour.GREEN]
    stage.memory.failover = False
    assert any("users got no answer" in line for line in serve_again(stage.opened()))
    assert stage.memory.chosen is Colour.BLUE


def test_users_of_a_stand_in_are_told_to_stay_there(tmp_path: Path) -> None:
    """The next release withdraws failover, and would take the answers away from these users."""
    stage = promoted_twice(tmp_path)
    del stage.memory.running[Colour.GREEN]
    stage.memory.failover = True
    assert any("failover served users" in line for line in serve_again(stage.opened()))
    stage.memory.failover = False
    assert stage.serving is not None
    assert stage.serving.version == "v1"


@pytest.mark.parametrize("kind", ["served", "taken down", "moved by hand"])
def test_a_release_moves_nobody_who_is_served_before_it_begins(kind: str, tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    if kind == "taken down":
        bring_down(stage.opened())
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
    assert serve_again(stage.opened()) == ["blue (v1) serves users at http://127.0.0.1:8080"]
    assert stage.serving is not None


def hung_and_alone(tmp_path: Path) -> Stage:
    """Green runs v2, which gives no answer, and blue is empty."""
    stage = Stage(tmp_path, keep_warm=False)
    stage.deploy("v1")
    stage.deploy("v2")
    stage.memory.sick.add("v2")
    stage.memory.mute.add(stage.memory.running[Colour.GREEN].identity)
    return stage


def test_version_that_stays_ill_and_alone_is_started_anew(tmp_path: Path) -> None:
    stage = hung_and_alone(tmp_path)
    stage.memory.before = lambda operation: stage.memory.sick.discard("v2") if operation == "start" else None
    assert list(repair(stage.opened())) == ["users got no answer; they are on green (v2) now"]
    assert stage.serving is not None
    assert stage.serving.version == "v2"
    assert stage.memory.acted[-2:] == ["stop green", "start green v2"]


def test_version_that_stays_ill_is_not_ended_where_it_could_not_be_had_again(tmp_path: Path) -> None:
    stage = hung_and_alone(tmp_path)
    del stage.memory.artifacts["v2"]
    with pytest.raises(DeadlineExceeded, match=r"green \(v2\) is healthy"):
        list(repair(stage.opened()))
    assert Colour.GREEN in stage.memory.running


def test_slot_that_runs_has_the_users_where_the_history_is_lost(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    stage.settings.history.unlink()
    del stage.memory.running[Colour.GREEN]
    stage.memory.failover = False
    assert list(repair(stage.opened())) == ["users got no answer; they are on blue (v1) now"]
    assert stage.site.observe().drift == ("blue (v1) serves users, but the history has no release",)


def test_nobody_is_moved_on_the_strength_of_a_damaged_history(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    lines = stage.settings.history.read_text().splitlines()
    spoilt = next(number for number, line in enumerate(lines) if '"release.started"' in line and '"v2"' in line)
    lines[spoilt] = "spoilt"
    stage.settings.history.write_text("\n".join(lines) + "\n")
    (line,) = repair(stage.opened())
    assert line.startswith("the history cannot be relied on")
    assert line.endswith("users stay on green (v2)")
    assert any("cannot be relied on" in each for each in stage.site.observe().drift)
    assert stage.memory.chosen is Colour.GREEN


def test_nobody_is_moved_by_an_old_copy_of_the_history(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.deploy("v1")
    old = stage.release("v2")
    old.start()
    old.advance("bake")
    copy = stage.settings.history.read_bytes()
    old.record_verdict("PROMOTE", why="all good")
    old.advance("cleanup")
    old.finish(PROMOTED, digest="sha256:v2")
    stage.deploy("v3")
    stage.settings.history.write_bytes(copy)
    lines = list(repair(stage.opened()))
    assert lines == [
        "the history does not know release r3, whose version runs in blue (v3); no release is finished or undone"
    ]
    assert stage.serving is not None
    assert stage.serving.version == "v3"
    assert any("does not know release r3" in each for each in stage.site.observe().drift)


def test_users_are_served_where_a_dead_release_cannot_be_undone(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.deploy("v1")
    dead = stage.release("v2")
    dead.start()
    dead.advance("bake")
    del stage.memory.running[Colour.BLUE]
    del stage.memory.artifacts["v1"]
    stage.memory.proxy_runs = False
    for mend in (repair, bring_up):
        lines: list[str] = []
        with pytest.raises(RollbackFailed):
            lines.extend(mend(stage.opened()))
        assert stage.serving is not None
        assert stage.serving.version == "v2"


def test_answer_of_a_stranger_at_the_address_of_a_dead_slot_is_no_service(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    stage.memory.stranger = stage.memory.running.pop(Colour.GREEN)
    state = stage.opened().observe()
    assert state.served is None
    assert serve_again(stage.opened()) == ["users got no answer; they are on blue (v1) now"]
    assert stage.memory.chosen is Colour.BLUE


@pytest.mark.parametrize("mend", [repair, serve_again, bring_up])
def test_site_that_died_whole_serves_its_promoted_version_again(
    mend: Callable[[Site], Iterable[str]], tmp_path: Path
) -> None:
    stage = promoted_twice(tmp_path)
    stage.memory.running.clear()
    stage.memory.proxy_runs = False
    assert stage.opened().observe().drift == ("the history says that green (v2) serves users, but nothing runs",)
    assert list(mend(stage.opened())) == ["green (v2) serves users at http://127.0.0.1:8080"]
    assert stage.site.observe().drift == ()


def test_site_that_was_taken_down_is_no_drift_and_stays_down(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    bring_down(stage.opened())
    assert list(repair(stage.opened())) == []
    state = stage.site.observe()
    assert (state.is_empty, state.drift) == (True, ())


def test_site_that_came_up_again_after_it_was_taken_down_is_missed_when_it_dies(tmp_path: Path) -> None:
    stage = promoted_twice(tmp_path)
    bring_down(stage.opened())
    list(bring_up(stage.opened()))
    stage.memory.running.clear()
    stage.memory.proxy_runs = False
    assert stage.opened().observe().drift != ()
    assert list(repair(stage.opened())) != []
