"""The open model: requests are planned by the clock, never by the answers to earlier ones."""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from cakravia_verify.system.clock import Microseconds, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cakravia_verify.traffic.plan.plan import TrafficPlan


@dataclass(frozen=True, slots=True)
class Arrival:
    """One planned request: its number in the run, its instant and its entry in the mix."""

    number: int
    planned: Microseconds
    entry: int


SHORTEST_RAMP = 1e-9
"""Seconds; points closer together than this are a step."""
SLOWEST_RATE = 1e-6
"""Requests per second; fewer than this, one in eleven days, are none."""


class Curve:
    """How the rate goes over time: straight lines between (second, rate) points, the last rate held for ever.

    Two points of the same second are a step. `instant_of` and `count_by` are inverse to each other: seconds from the
    start, and requests planned until then.
    """

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        points = [(at, rate if rate >= SLOWEST_RATE else 0.0) for at, rate in points]
        first = points[0]
        self._points = [(0.0, first[1]), *points] if first[0] > 0 else points
        self._counts = [0.0]
        for (since, rate), (until, next_rate) in pairwise(self._points):
            self._counts.append(self._counts[-1] + (until - since) * (rate + next_rate) / 2)

    def count_by(self, seconds: float) -> float:
        index = max(0, bisect_right(self._points, (seconds, math.inf)) - 1)
        (since, rate), slope = self._points[index], self._slope(index)
        elapsed = max(0.0, seconds - since)
        return self._counts[index] + elapsed * (rate + slope * elapsed / 2)

    def instant_of(self, count: float) -> float:
        # Where the rate is zero several points share a count: the request comes when the last of them is over.
        index = max(0, bisect_right(self._counts, count) - 1)
        (since, rate), slope, more = self._points[index], self._slope(index), count - self._counts[index]
        # The stable form of the quadratic's root; for a slope of zero it is more / rate.
        root = rate + math.sqrt(max(0.0, rate * rate + 2 * slope * more))
        return since + (2 * more / root if root > 0 else 0.0)

    def _slope(self, index: int) -> float:
        if index + 1 >= len(self._points):
            return 0.0
        (since, rate), (until, next_rate) = self._points[index], self._points[index + 1]
        return (next_rate - rate) / (until - since) if until - since > SHORTEST_RAMP else 0.0


def curve_of(plan: TrafficPlan) -> Curve:
    return Curve(plan.curve or ((0.0, plan.rate),))


def arrivals(plan: TrafficPlan, *, start: Microseconds, part: int = 0, parts: int = 1) -> Iterator[Arrival]:
    """Every arrival of the plan in order, without end, beginning at `start`.

    The same seed gives the same instants and the same entries. The entries are spread evenly: each comes once in every
    stretch as long as its share requires, at a random place in it. `constant` keeps the exact distance, without drift;
    `poisson` draws exponential distances (a Poisson process, as many independent users make), stretched along the
    curve. Of several `parts` each takes every so many-th arrival, so that together they are the whole.
    """
    distances = random.Random(f"{plan.seed} instants")  # noqa: S311 - a seeded load, not a secret
    entries = _entries(plan)
    is_poisson = plan.arrivals == "poisson"
    instant_of = curve_of(plan).instant_of
    count = 0.0
    number = 0
    while True:
        entry = next(entries)
        if number % parts == part:
            yield Arrival(number, start + to_microseconds(instant_of(count)), entry)
        number += 1
        count = count + distances.expovariate(1.0) if is_poisson else float(number)


@lru_cache(maxsize=8)
def planned_within(plan: TrafficPlan, seconds: float) -> int:
    """How many arrivals the plan has in its first `seconds`."""
    if seconds <= 0:
        return 0
    if plan.arrivals == "constant":
        return math.ceil(curve_of(plan).count_by(seconds))
    until = to_microseconds(seconds)
    return next(arrival.number for arrival in arrivals(plan, start=Microseconds(0)) if arrival.planned >= until)


def shares(plan: TrafficPlan) -> tuple[float, ...]:
    """Return each entry's share of all arrivals: that of its weight, raised for all if one is below the least share."""
    total = sum(entry.weight for entry in plan.mix)
    by_weight = tuple(entry.weight / total for entry in plan.mix)
    least = min(plan.least_share, 1 / len(by_weight))
    if min(by_weight) >= least:
        return by_weight
    return tuple(least + (1 - len(by_weight) * least) * share for share in by_weight)


def _entries(plan: TrafficPlan) -> Iterator[int]:
    """Yield the entry of each arrival, without end. In every stretch an entry comes as often as its share says."""
    choices = random.Random(f"{plan.seed} entries")  # noqa: S311 - a seeded load, not a secret
    distances = [1 / share for share in shares(plan)]
    # When each entry is due next, in arrivals; and how often it came.
    due = [(distance * choices.random(), index, 0) for index, distance in enumerate(distances)]
    heapq.heapify(due)
    while True:
        _, index, times = due[0]
        yield index
        heapq.heapreplace(due, (distances[index] * (times + 1 + choices.random()), index, times + 1))
