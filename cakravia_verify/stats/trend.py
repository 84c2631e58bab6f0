"""Whether a figure of one night is worse than those of earlier nights: a jump, or a slow drift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import Final

# Fewer earlier values show no trend.
LEAST: Final = 5
# The last values that a trend is looked for in.
WINDOW: Final = 30
JUMP: Final = 1.5
DRIFT: Final = 1.3
# One-sided 99% of the normal distribution.
DEVIATE: Final = 2.326


def worsening(values: Sequence[float], *, floor: float) -> str:
    """Return how the last value is worse than the earlier ones, '' if it is not.

    `values` are in the order of time, and small is good. A change of less than `floor` is none. A jump is half above
    the median before. A drift is a rise of 30% over the window (Theil and Sen), and it is no chance (Mann and Kendall).
    """
    window = list(values[-WINDOW:])
    if len(window) <= LEAST:
        return ""
    before = median(window[:-1])
    if window[-1] > JUMP * before and window[-1] - before > floor:
        return f"{window[-1]:.4g} after {before:.4g} in the median of {len(window) - 1} nights"
    slope = median((later - earlier) / (j - i) for (i, earlier), (j, later) in combinations(enumerate(window), 2))
    rise = slope * (len(window) - 1)
    start = median(window) - rise / 2
    if rise > floor and start + rise > DRIFT * start and _deviate(window) > DEVIATE:
        return f"rose from about {start:.4g} to {start + rise:.4g} in {len(window)} nights"
    return ""


def _deviate(values: Sequence[float]) -> float:
    """Return the deviate of Mann and Kendall's statistic: how sure it is that the values rise."""
    n = len(values)
    score = sum((later > earlier) - (later < earlier) for earlier, later in combinations(values, 2))
    return (score - math.copysign(1, score)) / math.sqrt(n * (n - 1) * (2 * n + 5) / 18) if score else 0.0
