"""Reading small JSON files that another machine wrote: whole, bounded, never through a link."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, Final

from cakravia_verify.errors import UsageError

LARGEST: Final = 4 * 1024 * 1024


def read_plain(file: Path, *, remedy: str) -> bytes:
    """Return the bytes of a regular file of at most `LARGEST` bytes.

    Raises UsageError with `remedy` if it is missing, a link, a folder, a FIFO, a device or too large.
    """
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        why = "it is a link" if file.is_symlink() else error.strerror
        raise UsageError(f"{file} cannot be read: {why}", remedy=remedy) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UsageError(f"{file} cannot be read: it is no regular file", remedy=remedy)
    with os.fdopen(handle, "rb") as opened:
        content = opened.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise UsageError(f"{file} is larger than {LARGEST:,} bytes", remedy=remedy)
    return content


def decoded(content: bytes) -> Any:
    """Return the one JSON value in `content`. Raises ValueError, also if an object has one name twice."""
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_without_twins, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("an object has one name twice, so two readers may read different values")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no number {name}")
