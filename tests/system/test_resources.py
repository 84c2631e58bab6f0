"""Room on disks, and descriptors for the way back."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.system.resources import (
    NEEDED_FOR_ROLLBACK,
    DescriptorReserve,
    full_disks,
    keep_disk_reserve,
    use_disk_reserve,
)


def next_descriptor() -> int:
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    return free


@pytest.mark.parametrize("room", [0, 1, NEEDED_FOR_ROLLBACK - 1])
def test_a_release_without_descriptors_for_a_rollback_does_not_begin(room: int) -> None:
    free = next_descriptor()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + room, hard))
    try:
        with pytest.raises(UsageError, match="file descriptors") as caught:
            DescriptorReserve().take()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "ulimit" in caught.value.remedy
    assert next_descriptor() == free


def test_the_reserve_is_usable_after_all_descriptors_are_used_up() -> None:
    reserve = DescriptorReserve()
    reserve.take()
    reserve.take()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_descriptor(), hard))
    opened = []
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.open(os.devnull, os.O_RDONLY)
        reserve.give_back()
        reserve.give_back()
        opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(NEEDED_FOR_ROLLBACK)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in opened:
            os.close(descriptor)
    assert len(opened) == NEEDED_FOR_ROLLBACK


def test_a_disk_with_space_is_not_reported(tmp_path: Path) -> None:
    assert list(full_disks([tmp_path, tmp_path / "to" / "come"])) == []


def test_a_reserve_stays_while_the_disk_has_room(tmp_path: Path) -> None:
    keep_disk_reserve(tmp_path)
    keep_disk_reserve(tmp_path)
    kept = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert list(use_disk_reserve(tmp_path)) == []
    assert kept == sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) > 2**20


def test_a_folder_without_a_reserve_has_none_to_use(tmp_path: Path) -> None:
    assert list(use_disk_reserve(tmp_path / "not there")) == []
