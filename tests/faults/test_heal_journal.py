"""A fault is healed at the end of its session, also if the session is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cakravia_verify.errors import PlatformError
from cakravia_verify.faults.heal_journal import FOLDER, HealJournal, heal_left
from cakravia_verify.faults.healing import LIMITS, HealAction, HealStep
from cakravia_verify.system.clock import Deadline, poll
from cakravia_verify.system.processes import identity_of


@pytest.fixture
def child() -> Iterator[psutil.Process]:
    """A process that sleeps. It has begun: an interpreter that still starts would not survive a lowered limit."""
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield psutil.Process(process.pid)
        process.kill()


def continuing(process: psutil.Process) -> HealStep:
    return HealStep(HealAction.CONTINUE, identity_of(process))


def await_status(process: psutil.Process, *wanted: str) -> None:
    deadline = Deadline(f"the process is {wanted}", 10.0)
    poll(lambda: process.status() in wanted, deadline=deadline, every=0.01, observed=process.status)


def await_going_on(process: psutil.Process) -> None:
    await_status(process, psutil.STATUS_SLEEPING, psutil.STATUS_RUNNING)


def of_a_dead_session(state: Path, *steps: HealStep) -> Path:
    """Leave a record as a killed session leaves it."""
    record = state / FOLDER / "record.json"
    record.parent.mkdir(parents=True)
    row = {"owner": "4194303@1.gone", "steps": [dict(step.as_json()) for step in steps]}
    record.write_text(json.dumps(row))
    return record


def test_what_heals_a_fault_is_on_disk_while_the_fault_is_there(tmp_path: Path, child: psutil.Process) -> None:
    with HealJournal(tmp_path).healing([continuing(child)]):
        (record,) = (tmp_path / FOLDER).iterdir()
        assert json.loads(record.read_text())["steps"][0]["subject"] == identity_of(child)
    assert not (tmp_path / FOLDER).exists()


def test_a_stopped_process_goes_on_after_an_error_in_the_block(tmp_path: Path, child: psutil.Process) -> None:
    def interrupted() -> None:
        with HealJournal(tmp_path).healing([continuing(child)]):
            child.suspend()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    await_going_on(child)


def test_the_next_command_heals_what_a_killed_session_left(tmp_path: Path, child: psutil.Process) -> None:
    child.suspend()
    record = of_a_dead_session(tmp_path, continuing(child))
    (line,) = heal_left(tmp_path)
    assert "healed a fault whose session died" in line
    await_going_on(child)
    assert not record.exists()


def test_the_fault_of_a_session_that_runs_is_left_alone(tmp_path: Path, child: psutil.Process) -> None:
    with HealJournal(tmp_path).healing([continuing(child)]):
        child.suspend()
        assert heal_left(tmp_path) == []
        await_status(child, psutil.STATUS_STOPPED)


def test_a_lowered_limit_is_given_back(tmp_path: Path, child: psutil.Process) -> None:
    soft, hard = child.rlimit(LIMITS["open files"])
    step = HealStep(HealAction.LIMIT, identity_of(child), ("open files", str(soft), str(hard)))
    with HealJournal(tmp_path).healing([step]):
        child.rlimit(LIMITS["open files"], (3, hard))
    assert child.rlimit(LIMITS["open files"]) == (soft, hard)


def test_a_changed_file_gets_its_content_back(tmp_path: Path) -> None:
    file, kept = tmp_path / "nginx.conf", tmp_path / "kept"
    file.write_text("half of it")
    kept.write_text("all of it")
    of_a_dead_session(tmp_path, HealStep(HealAction.RESTORE, str(file), (str(kept),)))
    heal_left(tmp_path)
    assert (file.read_text(), kept.exists()) == ("all of it", False)


def test_the_copy_of_a_killed_session_is_removed_with_its_processes(tmp_path: Path) -> None:
    copy = tmp_path / "cakravia-copy-x"
    copy.mkdir()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(copy)]) as process:
        of_a_dead_session(tmp_path / "state", HealStep(HealAction.END_COPY, str(copy)))
        heal_left(tmp_path / "state")
        assert process.wait(10) < 0
    assert not copy.exists()


def test_a_process_that_has_ended_needs_no_healing(tmp_path: Path, child: psutil.Process) -> None:
    step = continuing(child)
    child.kill()
    child.wait(10)
    of_a_dead_session(tmp_path, step)
    assert len(heal_left(tmp_path)) == 1


def test_one_step_that_fails_keeps_no_other_one_from_healing(tmp_path: Path, child: psutil.Process) -> None:
    child.suspend()
    (tmp_path / "kept").mkdir()
    broken = HealStep(HealAction.RESTORE, str(tmp_path / "file"), (str(tmp_path / "kept"),))
    record = of_a_dead_session(tmp_path, continuing(child), broken)
    with pytest.raises(PlatformError, match="could not be healed"):
        heal_left(tmp_path)
    await_going_on(child)
    assert record.exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"owner": "x", "steps": [{"action": "explode"}]}', "\0"])
def test_a_record_that_is_none_is_named_and_heals_nothing(tmp_path: Path, text: str) -> None:
    record = tmp_path / FOLDER / "odd.json"
    record.parent.mkdir()
    record.write_text(text)
    (line,) = heal_left(tmp_path)
    assert str(record) in line
