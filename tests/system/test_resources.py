"""Room on disks, and descriptors for the way back."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.system.resources import NEEDED_ON_THE_WAY_BACK, DescriptorReserve, full_disks


def next_descriptor() -> int:
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    return free


@pytest.mark.parametrize("room", [0, 1, NEEDED_ON_THE_WAY_BACK - 1])
def test_release_without_descriptors_for_its_way_back_is_not_begun(room: int) -> None:
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


def test_reserve_is_there_however_few_descriptors_are_left() -> None:
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
        opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(NEEDED_ON_THE_WAY_BACK)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in opened:
            os.close(descriptor)
    assert len(opened) == NEEDED_ON_THE_WAY_BACK


def test_disk_with_room_is_not_told(tmp_path: Path) -> None:
    assert list(full_disks([tmp_path, tmp_path / "to" / "come"])) == []
