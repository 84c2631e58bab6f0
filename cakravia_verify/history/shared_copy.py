"""Two copies of one history: which of them is right, and what the other one lacks."""

from __future__ import annotations

from dataclasses import dataclass

from cakravia_verify.history.journal_file import IrregularLine, JournalEntry, decoded


@dataclass(frozen=True)
class Reconciled:
    """The content that both copies get. `displaced` is a content that is not part of it and has to be kept elsewhere.

    `notice` says what was found, '' if the copies agreed.
    """

    content: bytes
    displaced: bytes = b""
    notice: str = ""


def reconciled(local: bytes, shared: bytes) -> Reconciled:
    """Return what both copies of a history get.

    The longer copy is right if it continues the shorter one. Otherwise the copy with the newer last entry is right:
    the higher fencing token, then the higher number. With the same last entry the local copy is right if it is whole,
    because a person has corrected it.
    """
    if local == shared or local.startswith(shared):
        return Reconciled(local)
    if shared.startswith(local):
        missing = _entries(shared[len(local) :])
        last = missing[-1] if missing else None
        behind = f"the history in this state folder lagged {len(missing)} entries behind the site's" if local else ""
        return Reconciled(
            shared,
            notice=f"{behind or f'this state folder had no history, and the site has one of {len(missing)} entries'}"
            f"; it is up to date now{f' (last: {last.event} {last.release}, {last.who}, {last.at})' if last else ''}",
        )
    ours, theirs = _head(local), _head(shared)
    if ours > theirs or (ours == theirs and not _is_damaged(local)):
        return Reconciled(local, shared, "the site's history on the engine had other entries than this state folder")
    return Reconciled(shared, local, "the history in this state folder had other entries than the site's on the engine")


def _entries(content: bytes) -> list[JournalEntry]:
    found: list[JournalEntry] = []
    for line in map(decoded, content.split(b"\n")):
        found += [line] if isinstance(line, JournalEntry) else line.entries
    return found


def _head(content: bytes) -> tuple[int, int]:
    newest = max(_entries(content), key=lambda entry: (entry.token, entry.seq), default=None)
    return (newest.token, newest.seq) if newest else (0, 0)


def _is_damaged(content: bytes) -> bool:
    """Return whether a line is unreadable or an entry is missing."""
    lines = [decoded(line) for line in content.split(b"\n")]
    if any(isinstance(line, IrregularLine) and line.rest for line in lines):
        return True
    numbers = [entry.seq for entry in _entries(content)]
    return numbers != list(range(1, len(numbers) + 1))
