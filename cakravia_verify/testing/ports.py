"""Ports that are given out once, to one of all the processes that ask here side by side."""

from __future__ import annotations

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
_held: list[int] = []


def free_ports(number: int) -> list[int]:
    """Return free ports of 127.0.0.1, each given to no other process while this one lives.

    The port of a slot looks free as long as nothing runs in the slot, so a look alone cannot tell.
    """
    _FOLDER.mkdir(mode=0o700, exist_ok=True)
    found: list[int] = []
    while len(found) < number:
        port = random.randint(LOWEST, HIGHEST)  # noqa: S311 - no secret
        if _is_ours(port):
            found.append(port)
    return found


def _is_ours(port: int) -> bool:
    handle = os.open(_FOLDER / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        os.close(handle)
        return False
    _held.append(handle)
    return True
