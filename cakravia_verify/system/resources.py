"""What a release needs of its machine: room on its disks, and file descriptors for the way back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from cakravia_verify.errors import UsageError

# Looking at processes, flags and logs, and building the ledger, measured with room to spare.
NEEDED_ON_THE_WAY_BACK: Final = 32
# A page: less than this and the next entry of the history may not fit.
LEAST_BYTES: Final = 4096


class DescriptorReserve:
    """File descriptors that nobody else can use up: given back when the release is concluded, whatever leaked until
    then, there are some to bring users back with."""

    def __init__(self) -> None:
        self._held: list[int] = []

    def take(self) -> None:
        """Raises UsageError where this process may not have that many."""
        try:
            while len(self._held) < NEEDED_ON_THE_WAY_BACK:
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            self.give_back()
            raise UsageError(
                f"a release needs more file descriptors than there are: {error.strerror}",
                remedy="raise the limit of this shell, as in: ulimit -n 1024",
            ) from error

    def give_back(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)
        self._held.clear()


def full_disks(folders: Iterable[Path]) -> Iterator[str]:
    """A sentence for each folder whose disk takes no more."""
    for folder in folders:
        with contextlib.suppress(OSError):
            room = os.statvfs(next(place for place in (folder, *folder.absolute().parents) if place.exists()))
            # File systems without a fixed number of files tell 0 of 0.
            if room.f_bavail * room.f_frsize < LEAST_BYTES or (room.f_files and not room.f_favail):
                yield f"the disk of {folder} is full: free space, and look at what could not be recorded"
