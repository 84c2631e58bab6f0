"""Ports that are given out once, to one of all the processes that ask here side by side."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

# Below those that the kernel gives to outgoing connections: one of these, left open by any client of this machine,
# would sometimes sit on a port that a slot is about to listen on.
LOWEST, HIGHEST = 12_000, 31_000
_FOLDER = Path(tempfile.gettempdir()) / f"cakravia-ports-{os.geteuid()}"
_held: dict[Path, int] = {}


def free_ports(number: int) -> list[int]:
    """Return free ports of 127.0.0.1, each given to no other process while this one lives.

    The port of a slot looks free as long as nothing runs in the slot, so a look alone cannot tell.
    """
    found: list[int] = []
    while len(found) < number:
        port = random.randint(LOWEST, HIGHEST)  # noqa: S311 - no secret
        if _is_ours(port):
            found.append(port)
    return found


def _is_ours(port: int) -> bool:
    lock = _FOLDER / str(port)
    _FOLDER.mkdir(mode=0o700, exist_ok=True)
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return False  # Another process, the last one, has just removed the folder.
    if _is_locked(handle, lock):
        if _is_free(port):
            _held[lock] = handle
            return True
        lock.unlink(missing_ok=True)
    os.close(handle)
    return False


def _is_locked(handle: int, lock: Path) -> bool:
    """Lock the file, and tell if it is still the one that others find under this name."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(handle), lock.stat())
    except OSError:
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


@atexit.register
def _give_back() -> None:
    """Remove the lock files of this process while it holds them, and the folder after the last one."""
    for lock in _held:
        lock.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        _FOLDER.rmdir()
