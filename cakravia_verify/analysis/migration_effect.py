"""What a migration does to the version that users are on, compared with the same version right before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cakravia_verify.analysis.comparison import GROSS, Ruling, Sample, compare
from cakravia_verify.stats.histogram import RunningHistogram
from cakravia_verify.stats.rank_tests import fisher_exact
from cakravia_verify.system.clock import Microseconds, to_seconds

if TYPE_CHECKING:
    from cakravia_verify.traffic.records.rows import Row

# A slow answer took three times as long as the slowest per cent of the control sample, and a second more: other users
# of a machine can stop it for a second.
SLOW_FACTOR: Final = 3
SLOW_SLACK: Final = 1_000_000
# More slow answers than this share of the control sample are too many.
SLOW_SHARE: Final = 0.01
# Fewer answers of one kind of request have no quantile; all kinds together then have.
LEAST_OF_A_KIND: Final = 20
CHANCE: Final = 0.005


@dataclass
class Phase:
    """The requests of one phase, by the name of the request. Latencies in microseconds from the planned instant."""

    requests: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    slow: Counter[str] = field(default_factory=Counter)
    first_bad: dict[str, str] = field(default_factory=dict)
    all_latencies: RunningHistogram = field(default_factory=RunningHistogram)
    latencies: dict[str, RunningHistogram] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.requests.total()

    @property
    def failures(self) -> Counter[str]:
        return self.lost + self.errors

    @property
    def sample(self) -> Sample:
        return Sample(self.total, self.failures.total(), self.all_latencies.snapshot())

    def slow_limit(self, name: str) -> int:
        """Return from how many microseconds on an answer is slow, measured by this phase."""
        own = self.latencies.get(name)
        latencies = own if own and own.snapshot().count >= LEAST_OF_A_KIND else self.all_latencies
        return SLOW_FACTOR * latencies.quantile(0.99) + SLOW_SLACK


class MigrationEffect:
    """Three phases: before a migration (the control sample), while it runs, and after it.

    `lost` and `errors` are the budget. The names in `streams` have no latency.
    """

    def __init__(self, *, lost: int, errors: float, streams: tuple[str, ...] = ()) -> None:
        self.control, self.during, self.after = Phase(), Phase(), Phase()
        self._budget_lost, self._budget_errors = lost, errors
        self._streams = frozenset(streams)
        self._began: int | None = None
        self._ended: int | None = None
        self._limits: dict[str, int] = {}

    def begin(self, at: int) -> None:
        """The migration begins at this instant of CLOCK_MONOTONIC, in microseconds."""
        self._began = at

    def end(self, at: int) -> None:
        """The migration has ended at this instant."""
        self._ended = at

    def count(self, row: Row) -> None:
        """Count one request that came to its end."""
        phase = self._phase_of(row)
        phase.requests[row.name] += 1
        if row.outcome in ("lost", "unreached"):
            phase.lost[row.name] += 1
        elif row.outcome == "error":
            phase.errors[row.name] += 1
        if row.outcome != "answered":
            phase.first_bad.setdefault(row.name, row.detail or f"status {row.status}")
        elif row.name not in self._streams:
            self._count_latency(phase, row)

    def _phase_of(self, row: Row) -> Phase:
        ended = int(row.ended)
        if self._began is None or ended <= self._began:
            return self.control
        return self.during if self._ended is None or ended <= self._ended else self.after

    def _count_latency(self, phase: Phase, row: Row) -> None:
        latency = int(row.ended - row.planned)
        phase.all_latencies.add(latency)
        if phase is self.control:
            phase.latencies.setdefault(row.name, RunningHistogram()).add(latency)
            return
        limit = self._limits.get(row.name)
        if limit is None:
            limit = self._limits[row.name] = self.control.slow_limit(row.name)
        phase.slow[row.name] += latency > limit

    def harm(self) -> str:
        """Return what users suffer since the migration began and did not before; empty if nothing."""
        return next(self._failures(), "") or next(self._slow(), "")

    def lasting_harm(self) -> str:
        """Return `harm`, or what makes all answers slower, while the migration ran or after it."""
        return self.harm() or next(self._slower_on_the_whole(), "")

    def _failures(self) -> Iterator[str]:
        requests = self.during.requests + self.after.requests
        lost, errors = self.during.lost + self.after.lost, self.during.errors + self.after.errors
        new_lost = sum(count for name, count in lost.items() if not self.control.failures[name])
        new_errors = sum(count for name, count in errors.items() if not self.control.failures[name])
        if new_lost > self._budget_lost:
            yield f"{new_lost} requests lost, none before: {self._example(lost)}"
        if new_errors > self._budget_errors * requests.total():
            yield f"{new_errors} error answers, none before: {self._example(errors)}"
        for name, count in (lost + errors).items():
            before, of = self.control.failures[name], self.control.requests[name]
            if before and fisher_exact(count, requests[name], before, of) < CHANCE:
                yield f"{count} of {requests[name]} requests '{name}' failed, {before} of {of} before"

    def _example(self, failed: Counter[str]) -> str:
        name = next(name for name in failed if not self.control.failures[name])
        return f"'{name}': {self.during.first_bad.get(name) or self.after.first_bad.get(name)}"

    def _slow(self) -> Iterator[str]:
        slow = self.during.slow + self.after.slow
        if slow.total() > SLOW_SHARE * self.control.total:
            name = slow.most_common(1)[0][0]
            limit = to_seconds(Microseconds(self._limits[name]))
            yield f"{slow.total()} answers took too long, most of them '{name}' (more than {limit:.1f} s)"

    def _slower_on_the_whole(self) -> Iterator[str]:
        for when, phase in (("while it ran", self.during), ("after it", self.after)):
            comparison = compare(self.control.sample, phase.sample, GROSS)
            if comparison.ruling is Ruling.FAIL:
                yield f"{when}: {'; '.join(comparison.reasons)}"
