"""Commands of operators: each in a process group of its own, with bounded output and a certain end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import psutil

from cakravia_verify.system.processes import has_ended

# Of a long output the beginning and the end are kept.
FIRST_BYTES: Final = 16 * 1024
LAST_BYTES: Final = 48 * 1024
# Between SIGTERM and SIGKILL.
GRACE_SECONDS: Final = 1.0
# A process that left the group may hold the output open; its reader is given up after this time.
READER_SECONDS: Final = 0.5
# A process that starts others faster than this is beyond us.
MOST_ROUNDS: Final = 10


class BoundedOutput:
    """The beginning and the end of what was written, in bounded memory."""

    def __init__(self) -> None:
        self._first = b""
        self._last = b""
        self._left_out = 0

    def add(self, piece: bytes) -> None:
        room = FIRST_BYTES - len(self._first)
        self._first += piece[:room]
        self._last += piece[room:]
        if len(self._last) > 2 * LAST_BYTES:
            self._cut()

    @property
    def text(self) -> str:
        self._cut()
        gap = f"\n... {self._left_out:,} bytes left out ...\n".encode() if self._left_out else b""
        return (self._first + gap + self._last).decode(errors="replace")

    def _cut(self) -> None:
        beyond = max(0, len(self._last) - LAST_BYTES)
        self._left_out += beyond
        self._last = self._last[beyond:]


class ProcessCommand:
    """One command as a process group of this machine. Raises OSError if it cannot be started."""

    def __init__(self, argv: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdin: bytes) -> None:
        self._output = BoundedOutput()
        self._process = subprocess.Popen(
            list(argv),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._writer = threading.Thread(target=_write, args=(self._process.stdin, stdin), daemon=True)
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._writer.start()
        self._reader.start()

    def status(self) -> int | None:
        """Return the exit status, negative for a signal. None while the command runs."""
        return self._process.poll()

    def output(self) -> str:
        """Return what the command wrote to standard output and standard error, bounded."""
        if self.status() is not None:
            self._reader.join(READER_SECONDS)
        return self._output.text

    def end(self) -> None:
        """End the whole process group: SIGTERM, then SIGKILL after the grace. Does nothing the second time."""
        if self.status() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_SECONDS)
        # The group may outlive the process that leads it.
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._reader.join(READER_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _read(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError), pipe:
            while piece := os.read(pipe.fileno(), 65_536):
                self._output.add(piece)


def end_told_processes(told: Mapping[str, str]) -> int:
    """Kill the processes that were started with all of `told` in their environment. Returns how many there were.

    This process, and the ones that started it, are spared. A process may start another one just before it is killed,
    so they are looked for until none is left.
    """
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    ended: set[int] = set()
    for _ in range(MOST_ROUNDS):
        found = [process for process in psutil.process_iter() if process.pid not in spared and _is_told(process, told)]
        if not found:
            break
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=GRACE_SECONDS)
        ended.update(process.pid for process in found)
    return len(ended)


def _is_told(process: psutil.Process, told: Mapping[str, str]) -> bool:
    try:
        environment = process.environ()
    except (psutil.Error, OSError):
        return False
    return told.items() <= environment.items() and not has_ended(process)


def _write(pipe: IO[bytes], content: bytes) -> None:
    # A command need not read its input.
    with contextlib.suppress(OSError, ValueError), pipe:
        pipe.write(content)
