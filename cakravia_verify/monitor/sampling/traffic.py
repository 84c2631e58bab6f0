"""Real requests of users, counted from nginx's everyday log ([proxy] access_log = "file")."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cakravia_verify.monitor.alerts.burn import WINDOWS
from cakravia_verify.monitor.facts import TrafficFacts
from cakravia_verify.monitor.sampling.source import Collected
from cakravia_verify.monitor.store.samples import MetricSample
from cakravia_verify.proxy.protocol import ADMISSION_SECONDS
from cakravia_verify.site.maintenance import Maintenance
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock

EVERY: Final = 10.0
# Read at a time at most; what a burst writes beyond that is counted by the next look.
MOST_BYTES: Final = 4 * 2**20
# The monitor's probes, and the requests by which any command sees who serves users.
_OWN_AGENT: Final = b'"cakravia-'
# The combined format: the request between quotes, then the status. Quotes inside are escaped by nginx.
_STATUS: Final = re.compile(rb'" ([1-5]\d\d) ')


class TrafficSource:
    """Counts answers and failures (status 500 and above) per minute, for the windows of the error budget.

    Answers of a maintenance are no failures: what was written while it lasted is left out.
    """

    name = "traffic"
    every = EVERY
    deadline = 60.0

    def __init__(
        self,
        log: Path,
        *,
        maintenance: Callable[[], Maintenance | None] = lambda: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._log = log
        self._maintenance = maintenance
        self._looked_at = clock.wall()
        self._clock = clock
        self._minutes: deque[tuple[int, int, int]] = deque(maxlen=max(WINDOWS) // 60 + 2)
        self._inode = -1
        self._offset = -1

    def collect(self) -> Collected:
        at = self._clock.wall()
        failed, total = self._count(self._added())
        maintenance, since, self._looked_at = self._maintenance(), self._looked_at, at
        if maintenance is not None and maintenance.overlaps(since - ADMISSION_SECONDS, at):
            failed = total = 0
        minute = int(at // 60)
        if self._minutes and self._minutes[-1][0] == minute:
            _, earlier_failed, earlier_total = self._minutes.pop()
            self._minutes.append((minute, earlier_failed + failed, earlier_total + total))
        else:
            self._minutes.append((minute, failed, total))
        windows = {length: self._in_last(length, minute) for length in WINDOWS}
        samples = [
            MetricSample("traffic/requests", at, float(total)),
            MetricSample("traffic/failed", at, float(failed)),
        ]
        return Collected(TrafficFacts(at, windows), samples)

    def _in_last(self, length: int, minute: int) -> tuple[int, int]:
        rows = [row for row in self._minutes if minute - row[0] < length // 60]
        return sum(row[1] for row in rows), sum(row[2] for row in rows)

    def _count(self, content: bytes) -> tuple[int, int]:
        failed = total = 0
        for line in content.splitlines():
            if _OWN_AGENT in line or not (status := _STATUS.search(line)):
                continue
            total += 1
            failed += status[1] >= b"500"
        return failed, total

    def _added(self) -> bytes:
        """Return the whole lines written since the last look. A new or emptied file is read from its start."""
        try:
            with self._log.open("rb") as file:
                facts = self._log.stat()
                if self._offset < 0:
                    self._inode, self._offset = facts.st_ino, facts.st_size
                if facts.st_ino != self._inode or facts.st_size < self._offset:
                    self._inode, self._offset = facts.st_ino, 0
                file.seek(self._offset)
                content = file.read(MOST_BYTES)
        except FileNotFoundError:
            self._offset = 0
            return b""
        whole = content[: content.rfind(b"\n") + 1] if len(content) < MOST_BYTES or b"\n" in content else content
        self._offset += len(whole)
        return whole
