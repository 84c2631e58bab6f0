"""One system call switches users, also on a full disk and without a free file descriptor."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cakravia_verify.errors import ProxyError
from cakravia_verify.proxy.flags import GREEN_ACTIVE, FlagFolder, active_colour
from cakravia_verify.slots import Colour
from tests.recovery.matrix.filling import fill


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of six files."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("needs the right to mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=6", "tmpfs", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("may not mount a small disk here")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_pointing_at_a_slot_makes_it_active_any_number_of_times(tmp_path: Path) -> None:
    flags = FlagFolder(tmp_path)
    for colour in (Colour.GREEN, Colour.GREEN, Colour.BLUE, Colour.BLUE) * 2:
        switchover = flags.point_at(colour)
        assert switchover.colour is colour
        assert switchover.decided_at <= switchover.effective_at
        assert active_colour(flags) is colour


def test_green_is_active_exactly_while_its_flag_file_exists(tmp_path: Path) -> None:
    flags = FlagFolder(tmp_path)
    flags.point_at(Colour.GREEN)
    with_flag = (tmp_path / GREEN_ACTIVE).is_file()
    flags.point_at(Colour.BLUE)
    assert (with_flag, (tmp_path / GREEN_ACTIVE).exists()) == (True, False)


def test_removed_flag_can_be_put_back_on_a_full_disk(small_disk: Path) -> None:
    flags = FlagFolder(small_disk)
    flags.point_at(Colour.GREEN)
    flags.point_at(Colour.BLUE)
    fill(small_disk)
    for colour in (Colour.GREEN, Colour.BLUE, Colour.GREEN):
        flags.point_at(colour)
        assert active_colour(flags) is colour


def test_new_flag_on_a_full_disk_is_a_proxy_error(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(ProxyError, match="No space left"):
        FlagFolder(small_disk).put("a")


def test_removed_flag_can_be_put_back_without_a_free_file_descriptor(tmp_path: Path) -> None:
    flags = FlagFolder(tmp_path)
    flags.put("a")
    flags.remove("a")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        flags.put("a")
        there = flags.has("a")
        flags.remove("a")
        gone = not flags.has("a")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (there, gone) == (True, True)
