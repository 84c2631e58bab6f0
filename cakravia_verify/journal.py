"""The permanent record of every step: one JSON object per line, appended and fsynced before anything is done."""

from __future__ import annotations

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

    def as_line(self) -> str:
        row = {name: getattr(self, name) for name in FIELDS} | dict(self.facts)
        return json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=str) + "\n"


def entry_of(row: Mapping[str, Any]) -> Entry:
    """The entry a decoded line stands for; KeyError or TypeError where it is none."""
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
        self._next_seq: int | None = None

    def append(self, event: str, *, release: str = "", step: str = "", **facts: Any) -> Entry:
        """The entry, durable on disk. Raises JournalError when the disk refuses it."""
        if self._next_seq is None:
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
        try:
            self._write(entry.as_line().encode())
        except OSError as error:
            raise JournalError(
                f"the history {self.path} cannot be written: {error.strerror}",
                remedy="free space or mend the permissions of its folder; nothing is done that cannot be recorded",
            ) from error
        self._next_seq += 1
        return entry

    def _write(self, line: bytes) -> None:
        created = not self.path.exists()
        if created:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                line = b"\n" + line
            written = os.write(handle, line)
            if written != len(line):
                os.ftruncate(handle, size)
                raise OSError(28, "no space left on device")
            os.fsync(handle)
        finally:
            os.close(handle)
        if created:
            sync_folder(self.path.parent)

    def entries(self) -> list[Entry]:
        """All readable entries, oldest first."""
        return [entry for entry, _ in self._read() if entry is not None]

    def damage(self) -> list[str]:
        """What cannot be read, one description a line; a torn last line is not damage."""
        return [problem for entry, problem in self._read() if entry is None and problem]

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
            except (ValueError, KeyError, TypeError):
                torn = number == len(lines) or _is_torn_start(raw)
                yield None, "" if torn else f"{self.path}, line {number}: not an entry: {raw[:60]!r}"


def _is_torn_start(raw: bytes) -> bool:
    """Whether a line is the beginning of an entry that a crash cut off before its end."""
    return raw.startswith(b'{"seq":') and not raw.endswith(b"}")


def sync_folder(folder: Path) -> None:
    """The folder's entries are durable: what was created, renamed or removed in it survives a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """`path` holds `content` whole, or what it held before; durable when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
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
