"""Many samples in few numbers that can be merged: count, failures, sum, extremes and a histogram."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cakravia_verify.monitor.store.samples import MetricSample, ProbeOutcome

# Each bucket is 10% wider than the one before: a quantile is wrong by 5% at most. 255 buckets reach from 1 us to 9 h.
_GROWTH: Final = math.log(1.1)
_HIGHEST: Final = 254
_PAIR: Final = struct.Struct("<BH")
_ANSWERED: Final = frozenset({ProbeOutcome.OK, ProbeOutcome.STATUS, ProbeOutcome.UNHEALTHY, ProbeOutcome.WRONG_SLOT})


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What is kept of a minute or an hour of one series.

    `count` and `bad` are samples; the other numbers are of values, for probes of answered ones alone. `histogram` is
    empty for a gauge.
    """

    count: int
    bad: int
    valued: int
    total: float
    low: float
    high: float
    histogram: tuple[tuple[int, int], ...] = ()

    @property
    def mean(self) -> float | None:
        return self.total / self.valued if self.valued else None

    def quantile(self, share: float) -> float | None:
        """Return the value that `share` of the values do not exceed, within 5%; None without a histogram."""
        wanted = math.ceil(share * sum(number for _, number in self.histogram))
        for bucket, number in self.histogram:
            wanted -= number
            if wanted <= 0:
                return min(self.high, max(self.low, math.exp((bucket + 0.5) * _GROWTH) / 1_000_000))
        return None


def aggregate_of(samples: Iterable[MetricSample]) -> Aggregate:
    """Return the aggregate of at least one sample."""
    rows = list(samples)
    values = [each.value for each in rows if each.outcome in _ANSWERED]
    counted: dict[int, int] = {}
    for each in rows:
        if each.phases is not None and each.outcome in _ANSWERED:
            bucket = _bucket(each.value)
            counted[bucket] = counted.get(bucket, 0) + 1
    return Aggregate(
        count=len(rows),
        bad=sum(each.is_bad for each in rows),
        valued=len(values),
        total=math.fsum(values),
        low=min(values, default=0.0),
        high=max(values, default=0.0),
        histogram=tuple(sorted(counted.items())),
    )


def merged(one: Aggregate, other: Aggregate) -> Aggregate:
    """Return the aggregate of the samples of both."""
    counted = dict(one.histogram)
    for bucket, number in other.histogram:
        counted[bucket] = counted.get(bucket, 0) + number
    valued = [each for each in (one, other) if each.valued]
    return Aggregate(
        count=one.count + other.count,
        bad=one.bad + other.bad,
        valued=one.valued + other.valued,
        total=one.total + other.total,
        low=min((each.low for each in valued), default=0.0),
        high=max((each.high for each in valued), default=0.0),
        histogram=tuple(sorted(counted.items())),
    )


def packed_histogram(histogram: Iterable[tuple[int, int]]) -> bytes:
    """Return three bytes per bucket. A count above 65,535 takes several pairs."""
    parts = []
    for bucket, number in histogram:
        left = number
        while left > 0:
            parts.append(_PAIR.pack(bucket, min(left, 65_535)))
            left -= 65_535
    return b"".join(parts)


def unpacked_histogram(content: bytes) -> tuple[tuple[int, int], ...]:
    counted: dict[int, int] = {}
    for bucket, number in _PAIR.iter_unpack(content):
        counted[bucket] = counted.get(bucket, 0) + number
    return tuple(counted.items())


def _bucket(seconds: float) -> int:
    micros = max(1.0, seconds * 1_000_000)
    return min(_HIGHEST, int(math.log(micros) / _GROWTH))
