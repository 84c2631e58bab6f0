"""The seal of a report: the SHA-256 of each of its files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from cakravia_verify.report.verdict.model import ENVELOPE_NAME, FILE_NAME


def seal(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a report by its path in the folder, sorted by path.

    Left out are the verdict, which holds these digests, its signature, drafts that a crash left behind, and links.
    """
    sealed: dict[str, str] = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in names:
            file = Path(parent, name)
            place = file.relative_to(folder).as_posix()
            is_draft = name.startswith(".") and name.endswith(".draft")
            if place not in (FILE_NAME, ENVELOPE_NAME) and not is_draft and file.is_file() and not file.is_symlink():
                sealed[place] = fingerprint(file)
    return dict(sorted(sealed.items()))


def fingerprint(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
