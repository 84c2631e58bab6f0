"""Resources that a rollback needs, disk space and file descriptors, and those that processes use."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from cakravia_verify.errors import UsageError

# For observing processes, flags and logs, and for building the ledger. Measured, with a margin.
NEEDED_FOR_ROLLBACK: Final = 32
# One page. With less, the next journal entry may not fit.
LEAST_BYTES: Final = 4096
# For the journal, the lock and the logs of a rollback of some seconds.
RESERVE: Final = "reserve"
RESERVE_BYTES: Final = 2 * 2**20
RESERVE_FILES: Final = 16


@dataclass(frozen=True)
class SlotUse:
    """What the processes of a slot use: bytes of memory, threads, open descriptors and the limit of one process.

    None is not known.
    """

    memory: int
    threads: int | None = None
    descriptors: int | None = None
    descriptor_limit: int | None = None


def use_of(process: psutil.Process) -> SlotUse | None:
    """Return what a process and its children use; None if it has ended."""
    found = []
    with contextlib.suppress(psutil.Error):
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error), each.oneshot():
                found.append((each.memory_info().rss, each.num_threads(), each.num_fds()))
    if not found:
        return None
    limit = None
    with contextlib.suppress(psutil.Error, OSError, ValueError):
        limit = process.rlimit(psutil.RLIMIT_NOFILE)[0]
    memory, threads, descriptors = (sum(numbers) for numbers in zip(*found, strict=True))
    return SlotUse(memory, threads, descriptors, None if limit in (None, resource.RLIM_INFINITY) else limit)


class DescriptorReserve:
    """Reserved file descriptors. They are released when the release ends, so a rollback works even after a leak."""

    def __init__(self) -> None:
        self._held: list[int] = []

    def take(self) -> None:
        """Open the reserve. Raises UsageError if the limit of this process is too low."""
        try:
            while len(self._held) < NEEDED_FOR_ROLLBACK:
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            self.give_back()
            raise UsageError(
                f"a release needs {NEEDED_FOR_ROLLBACK} free file descriptors, but: {error.strerror}",
                remedy="raise the limit of this shell: ulimit -n 1024",
            ) from error

    def give_back(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)
        self._held.clear()


def keep_disk_reserve(folder: Path) -> None:
    """Keep room for the records of a rollback in the folder: bytes and files. Without that room nothing is kept."""
    reserve = folder / RESERVE
    try:
        reserve.mkdir(mode=0o700, exist_ok=True)
        for number in range(RESERVE_FILES):
            if not (reserve / str(number)).exists():
                with (reserve / str(number)).open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES // RESERVE_FILES)
    except OSError:
        shutil.rmtree(reserve, ignore_errors=True)


def use_disk_reserve(folder: Path) -> Iterator[str]:
    """Free the reserve if the folder's disk is nearly full. Yields one line if it did."""
    reserve = folder / RESERVE
    if not reserve.is_dir():
        return
    room = os.statvfs(reserve)
    few_files = room.f_files and room.f_favail < RESERVE_FILES // 2
    if few_files or room.f_bavail * room.f_frsize < RESERVE_BYTES // 8:
        shutil.rmtree(reserve, ignore_errors=True)
        yield f"the disk of {folder} is full: its reserve of {RESERVE_BYTES // 2**20} MiB is in use now; free space"


def full_disks(folders: Iterable[Path]) -> Iterator[str]:
    """Yield one message for each folder on a full disk."""
    for folder in folders:
        with contextlib.suppress(OSError):
            room = os.statvfs(next(place for place in (folder, *folder.absolute().parents) if place.exists()))
            # File systems without a fixed number of files report 0 of 0.
            if room.f_bavail * room.f_frsize < LEAST_BYTES or (room.f_files and not room.f_favail):
                yield f"the disk of {folder} is full: free space, then check which records are missing"
