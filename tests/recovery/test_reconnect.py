"""Parts of a site that run, but were cut off from each other, find each other again before anything else is done."""

from __future__ import annotations

from pathlib import Path

from cakravia_verify.recovery.lifecycle import bring_up
from cakravia_verify.recovery.repair import repair
from cakravia_verify.slots import Colour
from tests.memory_stage import Stage


def cut_off(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    stage.deploy("v1")
    stage.memory.cut_off.append("blue")
    return stage


def test_what_was_cut_off_is_brought_back_and_told_by_recover(tmp_path: Path) -> None:
    stage = cut_off(tmp_path)
    assert list(repair(stage.opened())) == ["blue was cut off, and is reached again"]
    assert stage.memory.chosen is Colour.BLUE


def test_what_was_cut_off_is_brought_back_and_told_by_up(tmp_path: Path) -> None:
    stage = cut_off(tmp_path)
    assert next(iter(bring_up(stage.opened()))) == "blue was cut off, and is reached again"


def test_the_history_knows_what_was_cut_off(tmp_path: Path) -> None:
    stage = cut_off(tmp_path)
    list(repair(stage.opened()))
    events = [entry for entry in stage.journal.entries() if entry.event == "site.reconnected"]
    assert [entry.facts["parts"] for entry in events] == [["blue was cut off, and is reached again"]]


def test_the_proxy_learns_where_slots_are_now(tmp_path: Path) -> None:
    stage = cut_off(tmp_path)
    list(repair(stage.opened()))
    assert stage.memory.acted[-1].startswith("refresh")
