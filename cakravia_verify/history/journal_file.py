"""Entries of the history as they stand in its file: read once, and decoded when somebody looks at them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import Any, Final, overload

FIELDS: Final = ("seq", "at", "event", "release", "step", "who", "token")
_NO_ENTRY: Final = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
# Inside a text the quotes would be escaped. A fact of that name in a fact may be met as well: then it is too high.
_TOKENS: Final = re.compile(rb'"token":(\d{1,15})')
_decode: Final = json.JSONDecoder().decode
_EMPTINESS: Final = re.compile(rb"\0+")


@dataclass(frozen=True, slots=True)
class JournalEntry:
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


def entry_of(row: Any) -> JournalEntry:
    """The entry a decoded line stands for; KeyError, TypeError, ValueError or OverflowError where it is none."""
    if not isinstance(row, dict):
        raise TypeError(f"{type(row).__name__} is no entry")
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
class Odd:
    """A line that is not one entry and nothing else.

    `entries` stand in it all the same; `empty` counts the NUL bytes that a power cut left in place of what was being
    written; `rest` is what cannot be read and is no beginning of an entry either.
    """

    entries: tuple[JournalEntry, ...] = ()
    empty: int = 0
    rest: bytes = b""


def decoded(raw: bytes) -> JournalEntry | Odd:
    """What one line holds."""
    if b"\0" in raw:
        return _around_emptiness(raw)
    if not raw.strip():
        return Odd()
    try:
        return entry_of(_decode(raw.decode(errors="surrogatepass")))
    except _NO_ENTRY:
        return Odd() if _is_cut_off(raw) else Odd(rest=raw)


def _around_emptiness(raw: bytes) -> Odd:
    """A file system may bring back the length of a file without its last blocks, which then are NUL bytes: in place of
    an entry that was never finished, and right before the one that came next."""
    parts = [part for part in map(decoded, _EMPTINESS.split(raw)) if part != Odd()]
    entries = tuple(part for part in parts if isinstance(part, JournalEntry))
    rest = b" ".join(part.rest for part in parts if isinstance(part, Odd))
    return Odd(entries, raw.count(b"\0"), rest)


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


class Entries(Sequence[JournalEntry]):
    """Entries as they were when this was made, oldest first.

    Each is decoded when it is first met, so that whoever looks from the end pays for what he looks at.
    """

    def __init__(self, lines: list[bytes | JournalEntry | Odd], *, count: int, tail: bytes) -> None:
        self._lines = lines
        self._count = count
        self._tail = decoded(tail)
        self._all: list[JournalEntry] | None = None

    def lines(self, *, since: int = 0) -> Iterator[tuple[int, JournalEntry | Odd]]:
        """Every whole line behind the first `since` ones with its number, from 1."""
        for at in range(since, self._count):
            yield at + 1, self._at(at)

    def continues(self, other: Entries) -> bool:
        """Whether this is `other` and what was appended since."""
        return self._lines is other._lines and self._count >= other._count

    def last_line(self) -> JournalEntry | Odd:
        """What stands behind the last line end: nothing, or what a crash left of an entry."""
        return self._tail

    def _at(self, place: int) -> JournalEntry | Odd:
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


def _entries_in(line: JournalEntry | Odd) -> tuple[JournalEntry, ...]:
    return (line,) if isinstance(line, JournalEntry) else line.entries


@dataclass(frozen=True)
class _Seen:
    """A file as it was read last. `whole` is where its last whole line ends, and `last` is that line."""

    identity: tuple[int, int] = (0, 0)
    size: int = 0
    changed: int = 0
    whole: int = 0
    last: bytes = b""
    lines: list[bytes | JournalEntry | Odd] = field(default_factory=list)
    count: int = 0
    tail: bytes = b""
    highest_token: int = 0


class Lines:
    """The lines of a file to which others append: what was read once is not read again.

    A file that was replaced or cut, or whose last known line is another one now, is read anew. For one thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _Seen()

    def read(self) -> Entries:
        """The file as it is now; empty where there is none. Raises OSError where it cannot be read."""
        seen = self._refreshed()
        return Entries(seen.lines, count=seen.count, tail=seen.tail)

    @property
    def highest_token(self) -> int:
        """No entry read so far has a higher one."""
        return self._seen.highest_token

    def _refreshed(self) -> _Seen:
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._seen = _Seen()
            return self._seen
        with os.fdopen(handle, "rb") as file:
            now, seen = os.fstat(file.fileno()), self._seen
            identity = (now.st_dev, now.st_ino)
            if (identity, now.st_size, now.st_mtime_ns) == (seen.identity, seen.size, seen.changed):
                return seen
            file.seek(seen.whole - len(seen.last))
            has_grown = identity == seen.identity and now.st_size > seen.size
            if not (has_grown and file.read(len(seen.last)) == seen.last):
                seen = _Seen()
                file.seek(0)
            content = file.read()
        self._seen = _longer(seen, content, identity=identity, changed=now.st_mtime_ns)
        return self._seen


def _longer(seen: _Seen, content: bytes, *, identity: tuple[int, int], changed: int) -> _Seen:
    """`seen` with what was read behind its last whole line. Nothing is known of it until it is known whole: whoever is
    interrupted in here has read nothing."""
    *whole, tail = content.split(b"\n")
    del seen.lines[seen.count :]
    seen.lines.extend(whole)
    return _Seen(
        identity=identity,
        size=seen.whole + len(content),
        changed=changed,
        whole=seen.whole + len(content) - len(tail),
        last=whole[-1] + b"\n" if whole else seen.last,
        lines=seen.lines,
        count=len(seen.lines),
        tail=tail,
        highest_token=max([seen.highest_token, *map(int, _TOKENS.findall(content))]),
    )
