"""Memory, CPU, event-loop lag and growth of this process, measured a few times a second in the background."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SAMPLE_SECONDS = 0.25
_LAG_SAMPLES = 20  # 5 s
_GROWTH_SAMPLES = 60  # one a second
_NO_LIMIT = 1 << 60  # cgroup v1 says "no limit" with a number of this size


@dataclass(frozen=True)
class Memory:
    """Bytes in use against the limit that is closest; `source` names that limit."""

    used: int
    limit: int
    source: str

    @property
    def share(self) -> float:
        return self.used / self.limit if self.limit else 1.0


@dataclass(frozen=True)
class Growth:
    """Resident memory over the last minute; `share_rising` is the part of samples above the one before."""

    seconds: float
    grown: int
    first: int
    share_rising: float

    @property
    def is_leak(self) -> bool:
        """Steady growth by more than 64 MiB and by more than half: neither a warming cache nor one large upload."""
        return self.seconds >= 5 and self.share_rising >= 0.8 and self.grown > max(64 * 1024**2, self.first // 2)


class Vitals:
    """Readings of this process; `start` begins the sampling."""

    def __init__(self, memory_limit: int | None) -> None:
        self._limits = list(_memory_limits(memory_limit))
        self._lags: deque[float] = deque(maxlen=_LAG_SAMPLES)
        self._resident: deque[tuple[float, int]] = deque(maxlen=_GROWTH_SAMPLES)
        self._cpu_times: deque[tuple[float, float]] = deque(
            [(time.monotonic(), time.process_time())], maxlen=_LAG_SAMPLES
        )
        self._due = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._sample(), name="vitals")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def memory(self) -> Memory:
        """The reading of the limit that this process is closest to."""
        virtual, resident = _memory_in_use()
        readings = [
            Memory(virtual if source == "RLIMIT_AS" else resident, limit, source) for source, limit in self._limits
        ]
        return max(readings, key=lambda reading: reading.share)

    def growth(self) -> Growth:
        sizes = [size for _, size in self._resident]
        if len(sizes) < 2:
            return Growth(0.0, 0, sizes[0] if sizes else 0, 0.0)
        rising = sum(later > earlier for earlier, later in itertools.pairwise(sizes)) / (len(sizes) - 1)
        return Growth(self._resident[-1][0] - self._resident[0][0], sizes[-1] - sizes[0], sizes[0], rising)

    def cpu_share(self) -> float:
        """CPU time used over the last 5 s; 1.0 is one core."""
        at, used = self._cpu_times[0]
        return (time.process_time() - used) / max(1.0, time.monotonic() - at)

    def lag_seconds(self) -> float:
        """The median delay of the event loop over the last 5 s, or the present delay where that is worse."""
        lags = sorted(self._lags)
        median = lags[len(lags) // 2] if lags else 0.0
        return max(median, time.monotonic() - self._due)

    def worst_lag_seconds(self) -> float:
        return max(self._lags, default=0.0)

    async def _sample(self) -> None:
        next_second = 0.0
        while True:
            self._due = time.monotonic() + _SAMPLE_SECONDS
            await asyncio.sleep(_SAMPLE_SECONDS)
            now = time.monotonic()
            self._lags.append(max(0.0, now - self._due))
            self._cpu_times.append((now, time.process_time()))
            if now >= next_second:
                next_second = now + 1
                self._resident.append((now, _memory_in_use()[1]))


def cores() -> int:
    """CPUs this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_in_use() -> tuple[int, int]:
    """Virtual and resident bytes."""
    try:
        fields = Path("/proc/self/statm").read_text().split()
    except OSError:  # no procfs: the peak stands in for the present size
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return peak, peak
    return int(fields[0]) * _PAGE, int(fields[1]) * _PAGE


def _memory_limits(configured: int | None) -> Iterator[tuple[str, int]]:
    """Every limit in force, by its source; the memory of the machine is always one."""
    if configured:
        yield "MEMORY_LIMIT", configured
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space != resource.RLIM_INFINITY:
        yield "RLIMIT_AS", address_space
    for path in _cgroup_files():
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < _NO_LIMIT:
            yield "cgroup", int(text)
    yield "machine", os.sysconf("SC_PHYS_PAGES") * _PAGE


def _cgroup_files() -> Iterator[Path]:
    """Where a memory limit of this process may stand: every level of cgroup v2, and v1."""
    root = Path("/sys/fs/cgroup")
    yield root / "memory/memory.limit_in_bytes"
    yield root / "memory.max"
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("0::/"):
            group = root / line[4:]
            while group != root and root in group.parents:
                yield group / "memory.max"
                group = group.parent
