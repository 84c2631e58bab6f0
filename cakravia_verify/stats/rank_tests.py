"""The statistical tests of a judgement, over histograms: milliseconds for a million values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from cakravia_verify.stats.bounds import lower_bound, normal_tail, upper_bound
from cakravia_verify.stats.histogram import Histogram


def fisher_exact(failures: int, total: int, other_failures: int, other_total: int) -> float:
    """Return the probability of at least this many failures on the first side if both sides were the same (one-sided).

    Fisher's exact test (The Design of Experiments, 1935): the hypergeometric tail. Boschloo's is a little sharper, but
    has to search a nuisance parameter over all tables, which a million requests forbid.
    """
    both, everything = failures + other_failures, total + other_total
    whole = _log_choose(everything, both)
    terms = (
        math.exp(_log_choose(total, k) + _log_choose(other_total, both - k) - whole)
        for k in range(max(failures, both - other_total), min(both, total) + 1)
    )
    return min(1.0, math.fsum(terms))


def rate_difference(failures: int, total: int, other_failures: int, other_total: int, *, confidence: float) -> float:
    """Return the upper bound of (first rate - other rate): Newcombe's hybrid (Stat. Med. 1998) of the exact bounds."""
    rate, other = failures / total, other_failures / other_total
    above = upper_bound(failures, total, confidence=confidence) - rate
    below = other - lower_bound(other_failures, other_total, confidence=confidence)
    return rate - other + math.hypot(above, below)


@dataclass(frozen=True)
class RankTest:
    """Mann and Whitney's test (1947) of candidate against control, with tie correction, for any ratio between them."""

    control: Histogram
    candidate: Histogram

    def superiority(self, ratio: float = 1.0) -> float:
        """Return the probability that a candidate's value exceeds `ratio` times a control's, ties counted half."""
        won = tied = below = 0
        pairs, position = self.control.pairs, 0
        for value, count in self.candidate.pairs:
            while position < len(pairs) and pairs[position][0] * ratio < value:
                below += pairs[position][1]
                position += 1
            won += count * below
            if position < len(pairs) and pairs[position][0] * ratio == value:
                tied += count * pairs[position][1]
        return (won + tied / 2) / (self.control.count * self.candidate.count)

    def deviate(self, ratio: float = 1.0) -> float:
        """Return by how many standard errors the candidate lies above `ratio` times the control."""
        spread = self._error if ratio == 1.0 else self._untied_error
        return (self.superiority(ratio) - 0.5) / spread if spread > 0 else 0.0

    @property
    def p_slower(self) -> float:
        """The one-sided p-value: small if the candidate is slower."""
        return normal_tail(self.deviate())

    @cached_property
    def cliffs_delta(self) -> float:
        """P(candidate slower) - P(candidate faster), from -1 to 1 (Cliff 1993)."""
        return 2 * self.superiority() - 1

    @cached_property
    def shift(self) -> float:
        """How many times slower the candidate is: Hodges and Lehmann's estimate (1963) on logarithms, within 0.05%."""
        low, high = -14.0, 14.0
        while high - low > 0.0005:
            middle = (low + high) / 2
            low, high = (middle, high) if self.superiority(math.exp(middle)) > 0.5 else (low, middle)
        return math.exp((low + high) / 2)

    @property
    def _untied_error(self) -> float:
        n, m = self.control.count, self.candidate.count
        return math.sqrt((n + m + 1) / (12 * n * m))

    @cached_property
    def _error(self) -> float:
        total = self.control.count + self.candidate.count
        ties = sum(count**3 - count for _, count in (self.control + self.candidate).pairs)
        return self._untied_error * math.sqrt(max(0.0, 1 - ties / (total**3 - total)))


@dataclass(frozen=True)
class Ratio:
    """Candidate over control with confidence bounds, and the control's own value."""

    ratio: float
    low: float
    high: float
    control: float


def quantile_ratio(control: Histogram, candidate: Histogram, *, share: float, deviate: float) -> Ratio:
    """Return the ratio of one quantile, bounded by order statistics, for any distribution. Infinite if samples end.

    Each side gets the part of the deviate that its part of the variance is worth, so that both together have the level.
    """
    n, m = control.count, candidate.count
    below, value, above = _order_bounds(control, share, deviate * math.sqrt(m / (n + m)))
    other_below, other_value, other_above = _order_bounds(candidate, share, deviate * math.sqrt(n / (n + m)))
    return Ratio(
        ratio=other_value / max(1.0, value),
        low=other_below / max(1.0, above),
        high=other_above / max(1.0, below),
        control=value,
    )


def trimmed_ratio(control: Histogram, candidate: Histogram, *, deviate: float, share: float = 0.99) -> Ratio:
    """Return the ratio of means; values above the quantile of both together count as that quantile.

    The cut keeps a handful of extreme values from deciding; bounds by the delta method on logs.
    """
    cut = (control + candidate).quantile(share)
    mean, error = _moments(control, cut)
    other_mean, other_error = _moments(candidate, cut)
    spread = math.exp(deviate * math.hypot(error / mean, other_error / other_mean))
    ratio = other_mean / mean
    return Ratio(ratio=ratio, low=ratio / spread, high=ratio * spread, control=mean)


def _order_bounds(values: Histogram, share: float, deviate: float) -> tuple[float, float, float]:
    count = values.count
    spread = deviate * math.sqrt(count * share * (1 - share))
    low, high = math.floor(count * share - spread), math.ceil(count * share + spread) + 1
    below = float(values.at_rank(low)) if low >= 1 else 0.0
    above = float(values.at_rank(high)) if high <= count else math.inf
    return below, float(values.quantile(share)), above


def _moments(values: Histogram, cut: int) -> tuple[float, float]:
    """Return the mean of the values cut at the top, at least 1, and its standard error."""
    count = values.count
    mean = sum(min(value, cut) * number for value, number in values.pairs) / count
    variance = sum((min(value, cut) - mean) ** 2 * number for value, number in values.pairs) / count
    return max(1.0, mean), math.sqrt(variance / count)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
