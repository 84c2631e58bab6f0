"""The application's side of the request ledger: tab-separated, one system call per line, so that kill -9 tears none.

`event  at_us_monotonic  id  slot  version  method  path  status`, with event `begin` before the handler runs and `end`
after the last byte of the body was handed over. Everyday requests are not written, or the log would grow for ever: the
id of a measured one ends in a dash and its number, and in a tilde and another one where it follows from an earlier one.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SPACES = str.maketrans("\t\n\r", "   ")
_MEASURED = re.compile(r"-[0-9]+(~[0-9]+)?\Z")


class RequestLog:
    """Appends to one file; several processes may share it."""

    def __init__(self, path: Path | None, *, slot: str, version: str) -> None:
        self._descriptor: int | None = None
        self._identity = f"\t{slot}\t{version}\t"
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def begin(self, request_id: str, method: str, path: str) -> None:
        if self._descriptor is not None:
            self._write("begin", request_id, method, path, "")

    def end(self, request_id: str, method: str, path: str, status: int) -> None:
        if self._descriptor is not None:
            self._write("end", request_id, method, path, str(status))

    def _write(self, event: str, request_id: str, method: str, path: str, status: str) -> None:
        assert self._descriptor is not None
        if request_id and not _MEASURED.search(request_id):
            return
        request_id = request_id.translate(_SPACES) or "-"
        at = time.monotonic_ns() // 1000
        line = f"{event}\t{at}\t{request_id}{self._identity}{method}\t{path.translate(_SPACES)}\t{status}\n"
        # A full disk costs lines of this log, never an answer.
        with contextlib.suppress(OSError):
            os.write(self._descriptor, line.encode("utf-8", "replace"))
