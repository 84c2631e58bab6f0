"""One histogram with relative buckets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


_LINEAR = 2048


_EXACT_BITS = 10


def bucket(value: int) -> int:
    """The lowest value that the histogram does not tell apart from `value`."""
    if value < _LINEAR:
        return max(0, value)
    shift = value.bit_length() - 1 - _EXACT_BITS
    return value >> shift << shift


def bucket_sql(expression: str) -> str:
    """`bucket` in DuckDB SQL, for a BIGINT expression without side effects."""
    shift = f"(floor(log2({expression}))::INTEGER - {_EXACT_BITS})"
    exact = f"WHEN {expression} < {_LINEAR} THEN greatest(0, {expression})"
    return f"(CASE {exact} ELSE ({expression} >> {shift}) << {shift} END)"


@dataclass(frozen=True)
class Histogram:
    """Values counted in buckets of three significant digits, ascending by value."""

    pairs: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, values: Iterable[int]) -> Histogram:
        counted: dict[int, int] = {}
        for value in values:
            edge = bucket(value)
            counted[edge] = counted.get(edge, 0) + 1
        return cls(tuple(sorted(counted.items())))

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
        """The value at a rank counted from 1, within 0.1%; ranks beyond the ends give the ends."""
        if not self.pairs:
            raise ValueError("a histogram without values has no quantiles")
        rank = min(max(rank, 1), self.count)
        low, high = 0, len(self._ranks) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._ranks[middle] < rank else (low, middle)
        return self.pairs[low][0]

    def quantile(self, share: float) -> int:
        """The smallest recorded value that at least this share of the values does not exceed."""
        return self.at_rank(math.ceil(share * self.count - 1e-9))
