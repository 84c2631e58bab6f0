"""Error-budget burn with exact bounds: a small site fires on proof, not on one failed request of three."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cakravia_verify.stats.bounds import lower_bound

CONFIDENCE: Final = 0.99


@dataclass(frozen=True)
class BurnRate:
    """A burn of `factor` times the budget, shown by a long and a short window (seconds). The short one ends it."""

    factor: float
    long: int
    short: int


# The usual pairs (Google SRE workbook, chapter 5): 2% of a 30-day budget in an hour, 5% in six hours.
FAST: Final = BurnRate(14.4, 3600, 300)
SLOW: Final = BurnRate(6.0, 21_600, 1800)
WINDOWS: Final = (FAST.short, SLOW.short, FAST.long, SLOW.long)


def is_burning(windows: Mapping[int, tuple[int, int]], rate: BurnRate, *, objective: float) -> bool:
    """Whether both windows prove, at 99% each, that failures burn the budget at this rate or faster."""
    limit = min(1.0, rate.factor * (1.0 - objective))
    return all(_proves(windows.get(length, (0, 0)), limit) for length in (rate.long, rate.short))


def _proves(counts: tuple[int, int], limit: float) -> bool:
    failed, total = counts
    return total > 0 and failed > limit * total and lower_bound(failed, total, confidence=CONFIDENCE) > limit


def in_words(windows: Mapping[int, tuple[int, int]], rate: BurnRate, *, objective: float) -> str:
    """Return the counts of both windows, as in "9 of 200 requests failed in 5 min, 30 of 2,400 in 60 min"."""
    parts = []
    for length in (rate.short, rate.long):
        failed, total = windows.get(length, (0, 0))
        parts.append(f"{failed:,} of {total:,} requests failed in {length // 60} min")
    return f"{', '.join(parts)}; the objective is {objective:.3%}"
