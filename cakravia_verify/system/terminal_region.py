"""A few lines at the end of a terminal that are rewritten in place, while other output scrolls above them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

SMALLEST_HEIGHT: Final = 12


def can_redraw(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether lines of this stream can be rewritten: it is a terminal that knows how, and is high enough."""
    try:
        if not stream.isatty():
            return False
        height = os.get_terminal_size(stream.fileno()).lines
    except (OSError, ValueError):
        return False
    is_able = environment.get("TERM", "") not in ("", "dumb") and not environment.get("CI")
    return is_able and (height == 0 or height >= SMALLEST_HEIGHT)


class TerminalRegion:
    """The region below the output of `stream`. Several threads may write.

    All other output of the terminal goes through `write`: the region is then drawn again below it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()
        self._lines: tuple[str, ...] = ()
        self._is_at_start = True
        self._is_drawn = False
        self._is_closed = False

    @property
    def columns(self) -> int:
        """The width in which lines stay whole on this terminal."""
        with contextlib.suppress(OSError, ValueError):
            return max(1, (os.get_terminal_size(self._stream.fileno()).columns or 80) - 1)
        return 79

    def show(self, lines: Sequence[str]) -> None:
        """Draw these lines in the place of the former ones. Draw nothing while other output has an unfinished line."""
        with self._lock:
            if self._is_closed:
                return
            before, self._lines = len(self._lines) if self._is_drawn else 0, tuple(lines)
            if self._is_at_start:
                self._put(_up(before) + self._drawn())
                self._is_drawn = True

    def write(self, text: str) -> None:
        """Write other output above the region."""
        with self._lock:
            up = _up(len(self._lines)) + "\x1b[J" if self._is_drawn else ""
            self._is_drawn = False
            if text:
                self._is_at_start = text.endswith("\n")
            again = ""
            if self._is_at_start and self._lines and not self._is_closed:
                again = self._drawn()
                self._is_drawn = True
            self._put(up + text + again)

    def close(self) -> None:
        """Remove the region. What is written later is written as it is."""
        with self._lock:
            if self._is_drawn:
                self._put(_up(len(self._lines)) + "\x1b[J")
            self._is_drawn, self._lines, self._is_closed = False, (), True

    def _drawn(self) -> str:
        return "".join(f"{line}\x1b[K\n" for line in self._lines) + "\x1b[J"

    def _put(self, text: str) -> None:
        if text:
            self._stream.write(text)
            self._stream.flush()


def _up(lines: int) -> str:
    return f"\r\x1b[{lines}A" if lines else "\r"
