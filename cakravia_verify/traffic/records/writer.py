"""Writing the records: whole lines only, few system calls, nothing kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cakravia_verify.errors import TrafficError

if TYPE_CHECKING:
    from pathlib import Path

FLUSH_SECONDS = 0.1
_BUFFERED_LINES = 512


class Recorder:
    """A file that lines are appended to, at most `_BUFFERED_LINES` of them in memory.

    Every system call writes whole lines, so a reader gets a torn line only when the disk is full. The owner calls
    `flush()` every FLUSH_SECONDS. Raises TrafficError when the file cannot be written.
    """

    def __init__(self, path: Path, *, header: str) -> None:
        self._path = path
        self._lines: list[str] = [header + "\n"]
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise TrafficError(
                f"{path}: {error.strerror}", remedy="give this user the right to write the records folder"
            ) from error
        self.flush()

    def write(self, line: str) -> None:
        """Add a line that ends with its line feed."""
        lines = self._lines
        lines.append(line)
        if len(lines) >= _BUFFERED_LINES:
            self.flush()

    def flush(self) -> None:
        if not self._lines:
            return
        data = memoryview("".join(self._lines).encode())
        self._lines.clear()
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise TrafficError(f"{self._path}: {error.strerror}", remedy="make room on its disk") from error

    def close(self) -> None:
        self.flush()
        os.close(self._file)
