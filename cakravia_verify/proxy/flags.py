"""The flag files that nginx checks on every request. One atomic system call changes each."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from cakravia_verify.errors import ProxyError
from cakravia_verify.proxy.protocol import Admission, Switchover
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock
from cakravia_verify.system.files import make_folder, sync_folder

# nginx sends a request to green if this file exists, and to blue if it does not.
GREEN_ACTIVE = "green.active"
FAILOVER = "failover.on"
# Users do not reach the slots. With HOLD they wait, without it they get 503.
STOPPED = "stopped.on"
HOLD = "hold.on"


class Flags(Protocol):
    """A folder of flags: on this machine, or in a volume."""

    def has(self, name: str) -> bool: ...
    def put(self, name: str) -> object: ...
    def remove(self, name: str) -> object: ...


class FlagFolder:
    """Flags in a folder of this machine. A crash at any point leaves a valid state.

    A removed flag stays in the folder as a spare file. Putting it back then needs no disk space and no file
    descriptor, so a rollback also works on a full disk.
    """

    def __init__(self, folder: Path, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.folder = folder
        self._clock = clock

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def point_at(self, colour: Colour) -> Switchover:
        """Send every request that begins after this returns to `colour`.

        Returns the instants right before and right after the system call that switches. Raises ProxyError.
        """
        with self._durable_change(GREEN_ACTIVE) as (flag, spare):
            if colour is Colour.GREEN:
                _require_file(spare)
                decided = self._clock.monotonic()
                spare.replace(flag)  # rename(2): green.active exists from now on, green is active
            else:
                decided = self._clock.monotonic()
                _move_away(flag, spare)  # rename(2): green.active is gone from now on, blue is active
            effective = self._clock.monotonic()
        return Switchover.timed(colour, decided=decided, effective=effective)

    def put(self, name: str) -> None:
        """Create the flag, durably. Raises ProxyError."""
        with self._durable_change(name) as (flag, spare):
            _require_file(spare)
            spare.replace(flag)

    def remove(self, name: str) -> None:
        """Remove the flag, durably. Raises ProxyError."""
        with self._durable_change(name) as (flag, spare):
            _move_away(flag, spare)

    @contextlib.contextmanager
    def _durable_change(self, name: str) -> Iterator[tuple[Path, Path]]:
        """Create the folder if it is missing, yield flag and spare, and make the change durable at the end."""
        flag, spare = self.folder / name, self.folder / f".{name}.spare"
        try:
            make_folder(self.folder)
            if flag.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            yield flag, spare
            self._sync()
        except OSError as error:
            raise ProxyError(
                f"the flag {flag} cannot be changed: {error.strerror}",
                remedy="free space on the disk, or correct the permissions of its folder; users are where they were",
            ) from error

    def _sync(self) -> None:
        try:
            sync_folder(self.folder)
        except OSError as error:
            # The change is made and its journal entry exists. A missing file descriptor must not delay users.
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise


def _require_file(spare: Path) -> None:
    if not spare.is_file():
        spare.touch(mode=0o644)


def _move_away(flag: Path, spare: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        flag.replace(spare)


def active_colour(flags: Flags) -> Colour:
    return Colour.GREEN if flags.has(GREEN_ACTIVE) else Colour.BLUE


def set_failover(flags: Flags, *, allowed: bool) -> None:
    """Create or remove the failover flag. An unchanged flag is not touched."""
    if allowed == flags.has(FAILOVER):
        return
    if allowed:
        flags.put(FAILOVER)
    else:
        flags.remove(FAILOVER)


def admission_of(flags: Flags) -> Admission:
    if not flags.has(STOPPED):
        return Admission.OPEN
    return Admission.HOLD if flags.has(HOLD) else Admission.MAINTENANCE


def set_admission(flags: Flags, admission: Admission) -> None:
    """Change the flags so that each state on the way is the old one or the new one."""
    if admission is Admission.HOLD:
        flags.put(HOLD)
        flags.put(STOPPED)
        return
    if admission is Admission.MAINTENANCE:
        flags.put(STOPPED)
    else:
        flags.remove(STOPPED)
    flags.remove(HOLD)
