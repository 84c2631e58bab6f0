"""One release at a time: a lease that names its holder and ends with the holder's life.

The kernel's file lock (flock) is the truth; the text in the file is there for people. A process that dies, however it
dies, frees the lock, so there is no leftover to remove by hand.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

from cakravia_verify.errors import LockHeld, UsageError
from cakravia_verify.system.clock import Clock, Deadline
from cakravia_verify.system.processes import identity_of, process_named
from cakravia_verify.system.users import who_acts


@dataclass(frozen=True)
class Lease:
    """Who holds the site, since when and for what. `process` names the holder's process beyond its id (see
    process_identity); `token` grows with every lease, so older holders can be told."""

    owner: str
    pid: int
    host: str
    process: str
    since: str
    purpose: str
    token: int
    released: bool = False

    def __str__(self) -> str:
        return f"{self.owner}, process {self.pid} on {self.host}, since {self.since}: {self.purpose}"


class Lock:
    """The lock of one site; a context in which this process alone changes it.

    A lock file can be removed by hand, and the next holder then finds no earlier one. Every token is therefore above
    what `above` tells as well, the highest under which anybody wrote into the history; and it raises LockHeld where the
    history tells of a holder who lives.
    """

    def __init__(self, path: Path, *, above: Callable[[], int] = lambda: 0) -> None:
        self.path = path
        self._above = above
        self.lease: Lease | None = None
        self.taken_over: Lease | None = None
        self._handle: int | None = None

    def acquire(self, purpose: str, *, wait: Deadline | None = None, clock: Clock | None = None) -> Lease:
        """The lease, held until `release` or the end of this process.

        Raises LockHeld, naming the holder, when another living process holds it (after `wait`, where given), and
        JournalError where `above` cannot be told.
        `taken_over` is the lease of a holder that died without releasing it, else None.
        """
        previous, highest = self._lock_and_highest_token(wait)
        self.taken_over = previous if previous and not previous.released else None
        now = clock.wall() if clock else None
        self.lease = Lease(
            owner=who_acts(),
            pid=os.getpid(),
            host=socket.gethostname(),
            process=identity_of(psutil.Process()),
            since=(datetime.fromtimestamp(now, UTC) if now else datetime.now(UTC)).isoformat(timespec="seconds"),
            purpose=purpose,
            token=highest + 1,
        )
        try:
            self._write(self.lease)
        except OSError as error:
            self._close()
            raise UsageError(
                f"the lock {self.path} cannot be written: {error.strerror}", remedy="free space on that disk"
            ) from error
        return self.lease

    def _lock_and_highest_token(self, wait: Deadline | None) -> tuple[Lease | None, int]:
        """The lease before, and the highest token that is known, once nobody else holds the site."""
        while True:
            self._handle = self._locked(wait)
            previous = self._read(self._handle)
            try:
                return previous, max(previous.token if previous else 0, self._above())
            except LockHeld:
                self._close()
                if wait is None or wait.is_over:
                    raise
                wait.clock.sleep(0.1)
            except BaseException:
                self._close()
                raise

    def release(self) -> None:
        """The site is free; doing it twice is harmless."""
        if self.lease is None:
            return
        # The kernel's lock counts: on a full disk only the note for people stays behind.
        with contextlib.suppress(OSError):
            self._write(Lease(**(asdict(self.lease) | {"released": True})))
        self._close()

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
        self._handle = None
        self.lease = None

    def holder(self) -> Lease | None:
        """The living holder, None when the site is free. Asking takes nothing and disturbs nobody who is acquiring."""
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except OSError:
            return None
        try:
            lease = self._read(handle)
        finally:
            os.close(handle)
        return lease if lease and not lease.released and process_named(lease.process) else None

    def _locked(self, wait: Deadline | None) -> int:
        while True:
            handle = self._open()
            try:
                while not _try_flock(handle):
                    if wait is None or wait.is_over:
                        raise self._held()
                    wait.clock.sleep(0.1)
                if _is_file_at(handle, self.path):
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)  # the file was removed while we waited; whoever comes next would not see this lock

    def _held(self) -> LockHeld:
        # Its name is on the file a moment after its lock: what stands there until then is an earlier holder.
        patience = Deadline("the holder writes its name", 0.5)
        while (holder := self.holder()) is None and not patience.is_over:
            patience.clock.sleep(0.02)
        return LockHeld(
            f"another release holds this site: {holder or 'a process that has not written its name yet'}",
            remedy="wait for it to end (--wait 60 waits visibly), or stop that process: "
            "its release is then finished or undone by the next command",
        )

    def _open(self) -> int:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UsageError(
                f"the lock {self.path} cannot be opened: {error.strerror}",
                remedy="run as the user who owns the site's state folder, or name another one in [site] state",
            ) from error

    @staticmethod
    def _read(handle: int) -> Lease | None:
        try:
            # Bytes after the object are the rest of a longer, earlier lease that a crash kept from being cut off.
            row, _ = json.JSONDecoder().raw_decode(os.pread(handle, 65536, 0).decode(errors="replace"))
            lease = Lease(**row)
            return replace(lease, token=int(lease.token))
        except (ValueError, TypeError, OverflowError):
            return None

    def _write(self, lease: Lease) -> None:
        assert self._handle is not None
        content = json.dumps(asdict(lease), indent=1).encode() + b"\n"
        os.pwrite(self._handle, content, 0)
        os.ftruncate(self._handle, len(content))
        os.fsync(self._handle)


def _try_flock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_file_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False
