"""The entries in the history's file: read once, decoded on first use."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import Any, Final, overload

FIELDS: Final = ("seq", "at", "event", "release", "step", "who", "token")
_NO_ENTRY: Final = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
# Quotes inside a text are escaped, so a text cannot match. A nested fact of this name can: the result is then too high.
_TOKENS: Final = re.compile(rb'"token":(\d{1,15})')
_decode: Final = json.JSONDecoder().decode
_NUL_BYTES: Final = re.compile(rb"\0+")


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of the history. `event` names what happened; `facts` holds the details of this event."""

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
        except UnicodeEncodeError:  # undecodable bytes of a command line or a log are kept, escaped
            return (json.dumps(row, separators=(",", ":"), default=str) + "\n").encode()


def entry_of(row: Any) -> JournalEntry:
    """Return the entry in a decoded line. Raises KeyError, TypeError, ValueError or OverflowError if it has none."""
    if not isinstance(row, dict):
        raise TypeError(f"an entry is a JSON object, not {type(row).__name__}")
    facts = dict(row)
    return JournalEntry(
        seq=int(facts.pop("seq")),
        at=str(facts.pop("at")),
        event=intern(str(facts.pop("event"))),
        release=intern(str(facts.pop("release", ""))),
        step=intern(str(facts.pop("step", ""))),
        who=intern(str(facts.pop("who", ""))),
        token=int(facts.pop("token", 0)),
        facts=facts,
    )


@dataclass(frozen=True, slots=True)
class IrregularLine:
    """A line that is not exactly one entry.

    `entries` are the readable entries in it. `empty` counts the NUL bytes that a power cut left. `rest` holds the
    bytes that are neither an entry nor the beginning of one.
    """

    entries: tuple[JournalEntry, ...] = ()
    empty: int = 0
    rest: bytes = b""


def decoded(raw: bytes) -> JournalEntry | IrregularLine:
    """Decode one line."""
    if b"\0" in raw:
        return _decoded_around_nul(raw)
    if not raw.strip():
        return IrregularLine()
    try:
        return entry_of(_decode(raw.decode(errors="surrogatepass")))
    except _NO_ENTRY:
        return IrregularLine() if _is_cut_off(raw) else IrregularLine(rest=raw)


def _decoded_around_nul(raw: bytes) -> IrregularLine:
    """Decode the parts of a line around its NUL bytes.

    After a power cut a file system may restore a file's length without its last blocks. NUL bytes are then in the
    place of an unfinished entry, right before the next one.
    """
    parts = [part for part in map(decoded, _NUL_BYTES.split(raw)) if part != IrregularLine()]
    entries = tuple(part for part in parts if isinstance(part, JournalEntry))
    rest = b" ".join(part.rest for part in parts if isinstance(part, IrregularLine))
    return IrregularLine(entries, raw.count(b"\0"), rest)


def _is_cut_off(raw: bytes) -> bool:
    """Return whether a line is the beginning of an entry: it starts like one and ends in a string or an open brace."""
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


class Entries(Sequence[JournalEntry]):
    """The entries at the time of the read, oldest first.

    An entry is decoded on first use. A search from the end decodes only the entries that it visits.
    """

    def __init__(self, lines: list[bytes | JournalEntry | IrregularLine], *, count: int, tail: bytes) -> None:
        self._lines = lines
        self._count = count
        self._tail = decoded(tail)
        self._all: list[JournalEntry] | None = None

    def lines(self, *, since: int = 0) -> Iterator[tuple[int, JournalEntry | IrregularLine]]:
        """Yield every complete line after the first `since` ones, with its number from 1."""
        for at in range(since, self._count):
            yield at + 1, self._at(at)

    def continues(self, other: Entries) -> bool:
        """Return whether this is `other` plus newly appended lines."""
        return self._lines is other._lines and self._count >= other._count

    def last_line(self) -> JournalEntry | IrregularLine:
        """Return the part after the last line end: empty, or an entry torn by a crash."""
        return self._tail

    def _at(self, place: int) -> JournalEntry | IrregularLine:
        line = self._lines[place]
        if isinstance(line, bytes):
            line = self._lines[place] = decoded(line)
        return line

    def __iter__(self) -> Iterator[JournalEntry]:
        for at in range(self._count):
            yield from _entries_in(self._at(at))
        yield from _entries_in(self._tail)

    def __reversed__(self) -> Iterator[JournalEntry]:
        yield from reversed(_entries_in(self._tail))
        for at in range(self._count - 1, -1, -1):
            yield from reversed(_entries_in(self._at(at)))

    def _listed(self) -> list[JournalEntry]:
        if self._all is None:
            self._all = list(iter(self))
        return self._all

    @overload
    def __getitem__(self, index: int) -> JournalEntry: ...
    @overload
    def __getitem__(self, index: slice) -> list[JournalEntry]: ...
    def __getitem__(self, index: int | slice) -> JournalEntry | list[JournalEntry]:
        return self._listed()[index]

    def __len__(self) -> int:
        return len(self._listed())

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._listed() == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._listed())


def _entries_in(line: JournalEntry | IrregularLine) -> tuple[JournalEntry, ...]:
    return (line,) if isinstance(line, JournalEntry) else line.entries


@dataclass(frozen=True)
class _ReadState:
    """A file at its last read. `whole` is the offset where its last complete line ends; `last` is that line."""

    identity: tuple[int, int] = (0, 0)
    size: int = 0
    changed: int = 0
    whole: int = 0
    last: bytes = b""
    lines: list[bytes | JournalEntry | IrregularLine] = field(default_factory=list)
    count: int = 0
    tail: bytes = b""
    highest_token: int = 0


def require_regular(path: Path) -> None:
    """Raise OSError if the path leads to a FIFO, a device or a folder. Opening one could wait for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")


class Lines:
    """The lines of a file that other processes append to. Each line is read once.

    The whole file is read again if it was replaced or truncated, or if its last known line has changed. Not
    thread-safe.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = _ReadState()

    def read(self) -> Entries:
        """Return the file's entries, empty without a file. Raises OSError if it cannot be read."""
        state = self._refreshed()
        return Entries(state.lines, count=state.count, tail=state.tail)

    @property
    def highest_token(self) -> int:
        """The highest fencing token in the entries read so far."""
        return self._state.highest_token

    def _refreshed(self) -> _ReadState:
        try:
            require_regular(self._path)
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._state = _ReadState()
            return self._state
        with os.fdopen(handle, "rb") as file:
            now, known = os.fstat(file.fileno()), self._state
            identity = (now.st_dev, now.st_ino)
            if (identity, now.st_size, now.st_mtime_ns) == (known.identity, known.size, known.changed):
                return known
            file.seek(known.whole - len(known.last))
            has_grown = identity == known.identity and now.st_size > known.size
            if not (has_grown and file.read(len(known.last)) == known.last):
                known = _ReadState()
                file.seek(0)
            content = file.read()
        self._state = _longer(known, content, identity=identity, changed=now.st_mtime_ns)
        return self._state


def _longer(known: _ReadState, content: bytes, *, identity: tuple[int, int], changed: int) -> _ReadState:
    """Return `known` extended by `content`, which begins after its last complete line.

    An interrupted call changes nothing: lines beyond `known.count` are dropped by the next call.
    """
    *whole, tail = content.split(b"\n")
    del known.lines[known.count :]
    known.lines.extend(whole)
    return _ReadState(
        identity=identity,
        size=known.whole + len(content),
        changed=changed,
        whole=known.whole + len(content) - len(tail),
        last=whole[-1] + b"\n" if whole else known.last,
        lines=known.lines,
        count=len(known.lines),
        tail=tail,
        highest_token=max([known.highest_token, *map(int, _TOKENS.findall(content))]),
    )
