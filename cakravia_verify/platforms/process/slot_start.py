"""The start of a slot's process, and of the watch over its memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from cakravia_verify.platforms.process import memory_watch
from cakravia_verify.settings.models import SlotSettings
from cakravia_verify.system.files import open_private
from cakravia_verify.system.processes import has_ended

# The processes that this one started, to read their status when they end. They outlive it, so no object owns them.
_CHILDREN: Final[dict[int, subprocess.Popen[bytes]]] = {}


def start_process(command: Sequence[str], *, folder: Path, environment: Mapping[str, str], log: Path) -> int:
    """Start the command in a session of its own, with its output in `log`. Returns its process id. Raises OSError."""
    _forget_ended_children()
    with open_private(log) as output:
        child = subprocess.Popen(
            # The shell becomes the process. It also runs a script without `#!`.
            ["/bin/sh", "-c", 'exec "$0" "$@"', *command],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _CHILDREN[child.pid] = child
    return child.pid


def watch_memory(name: str, pid: int, *, limits: SlotSettings, log: Path) -> None:
    """Start the program that ends a slot or a companion if its processes exceed their limit. It needs Linux's /proc."""
    if not Path("/proc/self/stat").exists():
        return
    arguments = [name, str(pid), str(limits.memory_bytes), limits.memory_limit]
    with open_private(log) as output:
        watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", memory_watch.__file__, *arguments],
            cwd="/",
            env={},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    _CHILDREN[watcher.pid] = watcher


def _forget_ended_children() -> None:
    """Read the status of children that ended, so that none stays as a zombie: a supervisor starts many."""
    for pid, child in [*_CHILDREN.items()]:
        if child.poll() is not None:
            del _CHILDREN[pid]


def is_gone(process: psutil.Process) -> bool:
    """Return whether the process has ended. A child of this process is also waited for."""
    child = _CHILDREN.get(process.pid)
    return child.poll() is not None if child is not None else has_ended(process)
