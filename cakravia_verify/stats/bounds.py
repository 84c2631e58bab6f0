"""Exact bounds for the rate of rare failures, and the normal distribution."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SHARE_WITHOUT_BOUND: Final = 0.1


def upper_bound(failures: int, total: int, *, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound of a failure rate (Clopper and Pearson, Biometrika 1934).

    For 0 failures of n at 95% it is 1 - 0.05 ** (1 / n). Without observations it is 1.0.
    """
    if not 0 <= failures <= total:
        raise ValueError(f"{failures} failures of {total} requests cannot be")
    if failures == total:
        return 1.0
    if failures == 0:
        return -math.expm1(math.log1p(-confidence) / total)
    return _root(lambda p: incomplete_beta(p, failures + 1, total - failures), confidence)


def lower_bound(failures: int, total: int, *, confidence: float = 0.95) -> float:
    """Return the exact one-sided lower bound of a failure rate; 0.0 if nothing failed."""
    return 1.0 - upper_bound(total - failures, total, confidence=confidence) if failures else 0.0


def failures_in_words(failures: int, total: int, *, confidence: float = 0.95) -> str:
    """Return a count with its upper bound, as "0 of 30,124, < 0.010% at 95%"; the bound is rounded up.

    If a tenth or more failed, no bound is of interest: "67 of 100".
    """
    if total == 0:
        return "0 of 0: nothing was measured"
    if failures >= SHARE_WITHOUT_BOUND * total:
        return f"{failures:,} of {total:,}"
    percent = 100 * upper_bound(failures, total, confidence=confidence)
    digits = max(0, 1 - math.floor(math.log10(percent)))
    rounded = math.ceil(percent * 10**digits - 1e-9) / 10**digits
    digits = max(0, 1 - math.floor(math.log10(rounded) + 1e-9))
    return f"{failures:,} of {total:,}, < {rounded:.{digits}f}% at {confidence * 100:g}%"


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), by Lentz's continued fraction (DLMF 8.17.22)."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(1.0 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    tiny = 1e-300
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1), tiny)
    fraction = d
    # The number of terms grows with sqrt(max(a, b)): 20,000 reach far beyond a thousand million requests.
    for m in range(1, 20_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / _away_from_zero(1.0 + even * d, tiny)
        c = _away_from_zero(1.0 + even / c, tiny)
        fraction *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1.0 / _away_from_zero(1.0 + odd * d, tiny)
        c = _away_from_zero(1.0 + odd / c, tiny)
        step = d * c
        fraction *= step
        if abs(step - 1.0) < 1e-14:
            break
    return front * fraction


def normal_tail(deviate: float) -> float:
    """Return the share of the standard normal distribution above `deviate`, exact for small shares as well."""
    return math.erfc(deviate / math.sqrt(2)) / 2


def normal_quantile(share: float) -> float:
    """Return the standard normal deviate that this share of the distribution does not exceed."""
    return NormalDist().inv_cdf(share)


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny


def _root(function: Callable[[float], float], target: float) -> float:
    """Return the point at which a rising function of [0, 1] reaches `target`, from above, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if function(middle) < target else (low, middle)
    return high
