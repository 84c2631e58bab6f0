"""The open model: requests are planned by the clock, never by the answers to earlier ones."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cakravia_verify.traffic.plan import TrafficPlan


@dataclass(frozen=True, slots=True)
class Arrival:
    """One planned request: its number in the run, its instant in microseconds and its entry in the mix."""

    number: int
    planned: int
    entry: int


def arrivals(plan: TrafficPlan, *, start: int) -> Iterator[Arrival]:
    """Every arrival of the plan in order, without end, beginning at `start` (microseconds).

    The same seed gives the same instants and the same entries. `constant` keeps the exact distance, without drift;
    `poisson` draws exponential distances (a Poisson process, as many independent users make).
    """
    distances = random.Random(f"{plan.seed} instants")  # noqa: S311 - a seeded load, not a secret
    choices = random.Random(f"{plan.seed} entries")  # noqa: S311
    bounds = list(accumulate(entry.weight for entry in plan.mix))
    total = bounds[-1]
    is_poisson = plan.arrivals == "poisson"
    period = 1e6 / plan.rate
    offset = 0.0
    number = 0
    while True:
        entry = _first_above(bounds, choices.random() * total)
        yield Arrival(number, start + round(offset), entry)
        number += 1
        offset = offset + distances.expovariate(1.0) * period if is_poisson else number * period


def _first_above(bounds: list[float], point: float) -> int:
    for index, bound in enumerate(bounds):
        if point < bound:
            return index
    return len(bounds) - 1


class Spread:
    """Quantiles of microseconds in constant memory, each within 1.6% of the true one (64 steps per power of two)."""

    _STEPS = 6

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.maximum = 0

    def add(self, value: int) -> None:
        value = max(0, value)
        shift = max(0, value.bit_length() - self._STEPS - 1)
        key = (shift << self._STEPS) + (value >> shift)
        self._counts[key] = self._counts.get(key, 0) + 1
        self.count += 1
        self.maximum = max(self.maximum, value)

    def quantile(self, share: float) -> int:
        """The smallest value that at least `share` of all do not exceed; 0 without values."""
        needed = max(1, share * self.count)
        seen = 0
        for key in sorted(self._counts):
            seen += self._counts[key]
            if seen >= needed:
                return min(self.maximum, self._highest(key))
        return 0

    def _highest(self, key: int) -> int:
        # Keys below 2 << _STEPS are the values themselves; above, each power of two has 1 << _STEPS keys of its own.
        shift = max(0, (key >> self._STEPS) - 1)
        return (((key - (shift << self._STEPS)) + 1) << shift) - 1
