"""The disks of state and reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem, size_in_words, warning

LEAST_BYTES: Final = 256 * 2**20
GOOD_BYTES: Final = 2**30
LEAST_FILES: Final = 5_000


def _find(ground: Ground) -> Iterator[CheckFinding]:
    for key, folder in (("[site] state", ground.settings.state), ("[site] reports", ground.settings.reports)):
        yield from _of(ground, key, folder)


def _of(ground: Ground, key: str, folder: Path) -> Iterator[CheckFinding]:
    disk = ground.machine.disk(folder)
    free = f"{key}: {size_in_words(disk.free_bytes)} free on the disk of {folder}"
    if disk.is_read_only:
        yield problem(
            f"{key}: the disk of {folder} is mounted read-only",
            needed="a disk that can be written",
            remedy="see why it is read-only (dmesg), and mount it again with: mount -o remount,rw",
        )
    if disk.free_bytes < LEAST_BYTES:
        yield problem(
            free,
            needed=f"{size_in_words(LEAST_BYTES)} for a version, the records of a release and its report",
            remedy="free space, for example by removing old folders of reports",
        )
    elif disk.free_bytes < GOOD_BYTES:
        yield warning(free, needed=size_in_words(GOOD_BYTES), remedy="free space before it is needed")
    else:
        yield ok(free)
    if disk.files and disk.free_files < LEAST_FILES:
        yield problem(
            f"{key}: {disk.free_files:,} files can still be made on the disk of {folder} (inodes)",
            needed=f"{LEAST_FILES:,}",
            remedy="remove folders with many small files: df -i shows the disk, du --inodes the folders",
        )


CHECK: Final = SiteCheck("disk", "The disks have room for bytes and files", _find)
