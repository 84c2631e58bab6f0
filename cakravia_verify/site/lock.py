"""The lock of a site: one release at a time. It names its holder, and ends with the holder's process.

The kernel's file lock (flock) decides; the text in the file is for people. The kernel frees the lock of a dead process,
so no lock file must ever be removed by hand. A site that several machines can release to has a shared lease as well.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

from cakravia_verify.errors import LockHeld, UsageError
from cakravia_verify.history.lease import Lease, SharedLease
from cakravia_verify.system.clock import Clock, Deadline
from cakravia_verify.system.files import make_folder
from cakravia_verify.system.processes import identity_of, process_named, this_machine
from cakravia_verify.system.users import ci_job, who_acts

# How often a lease that another machine holds is asked for again, in seconds.
SHARED_EVERY = 0.5


class Lock:
    """The lock of one site. Only its holder changes the site.

    If the lock file was removed by hand, the next holder finds no earlier lease. `above` therefore returns the highest
    fencing token in the journal, and every new token is higher. It raises LockHeld if a release in the journal still
    runs. `shared` is the lease for all machines and state folders of the site, None if there is only this folder.
    """

    def __init__(self, path: Path, *, above: Callable[[], int] = lambda: 0, shared: SharedLease | None = None) -> None:
        self.path = path
        self.notices: tuple[str, ...] = ()
        self._above = above
        self._shared = shared
        self.lease: Lease | None = None
        self.taken_over: Lease | None = None
        self._handle: int | None = None

    def acquire(self, purpose: str, *, wait: Deadline | None = None, clock: Clock | None = None) -> Lease:
        """Take the lock until `release` or the end of this process, and return the lease.

        `taken_over` is then the lease of a holder that died without a release, else None; `notices` says what else was
        found. Raises LockHeld, which names the holder, if another process still holds the lock at the end of `wait`;
        JournalError if the journal cannot be read.
        """
        previous, highest = self._lock_and_highest_token(wait)
        self.taken_over = previous if previous and not previous.released else None
        now = clock.wall() if clock else None
        lease = Lease(
            owner=who_acts(),
            pid=os.getpid(),
            host=socket.gethostname(),
            process=identity_of(psutil.Process()),
            since=(datetime.fromtimestamp(now, UTC) if now else datetime.now(UTC)).isoformat(timespec="seconds"),
            purpose=purpose,
            token=highest + 1,
            machine=this_machine(),
            run=ci_job(os.environ),
        )
        self.lease = lease
        try:
            self._write(lease)
            self.lease = self._share(lease, wait)
        except OSError as error:
            self._close()
            raise UsageError(
                f"the lock {self.path} cannot be written: {error.strerror}", remedy="free space on that disk"
            ) from error
        except BaseException:
            self.release()
            raise
        return self.lease

    def _share(self, lease: Lease, wait: Deadline | None) -> Lease:
        """Take the lease for all machines, and return it. Raises LockHeld at the end of `wait`."""
        if self._shared is None:
            return lease
        while True:
            try:
                taken = self._shared.take(lease)
            except LockHeld:
                if wait is None or wait.is_over:
                    raise
                wait.clock.sleep(SHARED_EVERY)
                continue
            self.taken_over = taken.dead or self.taken_over
            self.notices = taken.notices
            self._write(taken.lease)
            return taken.lease

    def _lock_and_highest_token(self, wait: Deadline | None) -> tuple[Lease | None, int]:
        """Lock the file, and return the previous lease and the highest known token."""
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
        """Free the site. A second call does nothing."""
        if self.lease is None:
            return
        if self._shared is not None:
            self._shared.release()
        # The kernel's lock counts. On a full disk the text for people stays outdated.
        with contextlib.suppress(OSError):
            self._write(Lease(**(asdict(self.lease) | {"released": True})))
        self._close()

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
        self._handle = None
        self.lease = None

    def holder(self) -> Lease | None:
        """Return the lease of the living holder, None if the site is free. Takes no lock itself."""
        return self._holder_here() or (self._shared.holder() if self._shared else None)

    def lag(self) -> str:
        """Return a line if the history here lacks entries that other machines have written, '' if not."""
        return self._shared.lag() if self._shared else ""

    def _holder_here(self) -> Lease | None:
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
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
            os.close(handle)  # the file was removed meanwhile, so the next process would not see this lock

    def _held(self) -> LockHeld:
        # The holder writes its lease a moment after it took the lock. Until then the file names an earlier one.
        grace = Deadline("the holder writes its lease", 0.5)
        while (holder := self._holder_here()) is None and not grace.is_over:
            grace.clock.sleep(0.02)
        return LockHeld(
            f"another release holds this site: {holder or 'a process that has not written its lease yet'}",
            remedy="wait until it ends (a release takes --wait 60), or stop that process: "
            "the next command then finishes or undoes its release",
        )

    def _open(self) -> int:
        try:
            make_folder(self.path.parent)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600)
            if stat.S_ISREG(os.fstat(handle).st_mode):
                return handle
            os.close(handle)
            raise OSError(errno.EINVAL, "it is no regular file")
        except OSError as error:
            raise UsageError(
                f"the lock {self.path} cannot be opened: {error.strerror}",
                remedy="run as the user who owns the site's state folder, or name another one in [site] state",
            ) from error

    @staticmethod
    def _read(handle: int) -> Lease | None:
        try:
            # Bytes after the object are the rest of a longer, earlier lease: a crash came before the truncation.
            row, _ = json.JSONDecoder().raw_decode(os.pread(handle, 65536, 0).decode(errors="replace"))
            lease = Lease(**row)
            return replace(lease, token=int(lease.token))
        except (OSError, ValueError, TypeError, OverflowError, RecursionError):
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
