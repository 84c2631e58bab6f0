"""A flag comes and goes by one system call, and what was taken away comes back where nothing else goes any more."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cakravia_verify.errors import ProxyError
from cakravia_verify.proxy.flags import FlagFolder
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


def test_flag_comes_and_goes_any_number_of_times(tmp_path: Path) -> None:
    flags = FlagFolder(tmp_path)
    for _ in range(2):
        for wanted in (True, True, False, False):
            decided, effective = flags.move("a", wanted=wanted)
            assert decided <= effective
            assert flags.has("a") is wanted


def test_flag_that_was_taken_away_comes_back_on_a_disk_without_a_byte_or_a_file(small_disk: Path) -> None:
    flags = FlagFolder(small_disk)
    flags.put("a")
    flags.remove("a")
    fill(small_disk)
    for wanted in (True, False, True):
        flags.move("a", wanted=wanted)
        assert flags.has("a") is wanted


def test_new_flag_is_refused_in_words_where_the_disk_takes_no_file(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(ProxyError, match="No space left"):
        FlagFolder(small_disk).put("a")


def test_flag_that_was_taken_away_comes_back_without_a_descriptor(tmp_path: Path) -> None:
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
