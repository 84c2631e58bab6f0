"""`cakravia maintenance` and `cakravia hold` on a site in memory, with real commands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cakravia_verify.cli.admission import hold, maintenance
from cakravia_verify.proxy.protocol import Admission
from tests.memory_stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    stage.deploy("v1")
    stage.memory.acted.clear()
    return stage


def invoked(stage: Stage, *arguments: str) -> Result:
    command = hold if arguments[0] == "hold" else maintenance
    return CliRunner().invoke(command, arguments[1:], obj=lambda: stage.site)


def admissions(stage: Stage) -> list[str]:
    return [what.removeprefix("set_admission ") for what in stage.memory.acted if what.startswith("set_admission")]


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_maintenance_is_on_until_it_is_switched_off(stage: Stage) -> None:
    for state, admission in (("on", Admission.MAINTENANCE), ("off", Admission.OPEN)):
        assert invoked(stage, "maintenance", state).exit_code == 0
        assert stage.memory.admission is admission


def test_requests_wait_while_the_command_runs(stage: Stage) -> None:
    result = invoked(stage, "hold", "30", *python("raise SystemExit(3)"))
    assert (result.exit_code, admissions(stage)) == (3, ["hold", "open"])


def test_users_get_503_while_the_command_takes_too_long(stage: Stage) -> None:
    result = invoked(stage, "hold", "1", *python("import time; time.sleep(1.5)"))
    assert (result.exit_code, admissions(stage)) == (0, ["hold", "maintenance", "open"])


def test_a_hold_ends_although_its_command_cannot_be_run(stage: Stage) -> None:
    result = invoked(stage, "hold", "30", "/there/is/no/such/program")
    assert result.exit_code != 0
    assert stage.memory.admission is Admission.OPEN


def test_without_a_command_the_hold_ends_with_its_seconds(stage: Stage) -> None:
    result = invoked(stage, "hold", "1")
    assert (result.exit_code, admissions(stage)) == (0, ["hold", "open"])


def test_a_hold_does_not_end_a_maintenance(stage: Stage) -> None:
    invoked(stage, "maintenance", "on")
    assert invoked(stage, "hold", "30", "true").exit_code != 0
    assert stage.memory.admission is Admission.MAINTENANCE


def test_nothing_is_changed_without_a_proxy(stage: Stage) -> None:
    stage.memory.proxy_runs = False
    assert invoked(stage, "maintenance", "on").exit_code != 0
    assert stage.memory.admission is Admission.OPEN
