"""The histogram: values counted in buckets whose width grows with the value.

Millions of latencies become at most a few thousand (value, count) pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_BITS = 10
"""Each power of two has 1 << 10 buckets: three significant digits, as in HdrHistogram."""


def bucket(value: int, *, bits: int = _BITS) -> int:
    """Return the lowest value of the bucket that `value` is in: at most a part of 1 / 2 ** bits below it."""
    shift = value.bit_length() - 1 - bits
    return value >> shift << shift if shift > 0 else max(0, value)


def bucket_sql(expression: str) -> str:
    """Return `bucket` in DuckDB SQL, for a BIGINT expression without side effects."""
    shift = f"(floor(log2({expression}))::INTEGER - {_BITS})"
    exact = f"WHEN {expression} < {2 << _BITS} THEN greatest(0, {expression})"
    return f"(CASE {exact} ELSE ({expression} >> {shift}) << {shift} END)"


@dataclass(frozen=True)
class Histogram:
    """Values counted in buckets of three significant digits, ascending by value."""

    pairs: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, values: Iterable[int]) -> Histogram:
        running = RunningHistogram()
        for value in values:
            running.add(value)
        return running.snapshot()

    @cached_property
    def count(self) -> int:
        return sum(count for _, count in self.pairs)

    @cached_property
    def _ranks(self) -> tuple[int, ...]:
        return tuple(accumulate(count for _, count in self.pairs))

    def __add__(self, other: Histogram) -> Histogram:
        counted = dict(self.pairs)
        for value, count in other.pairs:
            counted[value] = counted.get(value, 0) + count
        return Histogram(tuple(sorted(counted.items())))

    def at_rank(self, rank: int) -> int:
        """Return the value at a rank counted from 1, within 0.1%; ranks beyond the ends give the ends."""
        if not self.pairs:
            raise ValueError("a histogram without values has no quantiles")
        rank = min(max(rank, 1), self.count)
        low, high = 0, len(self._ranks) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._ranks[middle] < rank else (low, middle)
        return self.pairs[low][0]

    def quantile(self, share: float) -> int:
        """Return the smallest recorded value that at least this share of the values does not exceed."""
        return self.at_rank(math.ceil(share * self.count - 1e-9))


class RunningHistogram:
    """A histogram that takes values one by one, in bounded memory. `bits` is its precision, as in `bucket`."""

    def __init__(self, *, bits: int = _BITS) -> None:
        self._bits = bits
        self._counts: dict[int, int] = {}
        self.maximum = 0

    def add(self, value: int) -> None:
        edge = bucket(value, bits=self._bits)
        self._counts[edge] = self._counts.get(edge, 0) + 1
        if value > self.maximum:
            self.maximum = value

    @property
    def counts(self) -> dict[str, int]:
        """The counts by bucket, in the form that JSON can carry to `merge`."""
        return {str(edge): count for edge, count in self._counts.items()}

    def merge(self, counts: Mapping[str, int], *, maximum: int) -> None:
        """Add the counts of another histogram of the same precision."""
        for edge, count in counts.items():
            self._counts[int(edge)] = self._counts.get(int(edge), 0) + count
        self.maximum = max(self.maximum, maximum)

    def snapshot(self) -> Histogram:
        """Return the values so far."""
        return Histogram(tuple(sorted(self._counts.items())))

    def quantile(self, share: float) -> int:
        """Return the quantile of the values so far, 0 without values."""
        return self.snapshot().quantile(share) if self._counts else 0
