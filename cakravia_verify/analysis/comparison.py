"""Is the candidate as good as the previous slot on the same traffic? PASS, FAIL or INCONCLUSIVE, with numbers.

With enough requests there is always some difference. So FAIL needs proof that the candidate is worse by more than the
tolerance, and PASS needs proof that it is not. Without either proof the result is INCONCLUSIVE. docs/COMPARISON.md has
the reasons, and the error rates on a synthetic suite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from cakravia_verify.analysis.windows import window
from cakravia_verify.stats.bounds import normal_quantile
from cakravia_verify.stats.histogram import Histogram
from cakravia_verify.stats.rank_tests import RankTest, fisher_exact, quantile_ratio, rate_difference, trimmed_ratio
from cakravia_verify.system.clock import Microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cakravia_verify.traffic.ledger.ledger import Ledger


class Ruling(StrEnum):
    """The result of a comparison."""

    PASS = "PASS"  # noqa: S105 - a ruling, not a password
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True)
class Sample:
    """The requests of one slot, the failed ones, and the latencies of its good answers in microseconds."""

    requests: int
    failures: int
    latency: Histogram


@dataclass(frozen=True)
class Tolerance:
    """How much worse the candidate may be. Ratios are candidate over previous slot.

    `slack` microseconds are allowed on top of every latency ratio, or fast endpoints would fail for nothing.
    `added_failures` is a difference of failure rates. `error` bounds each wrong proof, one-sided.
    """

    shift: float = 1.10
    mean: float = 1.15
    p95: float = 1.30
    p99: float = 2.00
    slack: int = 500
    added_failures: float = 0.005
    minimum: int = 1_000
    error: float = 0.005


GROSS = Tolerance(shift=3.0, mean=math.inf, p95=math.inf, p99=math.inf, slack=10_000, added_failures=0.05, minimum=200)
"""More than a busy machine can make of one and the same version, measured before and after the switch.

Other users of a machine can make a version twice as slow, and a stop of one second can move the mean of a bake to any
value. benchmarks/judgement_suite.py calibrates these numbers."""

FEW = replace(GROSS, shift=5.0, added_failures=0.25, minimum=20, error=0.001)
"""The gross limits for fewer requests than GROSS needs. A wave of load may cover all of so few, so more must differ."""


@dataclass(frozen=True)
class MetricResult:
    """The result for one metric, with the sentence that explains it."""

    what: str
    ruling: Ruling
    words: str


@dataclass(frozen=True)
class Comparison:
    """The result for all metrics: FAIL if one fails, PASS only if all pass."""

    ruling: Ruling
    findings: tuple[MetricResult, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The sentences of the metrics that have the overall ruling."""
        return tuple(finding.words for finding in self.findings if finding.ruling is self.ruling)


def sample(
    ledger: Ledger,
    slot: str,
    *,
    start: Microseconds,
    end: Microseconds,
    warm_up: Microseconds,
    without: Sequence[str] = (),
) -> Sample:
    """Return how a slot handled the requests that were planned in [start + warm_up, end).

    A failed request belongs to the slot that any record names. A request without a slot is in no sample; the loss
    budget covers it. Requests named in `without` are counted, but their latency is left out.
    """
    part = window(ledger, slot, start=start + warm_up, end=end, slot=slot, without=without)
    return Sample(part.counts.total, part.counts.failed, part.latency)


def compare(control: Sample, candidate: Sample, tolerance: Tolerance = Tolerance()) -> Comparison:
    """Compare the candidate with the previous slot, which is the control."""
    findings = tuple(_results(control, candidate, tolerance))
    rulings = {finding.ruling for finding in findings}
    if Ruling.INCONCLUSIVE in rulings and findings[0].what == "samples":
        ruling = Ruling.INCONCLUSIVE
    elif Ruling.FAIL in rulings:
        ruling = Ruling.FAIL
    else:
        ruling = Ruling.INCONCLUSIVE if Ruling.INCONCLUSIVE in rulings else Ruling.PASS
    return Comparison(ruling, findings)


def compare_gross(control: Sample, candidate: Sample) -> Comparison:
    """Compare with the wide tolerance. With few requests on a side a larger difference is needed."""
    number = min(control.requests, candidate.requests)
    return compare(control, candidate, GROSS if number >= GROSS.minimum else FEW)


def _results(control: Sample, candidate: Sample, tolerance: Tolerance) -> Iterator[MetricResult]:
    for name, one in (("previous slot", control), ("candidate", candidate)):
        if one.requests < tolerance.minimum:
            yield MetricResult(
                "samples",
                Ruling.INCONCLUSIVE,
                f"the {name} answered for {one.requests:,} requests; at least {tolerance.minimum:,} are needed",
            )
            return
    yield _failures(control, candidate, tolerance)
    if min(control.latency.count, candidate.latency.count) < tolerance.minimum:
        yield MetricResult(
            "latency",
            Ruling.INCONCLUSIVE,
            f"{min(control.latency.count, candidate.latency.count):,} good answers on one side; "
            f"latency needs {tolerance.minimum:,}",
        )
        return
    yield _shift(control.latency, candidate.latency, tolerance)
    yield _mean(control.latency, candidate.latency, tolerance)
    yield _tail(control.latency, candidate.latency, tolerance, share=0.95, limit=tolerance.p95)
    yield _tail(control.latency, candidate.latency, tolerance, share=0.99, limit=tolerance.p99)


def _failures(control: Sample, candidate: Sample, tolerance: Tolerance) -> MetricResult:
    p = fisher_exact(candidate.failures, candidate.requests, control.failures, control.requests)
    added = rate_difference(
        candidate.failures, candidate.requests, control.failures, control.requests, confidence=1 - tolerance.error
    )
    before = f"{control.failures:,} of {control.requests:,}"
    facts = f"failures {candidate.failures:,} of {candidate.requests:,} against {before}"
    if p < tolerance.error:
        return MetricResult(
            "failures", Ruling.FAIL, f"{facts}: more than chance explains (Fisher's exact test, p = {p:.2g})"
        )
    if added <= tolerance.added_failures:
        return MetricResult(
            "failures", Ruling.PASS, f"{facts}: at most {added:.2%} more, {tolerance.added_failures:.2%} allowed"
        )
    return MetricResult(
        "failures",
        Ruling.INCONCLUSIVE,
        f"{facts}: up to {added:.2%} more cannot be excluded, {tolerance.added_failures:.2%} allowed",
    )


def _shift(control: Histogram, candidate: Histogram, tolerance: Tolerance) -> MetricResult:
    test = RankTest(control, candidate)
    limit = tolerance.shift + tolerance.slack / max(1, control.quantile(0.5))
    deviate = normal_quantile(1 - tolerance.error)
    facts = (
        f"latency shift x{test.shift:.3f}, limit x{limit:.3f} (Mann-Whitney p = {test.p_slower:.2g}, "
        f"Cliff's delta {test.cliffs_delta:+.3f})"
    )
    at_limit = test.deviate(limit)
    if at_limit >= deviate:
        return MetricResult("shift", Ruling.FAIL, f"{facts}: slower beyond the limit")
    if at_limit <= -deviate:
        return MetricResult("shift", Ruling.PASS, f"{facts}: within the limit")
    return MetricResult("shift", Ruling.INCONCLUSIVE, f"{facts}: too close to the limit for this many requests")


def _mean(control: Histogram, candidate: Histogram, tolerance: Tolerance) -> MetricResult:
    ratio = trimmed_ratio(control, candidate, deviate=normal_quantile(1 - tolerance.error))
    limit = tolerance.mean + tolerance.slack / max(1.0, ratio.control)
    return _by_bounds("mean", "mean latency (slowest 1% cut to p99)", ratio.low, ratio.high, ratio.ratio, limit)


def _tail(
    control: Histogram, candidate: Histogram, tolerance: Tolerance, *, share: float, limit: float
) -> MetricResult:
    ratio = quantile_ratio(control, candidate, share=share, deviate=normal_quantile(1 - tolerance.error))
    limit += tolerance.slack / max(1.0, ratio.control)
    return _by_bounds(f"p{share * 100:g}", f"p{share * 100:g}", ratio.low, ratio.high, ratio.ratio, limit)


def _by_bounds(what: str, name: str, low: float, high: float, ratio: float, limit: float) -> MetricResult:
    above = f"x{high:.2f}" if math.isfinite(high) else "any"
    facts = f"{name} x{ratio:.2f} (x{low:.2f} to {above}), limit x{limit:.2f}"
    if low > limit:
        return MetricResult(what, Ruling.FAIL, f"{facts}: slower beyond the limit")
    if high <= limit:
        return MetricResult(what, Ruling.PASS, f"{facts}: within the limit")
    return MetricResult(what, Ruling.INCONCLUSIVE, f"{facts}: too close to the limit for this many requests")
