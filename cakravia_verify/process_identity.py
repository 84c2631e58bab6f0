"""Which process is meant: a name for it that holds whatever becomes of process ids and clocks."""

from __future__ import annotations

import contextlib
from functools import cache
from pathlib import Path

import psutil


def identity_of(process: psutil.Process) -> str:
    """A name that no other process of this machine has had or will have, whatever happens to the clock.

    Linux counts a process's start in ticks since boot; the start in seconds since 1970 changes with every step of
    the wall clock.
    """
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{process.pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return f"{process.pid}@{fields[19]}.{_boot()}"
    return f"{process.pid}@{process.create_time():.2f}"


@cache
def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    return ""


def process_named(identity: str) -> psutil.Process | None:
    """The process of that identity, None where it has ended."""
    with contextlib.suppress(psutil.Error, ValueError):
        process = psutil.Process(int(identity.partition("@")[0]))
        if identity_of(process) == identity and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None
