"""The flag files that nginx asks for on every request; each change is one atomic system call, made durable."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from cakravia_verify.errors import ProxyError
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock
from cakravia_verify.system.files import make_folder, sync_folder

GREEN_ACTIVE = "green.active"
FAILOVER = "failover.on"


class Flags(Protocol):
    """A folder of flags, wherever it is."""

    def has(self, name: str) -> bool: ...
    def put(self, name: str) -> None: ...
    def remove(self, name: str) -> None: ...


class FlagFolder:
    """Flags in a folder of this machine. Every state that a crash can leave is a valid one.

    A flag that is taken away stays as a spare beside its place: putting it back needs no room on the disk and no file
    descriptor, for it may be the way back.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def put(self, name: str) -> None:
        """Raises ProxyError where the disk refuses it."""
        self.move(name, wanted=True)

    def remove(self, name: str) -> None:
        """Raises ProxyError where the disk refuses it."""
        self.move(name, wanted=False)

    def move(self, name: str, *, wanted: bool, clock: Clock = SYSTEM_CLOCK) -> tuple[float, float]:
        """The instants (clock.monotonic()) right before and right after the one system call that makes the change; what
        prepares it comes before, what makes it durable after. A folder that was taken away is made anew. Raises
        ProxyError where the disk refuses it."""
        spare, flag = self.folder / f".{name}.spare", self.folder / name
        with self._translated(name):
            make_folder(self.folder)
            if flag.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if wanted and not spare.is_file():
                spare.touch(mode=0o644)
            decided = clock.monotonic()
            with contextlib.nullcontext() if wanted else contextlib.suppress(FileNotFoundError):
                (spare if wanted else flag).replace(flag if wanted else spare)
            effective = clock.monotonic()
            self._make_durable()
        return decided, effective

    def _make_durable(self) -> None:
        try:
            sync_folder(self.folder)
        except OSError as error:
            # The change is made, and its journal entry tells it; users are not kept waiting for a descriptor.
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise

    @contextlib.contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ProxyError(
                f"the flag {self.folder / name} cannot be changed: {error.strerror}",
                remedy="free space or mend the permissions of its folder; users are where they were",
            ) from error


def chosen_colour(flags: Flags) -> Colour:
    return Colour.GREEN if flags.has(GREEN_ACTIVE) else Colour.BLUE


def choose(flags: Flags, colour: Colour) -> None:
    """New requests go to `colour` once this returns."""
    if colour is Colour.GREEN:
        flags.put(GREEN_ACTIVE)
    else:
        flags.remove(GREEN_ACTIVE)


def set_failover(flags: Flags, *, allowed: bool) -> None:
    if allowed != flags.has(FAILOVER):
        (flags.put if allowed else flags.remove)(FAILOVER)
