"""The log of requests that the other slot answered. Each line is an instant, and all have the same length."""

from __future__ import annotations

import os
from bisect import bisect_left
from typing import BinaryIO, Final

# "1764446400.123\n"
LINE: Final = 15


# Seconds.
DAY: Final = 86_400.0


def count_in(log: BinaryIO) -> int:
    return log.seek(0, os.SEEK_END) // LINE


def count_since(log: BinaryIO, instant: float) -> int:
    """Return how many lines of the log are of `instant` (seconds since 1970) or later. The log may be long."""
    lines = count_in(log)

    def at(number: int) -> float:
        log.seek(number * LINE)
        return _instant(log.read(LINE))

    return lines - bisect_left(range(lines), instant, key=at)


def _instant(line: bytes) -> float:
    """Return the instant of a line, 0 for one that a full disk left incomplete."""
    try:
        return float(line)
    except ValueError:
        return 0.0
