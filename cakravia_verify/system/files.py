"""Folders and files that survive a crash."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO


def make_folder(folder: Path) -> None:
    """Create `folder` and its missing parents, durably, for their owner alone, whatever the umask permits."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Sync the folder to disk. Files created, renamed or removed in it then survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_private(path: Path) -> BinaryIO:
    """Open a file to append to it. A new file is for its owner alone, whatever the umask permits."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace the content of `path` completely or not at all. The change is durable when this returns."""
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
