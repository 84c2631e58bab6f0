"""Writes of the application that failed, found in the log of its slot, with the key of [docker] that corrects them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

LONGEST_LINE: Final = 160
# What the application's log says -> the correction. Libraries word the errors of the kernel in these ways.
FAILURES: Final = (
    (
        re.compile(r"EROFS|read-only file system", re.IGNORECASE),
        'a write failed because the root is read-only: name the folder in [docker] writable = ["/..."], or mount a '
        "volume",
    ),
    (
        re.compile(r"ENOSPC|no space left on device", re.IGNORECASE),
        'a write failed because no space is left: set [docker] tmpfs = { "/tmp" = "256M" }, or name the folder in '
        "writable",
    ),
    (
        re.compile(r"failed to map segment from shared object", re.IGNORECASE),
        'a library could not be loaded: permit it in [docker] tmpfs = { "/tmp" = "64M,exec" }',
    ),
)


def write_failures_in(log: str) -> Iterator[str]:
    """Yield one line for each kind of failure, with the first line of the log that shows it."""
    lines = log.splitlines()
    for pattern, correction in FAILURES:
        shown = next((line.strip() for line in lines if pattern.search(line)), None)
        if shown is not None:
            yield f"{correction} (its log: {shown[:LONGEST_LINE]})"
