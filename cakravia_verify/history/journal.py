"""The permanent record of every step: one JSON object per line, appended and fsynced before anything is done."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cakravia_verify.errors import JournalError, SiteLost
from cakravia_verify.history.journal_file import FIELDS, Entries, JournalEntry, Lines, Odd
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock
from cakravia_verify.system.files import make_folder, sync_folder, write_atomically
from cakravia_verify.system.users import who_acts

__all__ = ["FIELDS", "Journal", "JournalEntry", "make_folder", "sync_folder", "who_acts", "write_atomically"]


class Journal:
    """Append-only history in one file.

    Appending is durable when it returns. What a crash can leave of an entry is closed by the next append and skipped by
    readers: a torn last line, and NUL bytes in its place (`scars`). Every other unreadable line is reported by
    `damage`, never dropped silently. `token` is that of the lease under which this process writes, 0 without one.
    """

    def __init__(self, path: Path, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.path = path
        self.token = 0
        self._clock = clock
        self._lines = Lines(path)
        self._next_seq = 0
        self._file_then = (-1, -1)
        self._inspected: tuple[Entries, _Inspection] | None = None

    def append(self, event: str, *, release: str = "", step: str = "", **facts: Any) -> JournalEntry:
        """The entry, durable on disk. Raises JournalError when the disk refuses it, and SiteLost when a later holder of
        the site has written: whoever lost it without noticing writes nothing more."""
        if taken := sorted(set(facts) & set(FIELDS)):
            raise ValueError(f"a fact cannot be called {taken[0]!r}: every entry has a field of that name")
        try:
            handle = self._open()
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                file = os.fstat(handle)
                if (file.st_ino, file.st_size) != self._file_then:  # somebody else has written since
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
                    facts=facts,
                )
                self._file_then = (-1, -1)
                self._file_then = (file.st_ino, _append(handle, entry.as_line(), size=file.st_size))
            finally:
                os.close(handle)
        except OSError as error:
            raise JournalError(
                f"the history {self.path} cannot be written: {error.strerror}",
                remedy="free space or mend the permissions of its folder; nothing is done that cannot be recorded",
            ) from error
        self._next_seq += 1
        return entry

    def _require_latest(self, entries: Entries) -> None:
        if not 0 < self.token < self._lines.highest_token:
            return
        rival = next((entry for entry in reversed(entries) if entry.token > self.token), None)
        if rival is not None:
            raise SiteLost(
                f"this process no longer holds the site: {rival.who} has held it since (entry {rival.seq} of "
                f"{self.path} was written under lease {rival.token}, this process has lease {self.token})",
                remedy="nothing more is done here; cakravia status shows who serves, cakravia recover mends what is "
                "half done. Never remove a lock file: it frees itself when the process that holds it ends",
            )

    def highest_token(self) -> int:
        """No lease under which somebody wrote here has a higher one. Raises JournalError."""
        self.entries()
        return self._lines.highest_token

    def _open(self) -> int:
        if self.path.exists():
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
        """All readable entries, oldest first. Only what was added since the last time is read. Raises JournalError."""
        try:
            return self._lines.read()
        except OSError as error:
            raise JournalError(
                f"the history {self.path} cannot be read: {error.strerror}", remedy="mend its permissions"
            ) from error

    def damage(self) -> list[str]:
        """What cannot be read or is missing, one description a line; what a crash cut off is not damage."""
        entries = self.entries()
        known, inspection = self._inspected or (entries, _Inspection(self.path))
        if not entries.continues(known):
            inspection = _Inspection(self.path)
        self._inspected = None  # whoever is interrupted in the middle of a line begins anew
        inspection.go_on(entries)
        self._inspected = (entries, inspection)
        return list(inspection.problems)

    def scars(self) -> list[str]:
        """Where a power cut left NUL bytes in place of an entry that was never finished, one description each. Nothing
        that was ever durable is missing there: `damage` would say so."""
        entries = self.entries()
        places = [(f"line {number}", line) for number, line in entries.lines()]
        return [
            f"{self.path}, {place}: {line.empty} empty bytes, as a power cut leaves them"
            for place, line in [*places, ("at its end", entries.last_line())]
            if isinstance(line, Odd) and line.empty
        ]


class _Inspection:
    """What is wrong with the lines of a history, as far as they were looked at: each is looked at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_at = 0
        self._expected = 1
        self._doubts: list[str] = []
        self.problems: list[str] = []

    def go_on(self, entries: Entries) -> None:
        for number, line in entries.lines(since=self._looked_at):
            self._looked_at = number
            if isinstance(line, JournalEntry):
                self._follow(line)
                continue
            if line.rest:
                # The end of an entry whose beginning a power cut took: nothing is missing where the numbers go on.
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
    """The file's new size, the line durable; where the disk does not take all of it, the file is as long as before: an
    entry that was refused must not be read by the next command."""
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
