"""The facts about this machine are read from the system, and what it lacks is no error."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from cakravia_verify.system.machine import Machine

HERE = Machine()


def test_a_folder_that_does_not_exist_yet_is_on_the_disk_of_its_parent(tmp_path: Path) -> None:
    disk = HERE.disk(tmp_path / "not" / "yet")
    assert disk.free_bytes > 0
    assert not disk.is_read_only
    assert HERE.file_system(tmp_path)


def test_memory_and_limits_are_those_of_the_system() -> None:
    memory = HERE.memory()
    assert 0 < memory.available <= memory.total
    soft, hard = HERE.open_files()
    assert 0 < soft <= hard


def test_a_setting_that_this_kernel_lacks_is_empty() -> None:
    assert HERE.kernel("net.core.no_such_setting") == ""
    if Path("/proc/sys/kernel/ostype").exists():
        assert HERE.kernel("kernel.ostype") == "Linux"


def test_the_kernel_says_whether_its_clock_is_synchronised() -> None:
    assert HERE.is_clock_synchronised() in (True, False, None)


def test_names_programs_and_packages_are_found_or_missed() -> None:
    assert HERE.addresses_of("localhost")
    assert HERE.addresses_of("no-such-host.invalid") == ()
    assert HERE.addresses_of("x" * 300) == ()
    assert HERE.program("sh")
    assert HERE.program("no-such-program") == ""
    assert HERE.package("pytest")
    assert HERE.package("no-such-package") == ""
    assert HERE.user_id == os.geteuid()


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ((sys.executable, "-c", "print('out'); raise SystemExit(3)"), 3, "out"),
        (("/no/such/program",), None, "No such file"),
        ((sys.executable, "-c", "import time; time.sleep(30)"), None, "timed out"),
    ],
    ids=["status 3", "missing", "hangs"],
)
def test_a_command_ends_in_time_with_its_output(command: tuple[str, ...], status: int | None, words: str) -> None:
    ran = HERE.run(command, seconds=0.5 if words == "timed out" else 10.0)
    assert (ran.status, words in ran.output) == (status, True), ran


def test_a_name_is_resolved_to_what_the_system_says() -> None:
    expected = {str(row[4][0]) for row in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)}
    assert set(HERE.addresses_of("localhost")) == expected
