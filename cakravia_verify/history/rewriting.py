"""Write a damaged history anew from what can be read of it. The damaged file is kept beside it."""

from __future__ import annotations

import fcntl
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cakravia_verify.errors import JournalError
from cakravia_verify.history.journal import Journal
from cakravia_verify.history.journal_file import JournalEntry
from cakravia_verify.history.releases import intent_of
from cakravia_verify.system.files import sync_folder, write_atomically


def rewrite_history(journal: Journal, *, wall: float) -> Path:
    """Replace the history by its readable entries, numbered anew. Returns where the damaged file is kept.

    The entries of a release without a readable start are left out. The caller holds the lock. Raises JournalError.
    """
    path = journal.path
    kept = path.with_name(f"{path.name}.damaged-{datetime.fromtimestamp(wall, UTC):%Y%m%d-%H%M%S}")
    try:
        with path.open("rb") as damaged:
            fcntl.flock(damaged, fcntl.LOCK_EX)
            entries = _numbered(_readable(journal))
            os.link(path, kept)
            write_atomically(path, b"".join(entry.as_line() for entry in entries))
        sync_folder(path.parent)
    except OSError as error:
        raise JournalError(
            f"the history {path} cannot be written anew: {error.strerror}",
            remedy="free space on the disk, or correct its permissions; the damaged history is unchanged",
        ) from error
    return kept


def _readable(journal: Journal) -> list[JournalEntry]:
    entries = journal.entries()
    known = {entry.release for entry in entries if entry.event == "release.started" and _has_intent(entry)}
    return [entry for entry in entries if not entry.release or entry.release in known]


def _has_intent(entry: JournalEntry) -> bool:
    try:
        intent_of(entry)
    except JournalError:
        return False
    return True


def _numbered(entries: list[JournalEntry]) -> list[JournalEntry]:
    return [replace(entry, seq=number) for number, entry in enumerate(entries, 1)]
