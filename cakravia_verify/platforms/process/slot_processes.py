"""The processes of a slot: finding them, and reading what they wrote."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from cakravia_verify.system.processes import has_ended


def processes_with_environment(wanted: Mapping[str, str]) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """Yield the processes of this user whose environment contains all of `wanted`, oldest first.

    Each comes with its environment.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            environment = process.environ()
            if all(environment.get(name) == value for name, value in wanted.items()) and not has_ended(process):
                found.append((process.create_time(), process.pid, process, environment))
    for _, _, process, environment in sorted(found, key=lambda row: row[:2]):
        yield process, environment


def processes_of_session(session: int) -> Iterator[psutil.Process]:
    """Yield the processes whose session was begun by the process with this number."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == session and not has_ended(process):
                yield process


def group_of(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return process.pid


def last_bytes(path: Path, *, limit: int) -> bytes:
    """Return the last `limit` bytes of a file, b"" without a file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
            return file.read(limit)
    except FileNotFoundError:
        return b""
