"""The traffic of one release run: started before anything is touched, followed while it flows, stopped last."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from cakravia_verify.system.clock import NOT_YET, Clock, Deadline, Microseconds, poll, to_microseconds, to_seconds
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.process import TrafficProcess, TrafficSummary
from cakravia_verify.traffic.records.rows import (
    EVENTS_FILE,
    FOLLOW_UP,
    REQUESTS_FILE,
    Outcome,
    RecordTail,
    Row,
    join_parts,
    part_files,
)


class TrafficRun:
    """One running traffic and the content of its records so far. Instants are of CLOCK_MONOTONIC.

    `broken_journeys` has the first request of each journey that failed later, and the step that failed. Answers that
    took longer than `slow` seconds from their planned instant are counted.
    """

    def __init__(self, plan: TrafficPlan, *, clock: Clock, slow: float = math.inf) -> None:
        self.plan = plan
        self.folder = Path(plan.records)
        self.finished = 0
        self.slow = 0
        self.foreign: Counter[str] = Counter()
        self.lost: list[Row] = []
        self.errors: list[Row] = []
        self.unreached: list[Row] = []
        self.broken_journeys: list[tuple[Row, Row]] = []
        self.on_row: Callable[[Row], None] = lambda _: None
        self.summary: TrafficSummary | None = None
        self._clock = clock
        self._process = TrafficProcess(plan)
        self._streams = frozenset(plan.streams)
        self._slow = slow
        self._tails = [RecordTail(self.folder / name) for name in part_files(REQUESTS_FILE, plan.processes)]
        self._planned: dict[int, Microseconds] = {}
        self._failed_steps: dict[str, Row] = {}
        self._next = 0
        self._first_planned: Microseconds | None = None
        self._settled_until = NOT_YET

    def start(self, *, deadline: Deadline, requests: int) -> None:
        """Start the traffic and wait until `requests` requests have ended. Raises DeadlineExceeded."""
        self._process.start()

        def flows() -> bool:
            self._process.ensure_alive()
            return self.follow() >= requests

        poll(
            flows,
            deadline=deadline,
            every=0.02,
            observed=lambda: f"{self.finished} requests have ended\n{self._process.log_tail()}".strip(),
        )

    def ensure_alive(self) -> None:
        self._process.ensure_alive()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive

    def follow(self) -> int:
        """Read the new records. Returns how many requests have ended so far."""
        for row in (row for tail in self._tails for row in tail.read()):
            self.finished += 1
            self.on_row(row)
            if not row.strict:
                self.foreign[row.name] += 1
            if (
                row.outcome == Outcome.ANSWERED
                and row.name not in self._streams
                and to_seconds(row.ended - row.planned) > self._slow
            ):
                self.slow += 1
            if row.outcome == Outcome.LOST:
                self.lost.append(row)
            elif row.outcome == Outcome.UNREACHED:
                self.unreached.append(row)
            elif row.outcome == Outcome.ERROR:
                self.errors.append(row)
            self._note(row)
            self._note_journey(row)
        return self.finished

    @property
    def requests(self) -> Path:
        """The file with all records, once the traffic has ended."""
        return self.folder / REQUESTS_FILE

    def copy_requests(self, target: Path) -> Path:
        """Write every record so far to `target`."""
        return join_parts([self.folder / name for name in part_files(REQUESTS_FILE, self.plan.processes)], target)

    @property
    def events(self) -> Path | None:
        """The file with the events, once the traffic has ended; None if there is none."""
        path = self.folder / EVENTS_FILE
        return path if path.exists() else None

    @property
    def counts(self) -> dict[str, int]:
        """The number of requests so far by outcome."""
        failed: dict[str, int] = {
            Outcome.LOST: len(self.lost),
            Outcome.UNREACHED: len(self.unreached),
            Outcome.ERROR: len(self.errors),
        }
        return failed | {Outcome.ANSWERED: self.finished - sum(failed.values())}

    @property
    def first_planned(self) -> Microseconds:
        return self._first_planned or NOT_YET

    def settle(
        self, *, deadline: Deadline, until: float | None = None, watch: Callable[[], None] = lambda: None
    ) -> Microseconds:
        """Wait until every request planned up to `until` (seconds, by default now) has ended.

        `watch` is called meanwhile, and may raise. Returns that instant. Raises DeadlineExceeded.
        """
        cut = to_microseconds(self._clock.monotonic() if until is None else until)

        def settled() -> bool:
            self.follow()
            if self._settled_until < cut:
                watch()
                self._process.ensure_alive()
            return self._settled_until >= cut

        poll(settled, deadline=deadline, every=0.05, observed=lambda: f"{self._waiting()} requests have not ended")
        return cut

    def stop(self, *, deadline: Deadline) -> TrafficSummary:
        self.summary = self._process.stop(deadline=deadline)
        self.follow()
        return self.summary

    def kill(self) -> None:
        self._process.kill()

    def _note_journey(self, row: Row) -> None:
        """Keep a failed step until the row of its journey's first request comes: that one is written last."""
        first, mark, _ = row.id.partition(FOLLOW_UP)
        if not mark and row.id in self._failed_steps:
            self.broken_journeys.append((row, self._failed_steps.pop(row.id)))
        elif mark and row.outcome != Outcome.ANSWERED and row.name not in self._streams:
            self._failed_steps[first] = row

    def _note(self, row: Row) -> None:
        """Ids are numbered in the order of their planned instants, so an unbroken run of numbers is settled.

        What follows from an arrival (a further step, a stream taken up again) is written before the arrival itself.
        """
        if not row.strict or FOLLOW_UP in row.id:
            return
        number = int(row.id.rpartition("-")[2])
        self._planned[number] = row.planned
        if number == 0 or self._first_planned is None:
            self._first_planned = row.planned
        while self._next in self._planned:
            self._settled_until = self._planned.pop(self._next)
            self._next += 1

    def _waiting(self) -> int:
        return max(self._planned, default=self._next) - self._next
