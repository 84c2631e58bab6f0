"""The connections that nginx has open to a slot. Connections of monitors and other clients do not count."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

import psutil

TCP_ESTABLISHED: Final = "01"
TCP_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def proxy_connections(port: int, processes: Collection[psutil.Process]) -> int:
    """Return how many established TCP connections these processes have to the local `port`.

    A process whose connections this user cannot see counts with all connections to the port: the result is never too
    low.
    """
    if not TCP_TABLES[0].exists():
        return sum(_shown_by_psutil(process, port) for process in processes)
    theirs = set(_sockets_to(port))
    if not theirs:
        return 0
    held: set[str] = set()
    for process in processes:
        try:
            held |= theirs & set(_sockets_of(process.pid))
        except PermissionError:
            return len(theirs)
        except OSError:
            continue
    return len(held)


def _sockets_to(port: int) -> Iterator[str]:
    """Yield the inode of each socket with an established connection to the port. Both ends are on this machine."""
    wanted = f":{port:04X}"
    for table in TCP_TABLES:
        with contextlib.suppress(FileNotFoundError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == TCP_ESTABLISHED and fields[2].endswith(wanted):
                    yield fields[9]


def _sockets_of(pid: int) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):  # noqa: PTH208 - thousands of names, many times in a second
        with contextlib.suppress(FileNotFoundError):
            aim = os.readlink(f"{folder}/{name}")  # noqa: PTH115
            if aim.startswith("socket:["):
                yield aim[8:-1]


def _shown_by_psutil(process: psutil.Process, port: int) -> int:
    with contextlib.suppress(psutil.NoSuchProcess):
        rows = process.net_connections(kind="tcp")
        return sum(row.status == psutil.CONN_ESTABLISHED and bool(row.raddr) and row.raddr.port == port for row in rows)
    return 0
