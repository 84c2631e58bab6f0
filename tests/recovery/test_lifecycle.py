"""What changed between releases is taken up by `cakravia up` and `cakravia recover` too."""

from __future__ import annotations

from pathlib import Path

from cakravia_verify.recovery.repair import take_up_changes
from tests.memory_stage import Stage


def test_a_running_proxy_is_asked_to_take_up_what_changed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.deploy("v1")
    stage.memory.acted.clear()
    take_up_changes(stage.opened())
    assert stage.memory.acted == ["refresh"]


def test_a_proxy_that_does_not_run_is_not_asked(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.deploy("v1")
    stage.memory.proxy_runs = False
    stage.memory.acted.clear()
    assert take_up_changes(stage.opened()) == []
    assert stage.memory.acted == []
