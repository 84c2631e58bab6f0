"""A command of an operator ends with everything that it started, and its output is bounded."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil

from cakravia_verify.system.commands import BoundedOutput, ProcessCommand, end_told_processes


def started(tmp_path: Path, script: str, **environment: str) -> ProcessCommand:
    return ProcessCommand(
        ["sh", "-c", script], folder=tmp_path, environment={"PATH": os.environ["PATH"], **environment}, stdin=b""
    )


def ended(command: ProcessCommand) -> int:
    limit = time.monotonic() + 20
    while (status := command.status()) is None and time.monotonic() < limit:
        time.sleep(0.01)
    assert status is not None
    return status


def pid_in(file: Path) -> int:
    limit = time.monotonic() + 20
    while not (file.exists() and file.read_text().strip()) and time.monotonic() < limit:
        time.sleep(0.01)
    return int(file.read_text())


def test_the_whole_process_group_ends_with_a_command(tmp_path: Path) -> None:
    command = started(tmp_path, "trap '' TERM; sleep 300 & echo $! > child; wait; sleep 300")
    child = pid_in(tmp_path / "child")
    command.end()
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_command_that_closes_its_input_at_once_is_no_error(tmp_path: Path) -> None:
    command = ProcessCommand(["true"], folder=tmp_path, environment=dict(os.environ), stdin=b"x" * 1_000_000)
    assert ended(command) == 0
    command.end()


def test_output_of_both_streams_is_kept_in_order(tmp_path: Path) -> None:
    command = started(tmp_path, "echo one; echo two >&2; exit 4")
    assert ended(command) == 4
    assert command.output() == "one\ntwo\n"


def test_a_process_left_behind_does_not_hold_the_output_open(tmp_path: Path) -> None:
    command = started(tmp_path, f"{sys.executable} -c 'import os,time; os.setsid(); time.sleep(60)' & echo said")
    assert ended(command) == 0
    assert "said" in command.output()
    command.end()


def test_processes_of_a_killed_release_are_found_by_what_they_were_told(tmp_path: Path) -> None:
    mark = f"mark-{os.getpid()}-{time.monotonic_ns()}"
    command = started(tmp_path, "sleep 300", MARK_OF_TEST=mark)
    try:
        assert end_told_processes({"MARK_OF_TEST": mark}) >= 1
        assert not end_told_processes({"MARK_OF_TEST": mark})
    finally:
        command.end()


def test_a_process_that_starts_others_while_they_are_killed_leaves_none(tmp_path: Path) -> None:
    mark = f"mark-{os.getpid()}-{time.monotonic_ns()}"
    command = started(tmp_path, "while :; do sleep 300 & sleep 0.01; done", MARK_OF_TEST=mark)
    try:
        assert end_told_processes({"MARK_OF_TEST": mark}) >= 1
        assert not end_told_processes({"MARK_OF_TEST": mark})
    finally:
        command.end()


def test_the_beginning_and_the_end_of_a_long_output_are_kept() -> None:
    output = BoundedOutput()
    output.add(b"the beginning\n")
    for _ in range(1_000):
        output.add(b"x" * 1_000)
    output.add(b"\nthe end")
    assert output.text.startswith("the beginning\n")
    assert output.text.endswith("\nthe end")
    assert len(output.text) < 70_000
