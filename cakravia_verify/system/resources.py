"""Resources that a rollback needs: disk space and file descriptors."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from cakravia_verify.errors import UsageError

# For observing processes, flags and logs, and for building the ledger. Measured, with a margin.
NEEDED_FOR_ROLLBACK: Final = 32
# One page. With less, the next journal entry may not fit.
LEAST_BYTES: Final = 4096


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


def full_disks(folders: Iterable[Path]) -> Iterator[str]:
    """Yield one message for each folder on a full disk."""
    for folder in folders:
        with contextlib.suppress(OSError):
            room = os.statvfs(next(place for place in (folder, *folder.absolute().parents) if place.exists()))
            # File systems without a fixed number of files report 0 of 0.
            if room.f_bavail * room.f_frsize < LEAST_BYTES or (room.f_files and not room.f_favail):
                yield f"the disk of {folder} is full: free space, then check which records are missing"
