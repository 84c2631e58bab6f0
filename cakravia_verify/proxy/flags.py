"""The flag files that nginx asks for on every request; each change is one atomic system call, made durable."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from cakravia_verify.deadline import SYSTEM_CLOCK, Clock
from cakravia_verify.errors import ProxyError
from cakravia_verify.journal import sync_folder
from cakravia_verify.slots import Colour

GREEN_ACTIVE = "green.active"
FAILOVER = "failover.on"


class Flags(Protocol):
    """A folder of flags, wherever it is."""

    def has(self, name: str) -> bool: ...
    def put(self, name: str) -> None: ...
    def remove(self, name: str) -> None: ...


class FlagFolder:
    """Flags in a folder of this machine. Every state that a crash can leave is a valid one."""

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
        prepares it comes before, what makes it durable after. Raises ProxyError where the disk refuses it."""
        draft, flag = self.folder / f".{name}.{os.getpid()}", self.folder / name
        with self._translated(name):
            if wanted:
                draft.touch(mode=0o644)
            decided = clock.monotonic()
            if wanted:
                draft.replace(flag)
            else:
                flag.unlink(missing_ok=True)
            effective = clock.monotonic()
            sync_folder(self.folder)
        return decided, effective

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
