"""The permanent record of every step: one JSON object per line, appended and fsynced before the step acts."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cakravia_verify.errors import JournalError, PlatformError, SiteLost
from cakravia_verify.foreign_text import bounded
from cakravia_verify.history.journal_file import FIELDS, Entries, IrregularLine, JournalEntry, Lines, require_regular
from cakravia_verify.history.lease import SharedHistory
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock
from cakravia_verify.system.files import make_folder, sync_folder
from cakravia_verify.system.users import who_acts


class Journal:
    """Append-only history in one file.

    An entry is durable when `append` returns. A crash can leave a torn last line, or NUL bytes in its place (`scars`).
    The next append closes such a line, and readers skip it. `damage` reports every other unreadable line.
    `token` is the fencing token of this process's lease, 0 without a lease. `shared` is the copy that several machines
    share, None if this file is the only one.
    """

    def __init__(self, path: Path, *, clock: Clock = SYSTEM_CLOCK, shared: SharedHistory | None = None) -> None:
        self.path = path
        self._shared = shared
        self.token = 0
        self._clock = clock
        self._lines = Lines(path)
        self._next_seq = 0
        self._file_then = (-1, -1)
        self._inspected: tuple[Entries, _Inspection] | None = None

    def append(self, event: str, *, release: str = "", step: str = "", **facts: Any) -> JournalEntry:
        """Write an entry durably and return it.

        Raises JournalError if the disk refuses it. Raises SiteLost if a process with a newer lease has written: this
        process then writes nothing more.
        """
        if taken := sorted(set(facts) & set(FIELDS)):
            raise ValueError(f"a fact cannot be called {taken[0]!r}: every entry has a field of that name")
        if self._shared:
            self._shared.require_held()
        try:
            handle = self._open()
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                file = os.fstat(handle)
                if (file.st_ino, file.st_size) != self._file_then:  # another process has written since
                    entries = self._lines.read()
                    self._require_latest(entries)
                    newest = next(reversed(entries), None)
                    self._next_seq = newest.seq + 1 if newest else 1
                entry = JournalEntry(
                    seq=self._next_seq,
                    at=datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="milliseconds"),
                    event=event,
                    release=release,
                    step=step,
                    who=who_acts(),
                    token=self.token,
                    facts=bounded(facts),
                )
                self._file_then = (-1, -1)
                self._file_then = (file.st_ino, _append(handle, entry.as_line(), size=file.st_size))
            finally:
                os.close(handle)
        except OSError as error:
            raise JournalError(
                f"the history {self.path} cannot be written: {error.strerror}",
                remedy="free space on the disk, or correct its permissions; no step acts without its journal entry",
            ) from error
        self._next_seq += 1
        self._share()
        return entry

    def _share(self) -> None:
        if self._shared is None:
            return
        try:
            self._shared.push()
        except PlatformError as error:
            raise JournalError(
                f"the site's history on the engine cannot be written: {error.message}", remedy=error.remedy
            ) from error

    def _require_latest(self, entries: Entries) -> None:
        if not 0 < self.token < self._lines.highest_token:
            return
        rival = next((entry for entry in reversed(entries) if entry.token > self.token), None)
        if rival is not None:
            raise SiteLost(
                f"this process no longer holds the site: {rival.who} holds it now (entry {rival.seq} of "
                f"{self.path} was written under lease {rival.token}, this process has lease {self.token})",
                remedy="this process does nothing more; see the site with cakravia status, and finish half-done steps "
                "with cakravia recover. Never remove a lock file: the lock ends with its process",
            )

    def highest_token(self) -> int:
        """Return the highest fencing token in the journal. Raises JournalError."""
        self.entries()
        return self._lines.highest_token

    def _open(self) -> int:
        if self.path.exists():
            require_regular(self.path)
            return os.open(self.path, os.O_RDWR | os.O_APPEND)
        make_folder(self.path.parent)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            sync_folder(self.path.parent)
        except OSError:
            os.close(handle)
            raise
        return handle

    def entries(self) -> Entries:
        """Return all readable entries, oldest first. Reads only newly appended lines. Raises JournalError."""
        try:
            return self._lines.read()
        except OSError as error:
            raise JournalError(
                f"the history {self.path} cannot be read: {error.strerror}",
                remedy=f"correct its permissions: ls -l {self.path}",
            ) from error

    def damage(self) -> list[str]:
        """Return one description for each unreadable line and each gap. A line cut off by a crash is not damage."""
        entries = self.entries()
        known, inspection = self._inspected or (entries, _Inspection(self.path))
        if not entries.continues(known):
            inspection = _Inspection(self.path)
        self._inspected = None  # an interrupted inspection begins again
        inspection.go_on(entries)
        self._inspected = (entries, inspection)
        return list(inspection.problems)

    def scars(self) -> list[str]:
        """Return one description for each place where a power cut left NUL bytes instead of an unfinished entry.

        No durable entry is missing there: `damage` would report it.
        """
        entries = self.entries()
        places = [(f"line {number}", line) for number, line in entries.lines()]
        return [
            f"{self.path}, {place}: {line.empty} empty bytes, left by a power cut"
            for place, line in [*places, ("at its end", entries.last_line())]
            if isinstance(line, IrregularLine) and line.empty
        ]


class _Inspection:
    """The defects of a history. Each line is checked once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._checked = 0
        self._expected = 1
        self._doubts: list[str] = []
        self.problems: list[str] = []

    def go_on(self, entries: Entries) -> None:
        for number, line in entries.lines(since=self._checked):
            self._checked = number
            if isinstance(line, JournalEntry):
                self._follow(line)
                continue
            if line.rest:
                # The end of an entry that lost its beginning in a power cut. If the numbers go on, none is missing.
                place = self._doubts if line.empty else self.problems
                place.append(f"{self._path}, line {number}: not an entry: {line.rest[:60]!r}")
            for entry in line.entries:
                self._follow(entry)

    def _follow(self, entry: JournalEntry) -> None:
        if entry.seq != self._expected:
            missing = f"{self._path}: entry {self._expected} should follow, but entry {entry.seq} does"
            self.problems += [*self._doubts, missing]
        self._expected = entry.seq + 1
        self._doubts.clear()


def _append(handle: int, line: bytes, *, size: int) -> int:
    """Append the line durably and return the file's new size.

    If the disk refuses a part of it, the file gets its old length back: the next command must not read that entry.
    """
    if size and os.pread(handle, 1, size - 1) != b"\n":
        line = b"\n" + line
    try:
        written = os.write(handle, line)
        if written != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, size)
        raise
    return size + written
