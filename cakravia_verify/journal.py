"""The permanent record of every step: one JSON object per line, appended and fsynced before anything is done."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cakravia_verify.deadline import SYSTEM_CLOCK, Clock
from cakravia_verify.errors import JournalError

FIELDS: Final = ("seq", "at", "event", "release", "step", "who", "token")


@dataclass(frozen=True)
class Entry:
    """One line of the history. `event` is what happened; `facts` holds everything particular to it."""

    seq: int
    at: str
    event: str
    release: str
    step: str
    who: str
    token: int
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_line(self) -> bytes:
        row = {name: getattr(self, name) for name in FIELDS} | dict(self.facts)
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=str) + "\n"
        try:
            return line.encode()
        except UnicodeEncodeError:  # bytes of a command line or a log that are no text; escaped, they survive
            return (json.dumps(row, separators=(",", ":"), default=str) + "\n").encode()


def entry_of(row: Mapping[str, Any]) -> Entry:
    """The entry a decoded line stands for; KeyError, TypeError, ValueError or OverflowError where it is none."""
    return Entry(
        seq=int(row["seq"]),
        at=str(row["at"]),
        event=str(row["event"]),
        release=str(row.get("release", "")),
        step=str(row.get("step", "")),
        who=str(row.get("who", "")),
        token=int(row.get("token", 0)),
        facts={key: value for key, value in row.items() if key not in FIELDS},
    )


def who_acts() -> str:
    """The person or pipeline behind this process, as `user@host`, with the person behind sudo named."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


class Journal:
    """Append-only history in one file.

    Appending is durable when it returns. A torn last line, which a crash can leave, is closed by the next append and
    skipped by readers; every other unreadable line is reported by `damage`, never dropped silently.
    """

    def __init__(self, path: Path, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.path = path
        self.token = 0
        self._clock = clock
        self._next_seq = 0
        self._size_then = -1

    def append(self, event: str, *, release: str = "", step: str = "", **facts: Any) -> Entry:
        """The entry, durable on disk. Raises JournalError when the disk refuses it."""
        if taken := sorted(set(facts) & set(FIELDS)):
            raise ValueError(f"a fact cannot be called {taken[0]!r}: every entry has a field of that name")
        try:
            handle = self._open()
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                size = os.fstat(handle).st_size
                if size != self._size_then:  # somebody else has written since
                    self._next_seq = max((entry.seq for entry in self.entries()), default=0) + 1
                entry = Entry(
                    seq=self._next_seq,
                    at=datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="milliseconds"),
                    event=event,
                    release=release,
                    step=step,
                    who=who_acts(),
                    token=self.token,
                    facts=facts,
                )
                self._size_then = -1
                self._size_then = _append(handle, entry.as_line(), size=size)
            finally:
                os.close(handle)
        except OSError as error:
            raise JournalError(
                f"the history {self.path} cannot be written: {error.strerror}",
                remedy="free space or mend the permissions of its folder; nothing is done that cannot be recorded",
            ) from error
        self._next_seq += 1
        return entry

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

    def entries(self) -> list[Entry]:
        """All readable entries, oldest first."""
        return [entry for entry, _ in self._read() if entry is not None]

    def damage(self) -> list[str]:
        """What cannot be read or is missing, one description a line; a line that a crash cut off is not damage."""
        problems = []
        expected = 1
        for entry, problem in self._read():
            if entry is None:
                problems += [problem] if problem else []
                continue
            if entry.seq != expected:
                problems.append(f"{self.path}: entry {expected} should follow, but entry {entry.seq} does")
            expected = entry.seq + 1
        return problems

    def _read(self) -> Iterator[tuple[Entry | None, str]]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise JournalError(
                f"the history {self.path} cannot be read: {error.strerror}", remedy="mend its permissions"
            ) from error
        lines = content.split(b"\n")
        for number, raw in enumerate(lines, start=1):
            if not raw.strip():
                continue
            try:
                yield entry_of(json.loads(raw)), ""
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                torn = number == len(lines) or _is_cut_off(raw)
                yield None, "" if torn else f"{self.path}, line {number}: not an entry: {raw[:60]!r}"


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


def _is_cut_off(raw: bytes) -> bool:
    """Whether a line is the beginning of an entry: it starts as one, and ends inside a text or an open brace."""
    start = b'{"seq":'
    if not raw.startswith(start[: len(raw)]):
        return False
    depth, is_text, is_escaped = 0, False, False
    for byte in raw:
        if is_text:
            is_text, is_escaped = is_escaped or byte != 0x22, not is_escaped and byte == 0x5C
        elif byte == 0x22:
            is_text = True
        else:
            depth += (byte in b"{[") - (byte in b"}]")
    return is_text or depth > 0


def make_folder(folder: Path) -> None:
    """`folder` exists, durably: with every folder above it that had to be made."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """The folder's entries are durable: what was created, renamed or removed in it survives a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """`path` holds `content` whole, or what it held before; durable when this returns."""
    make_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
