"""What the store says of the past: availability of probes, days, latency, and the error budget."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypedDict

from cakravia_verify.monitor.facts import ProbeTarget
from cakravia_verify.monitor.store.aggregate import Aggregate, aggregate_of, merged
from cakravia_verify.monitor.store.query import hours, points, series_names
from cakravia_verify.monitor.web.snapshot import Day, ErrorBudget, LatencyPoint

DAY: Final = 86_400.0
DAYS: Final = 30
LATENCY_SPAN: Final = 2 * 3600.0
# The last two hours change quickly; a day and a month do not.
LATENCY_EVERY, REST_EVERY = 15.0, 120.0
_USERS: Final = f"probe/{ProbeTarget.USERS}/"


class ProbePast(TypedDict):
    """How one endpoint did in the last day."""

    availability: float | None
    p50: float | None
    p99: float | None


@dataclass(frozen=True)
class Past:
    """Everything that the page shows of the store. `probes` has one entry for each series of probes."""

    budget: ErrorBudget
    probes: dict[str, ProbePast] = field(default_factory=dict)
    days: tuple[Day, ...] = ()
    latency: tuple[LatencyPoint, ...] = ()

    def of_probe(self, series: str) -> ProbePast:
        return self.probes.get(series) or ProbePast(availability=None, p50=None, p99=None)


class PastReader:
    """Reads the store, its slow parts rarely. A store that cannot be read now leaves what was read before."""

    def __init__(self, folder: Path, objective: float) -> None:
        self._folder = folder
        self._objective = objective
        self._past = Past(_empty_budget(objective))
        self._read_at = 0.0
        self._latency_at = 0.0

    def read(self, now: float) -> Past:
        with contextlib.suppress(sqlite3.Error):
            if not 0 <= now - self._read_at < REST_EVERY:
                self._past = self._read(now)
                self._read_at = now
                self._latency_at = 0.0
            if not 0 <= now - self._latency_at < LATENCY_EVERY:
                latency = _latency(self._folder, now)
                self._past = Past(self._past.budget, self._past.probes, self._past.days, latency)
                self._latency_at = now
        return self._past

    def _read(self, now: float) -> Past:
        names = [name for name in series_names(self._folder) if name.startswith("probe/")]
        users = [name for name in names if name.startswith(_USERS)]
        by_day: dict[int, Aggregate] = {}
        for name in users:
            for point in hours(self._folder, name, since=_midnight(now) - (DAYS - 1) * DAY, until=now):
                day = int(point.at // DAY)
                by_day[day] = merged(by_day[day], point.aggregate) if day in by_day else point.aggregate
        return Past(
            budget=self._budget(now, by_day),
            probes={name: _probe(self._folder, name, now) for name in names},
            days=tuple(_day(at, by_day) for at in range(int(now // DAY) - DAYS + 1, int(now // DAY) + 1)),
        )

    def _budget(self, now: float, by_day: dict[int, Aggregate]) -> ErrorBudget:
        """Count real requests; without any, probes through the proxy."""
        since = now - DAYS * DAY
        total, failed = (
            sum(point.aggregate.total for point in hours(self._folder, name, since=since, until=now))
            for name in ("traffic/requests", "traffic/failed")
        )
        basis = "requests of users"
        if not total:
            basis = "probes through the proxy"
            total = sum(each.count for each in by_day.values())
            failed = sum(each.bad for each in by_day.values())
        used = failed / total / (1 - self._objective) if total else None
        return ErrorBudget(self._objective, DAYS, basis, int(failed), int(total), used, ())


def _empty_budget(objective: float) -> ErrorBudget:
    return ErrorBudget(objective, DAYS, "nothing yet", 0, 0, None, ())


def _midnight(now: float) -> float:
    return now // DAY * DAY


def _day(day: int, by_day: dict[int, Aggregate]) -> Day:
    whole = by_day.get(day)
    return Day(day * DAY, 1 - whole.bad / whole.count if whole and whole.count else None)


def _probe(folder: Path, series: str, now: float) -> ProbePast:
    whole = aggregate_of(())
    for point in hours(folder, series, since=now - DAY, until=now):
        whole = merged(whole, point.aggregate)
    return ProbePast(
        availability=1 - whole.bad / whole.count if whole.count else None,
        p50=whole.quantile(0.5),
        p99=whole.quantile(0.99),
    )


def _latency(folder: Path, now: float) -> tuple[LatencyPoint, ...]:
    minutes: dict[float, Aggregate] = {}
    for name in series_names(folder):
        if name.startswith(_USERS):
            for point in points(folder, name, since=now - LATENCY_SPAN, until=now):
                there = minutes.get(point.at)
                minutes[point.at] = merged(there, point.aggregate) if there else point.aggregate
    return tuple(
        LatencyPoint(at, whole.quantile(0.5), whole.quantile(0.99), whole.bad) for at, whole in sorted(minutes.items())
    )
