"""The seal of a report: the SHA-256 of each of its files."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cakravia_verify.report.verdict.model import ENVELOPE_NAMES, FILE_NAME

_SPECIAL: Final = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


def seal(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a report by its path in the folder, sorted by path.

    Left out are the verdict, which holds these digests, its signature, drafts that a crash left behind, and what is no
    regular file.
    """
    return {place: fingerprint(folder / place) for place, oddity in sorted(contents(folder)) if not oddity}


def contents(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the path in the folder of everything that a seal covers, and what it is if it is no regular file.

    No link is followed and nothing is opened. Raises OSError if a folder cannot be read.
    """
    for place, entry in _entries(folder, ""):
        is_draft = entry.name.startswith(".") and entry.name.endswith(".draft")
        oddity = oddity_of(entry.stat(follow_symlinks=False).st_mode)
        is_own = place == FILE_NAME or (place in ENVELOPE_NAMES and not oddity)
        if not is_own and not is_draft:
            yield place, oddity


def _entries(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(folder / entry.name, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry


def oddity_of(mode: int) -> str:
    """Return what a file of this mode is, with its article; empty if it is a regular file."""
    return "" if stat.S_ISREG(mode) else _SPECIAL.get(stat.S_IFMT(mode), "no regular file")


def fingerprint(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
