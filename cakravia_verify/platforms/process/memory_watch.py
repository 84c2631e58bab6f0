"""Ends a slot whose processes use more resident memory than its limit. A program of its own, without other modules.

    python memory_watch.py SLOT PID LIMIT_IN_BYTES SHOWN_LIMIT

It watches the process, its session and everything that these started, and ends when none of them is left. What it says
goes to its standard output, which is the log of the slot's application.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

INTERVAL = 0.5
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class ProcessRow:
    """One line of /proc: `resident` is in bytes, `started` in ticks since boot."""

    pid: int
    parent: int
    session: int
    resident: int
    started: int


def watch(slot: str, first: int, *, limit: int, shown: str) -> None:
    """Watch until the slot has ended, or end it."""
    started = next((row.started for row in process_rows() if row.pid == first), None)
    while started is not None:
        members = members_of(first, list(process_rows()), started=started)
        if not members:
            return
        # A page that forked workers share counts for each of them here, and once in the exact figure.
        used = sum(row.resident for row in members)
        if used > limit and (used := sum(exact_use(row) for row in members)) > limit:
            print(
                f"cakravia: {slot} was ended: its processes used {used >> 20} MiB, more than [slots] memory_limit = "
                f'"{shown}"',
                flush=True,
            )
            for row in members:
                try:
                    os.kill(row.pid, signal.SIGKILL)
                except OSError:
                    continue
        time.sleep(INTERVAL)


def members_of(first: int, rows: list[ProcessRow], *, started: int) -> list[ProcessRow]:
    """Return the rows of the process, of its session, and of everything that these started.

    The result is empty if the number `first` belongs to a later process now.
    """
    if any(row.pid == first and row.started != started for row in rows):
        return []
    found = {row.pid: row for row in rows if row.pid == first or row.session == first}
    grows = True
    while grows:
        children = {row.pid: row for row in rows if row.parent in found and row.pid not in found}
        found |= children
        grows = bool(children)
    return list(found.values())


def process_rows() -> Iterator[ProcessRow]:
    """Yield the processes of this machine. Zombies are left out."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - twice in a second, beside a measured application
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", errors="replace") as file:  # noqa: PTH123
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields and fields[0] not in ("Z", "X"):
            yield ProcessRow(int(name), int(fields[1]), int(fields[3]), int(fields[21]) * PAGE, int(fields[19]))


def exact_use(row: ProcessRow) -> int:
    """Return the bytes that the process uses: its share of shared pages, and what is swapped out."""
    try:
        with open(f"/proc/{row.pid}/smaps_rollup") as file:  # noqa: PTH123
            sizes = dict(line.split(":", 1) for line in file if line.startswith(("Pss:", "SwapPss:")))
    except OSError:
        return row.resident
    return sum(int(size.split()[0]) for size in sizes.values()) << 10


if __name__ == "__main__":
    watch(sys.argv[1], int(sys.argv[2]), limit=int(sys.argv[3]), shown=sys.argv[4])
