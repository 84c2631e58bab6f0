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
        if identity_of(process) == identity and not has_ended(process):
            return process
    return None


def has_ended(process: psutil.Process) -> bool:
    """Whether nothing of it is left to act or to hold a file, whoever has yet to collect its status.

    Linux shows a process as a zombie once its first thread has ended, while others may go on, and hold its port.
    """
    try:
        if not process.is_running():
            return True
        return process.status() == psutil.STATUS_ZOMBIE and not _has_other_threads(process.pid)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _has_other_threads(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    return False
