"""Folders and files that survive a crash."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, Final

# Bytes of a file of the state that is not the history.
LONGEST_RECORD: Final = 4 * 2**20


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


def read_json(path: Path, *, longest: int = LONGEST_RECORD) -> Any:
    """Return the JSON value in a file of the state.

    Raises OSError if it is no regular file or cannot be read, ValueError if it is too long, too deep or no JSON. A FIFO
    or a device keeps no reader waiting.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        content = file.read(longest + 1)
    if len(content) > longest:
        raise ValueError(f"{path} is longer than {longest:,} bytes")
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError(f"{path} is too deep") from error


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
