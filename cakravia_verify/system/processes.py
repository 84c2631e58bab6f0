"""Names for processes that stay unique when process ids are used again or the clock changes."""

from __future__ import annotations

import contextlib
import os
import socket
from functools import cache
from pathlib import Path

import psutil


def identity_of(process: psutil.Process) -> str:
    """Return a name that no other process of this machine ever has.

    Linux counts a process's start in ticks since boot. The start in seconds since 1970 would change with every step
    of the wall clock.
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
    """Return the process with that identity, None if it has ended."""
    with contextlib.suppress(psutil.Error, ValueError):
        process = psutil.Process(int(identity.partition("@")[0]))
        if identity_of(process) == identity and not has_ended(process):
            return process
    return None


@cache
def this_machine() -> str:
    """Return a name of the place in which this process's id is valid: one boot of a machine, and one pid namespace."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()}:{_boot()}:{Path('/proc/self/ns/pid').stat().st_ino}"
    return socket.gethostname()


def is_surely_ended(identity: str) -> bool:
    """Return whether the process of this machine with that identity has ended. False if it may be hidden from us."""
    try:
        pid = int(identity.partition("@")[0])
        os.kill(pid, 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return True
    except OSError:
        return Path(f"/proc/{pid}").exists() and process_named(identity) is None
    return process_named(identity) is None


def has_ended(process: psutil.Process) -> bool:
    """Return whether no thread of the process is left. A zombie has ended, even before its parent reads its status.

    Linux shows a process as a zombie when its first thread has ended. Other threads may still run and hold its port.
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
