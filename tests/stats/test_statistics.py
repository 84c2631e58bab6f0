"""Quantiles within three significant digits, and exact bounds, held against other implementations."""

from __future__ import annotations

import math
import random

import duckdb
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from cakravia_verify.stats.bounds import (
    failures_in_words,
    incomplete_beta,
    lower_bound,
    normal_quantile,
    normal_tail,
    upper_bound,
)
from cakravia_verify.stats.histogram import Histogram, RunningHistogram, bucket, bucket_sql

microseconds = st.integers(min_value=0, max_value=10**10)


@given(microseconds)
def test_a_bucket_is_within_a_thousandth_below_its_value(value: int) -> None:
    assert bucket(value) <= value <= bucket(value) * 1.001


@given(st.lists(microseconds, min_size=1, max_size=200), st.floats(min_value=0.001, max_value=1))
def test_a_quantile_is_the_ranked_value(values: list[int], share: float) -> None:
    ranked = sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
    assert Histogram.of(values).quantile(share) == bucket(ranked)


@given(st.lists(microseconds, max_size=50), st.lists(microseconds, max_size=50))
def test_histograms_add_up(one: list[int], other: list[int]) -> None:
    assert Histogram.of(one) + Histogram.of(other) == Histogram.of(one + other)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 0.999, 1.0])
def test_quantiles_agree_with_hdrhistogram(share: float) -> None:
    chance = random.Random(7)
    values = [int(chance.lognormvariate(8, 1.5)) + 1 for _ in range(20_000)]
    reference = HdrHistogram(1, 3_600_000_000, 3)
    for value in values:
        reference.record_value(value)
    expected = reference.get_value_at_percentile(share * 100)
    assert Histogram.of(values).quantile(share) == pytest.approx(expected, rel=0.001)


def test_the_engine_puts_values_into_the_same_buckets() -> None:
    values = [0, 1, 2047, 2048, 2049, 4095, 4096, 10**6 + 1, 2**40 - 1, 2**40, 2**40 + 12345, -5]
    rows = duckdb.execute(f"SELECT {bucket_sql('v')} FROM (SELECT unnest(?::BIGINT[]) AS v)", [values]).fetchall()  # noqa: S608
    assert [row[0] for row in rows] == [bucket(value) for value in values]


@given(st.lists(microseconds, min_size=1), st.floats(0.01, 1.0), st.integers(4, 12))
def test_a_running_quantile_is_the_bucket_of_the_ranked_value(values: list[int], share: float, bits: int) -> None:
    running = RunningHistogram(bits=bits)
    for value in values:
        running.add(value)
    ranked = sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
    assert running.quantile(share) == bucket(ranked, bits=bits)
    assert running.quantile(share) <= ranked <= running.quantile(share) * (1 + 1 / 2**bits)
    assert running.maximum == max(values)


@given(st.lists(microseconds), st.lists(microseconds))
def test_merged_histograms_are_the_histogram_of_all_values(one: list[int], other: list[int]) -> None:
    merged, beside = RunningHistogram(), RunningHistogram()
    for value in one:
        merged.add(value)
    for value in other:
        beside.add(value)
    merged.merge(beside.counts, maximum=beside.maximum)
    assert (merged.snapshot(), merged.maximum) == (Histogram.of(one + other), max(one + other, default=0))


def test_a_running_histogram_without_values_has_quantiles_of_zero() -> None:
    assert RunningHistogram().quantile(0.99) == 0


def test_no_value_has_no_quantile() -> None:
    with pytest.raises(ValueError, match="without values"):
        Histogram().quantile(0.5)


@pytest.mark.parametrize(("failures", "total"), [(0, 1), (0, 30_124), (1, 10), (5, 1_000), (37, 10**6), (999, 1_000)])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_bounds_are_those_of_clopper_and_pearson(failures: int, total: int, confidence: float) -> None:
    from scipy import stats

    expected = stats.beta.ppf(confidence, failures + 1, total - failures)
    assert upper_bound(failures, total, confidence=confidence) == pytest.approx(expected, rel=1e-6)
    below = stats.beta.ppf(1 - confidence, failures, total - failures + 1) if failures else 0.0
    assert lower_bound(failures, total, confidence=confidence) == pytest.approx(below, rel=1e-6)


def test_without_observation_nothing_is_known() -> None:
    assert upper_bound(0, 0) == 1.0
    assert failures_in_words(0, 0) == "0 of 0: nothing was measured"


def test_more_failures_than_requests_cannot_be() -> None:
    with pytest.raises(ValueError, match="cannot be"):
        upper_bound(3, 2)


@given(
    st.floats(min_value=0, max_value=1),
    st.floats(min_value=0.5, max_value=1e5),
    st.floats(min_value=0.5, max_value=1e5),
)
def test_the_incomplete_beta_function_is_scipys(x: float, a: float, b: float) -> None:
    from scipy.special import betainc

    assert incomplete_beta(x, a, b) == pytest.approx(float(betainc(a, b, x)), rel=1e-6, abs=1e-9)


@given(st.floats(min_value=0.0001, max_value=0.9999))
def test_normal_quantile_and_tail_undo_each_other(share: float) -> None:
    assert 1 - normal_tail(normal_quantile(share)) == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize(
    ("failures", "total", "words"),
    [
        (0, 30_124, "0 of 30,124, < 0.010% at 95%"),
        (0, 1, "0 of 1, < 95% at 95%"),
        (3, 1_000, "3 of 1,000, < 0.78% at 95%"),
        (9, 100, "9 of 100, < 16% at 95%"),
        (10, 100, "10 of 100"),
        (67, 100, "67 of 100"),
        (5, 5, "5 of 5"),
    ],
)
def test_failures_are_told_with_their_bound(failures: int, total: int, words: str) -> None:
    assert failures_in_words(failures, total) == words


@given(st.integers(0, 100), st.integers(0, 10**6))
def test_the_bound_in_words_is_never_below_the_exact_one(failures: int, more: int) -> None:
    total = failures + more
    if failures < total / 10:
        told = float(failures_in_words(failures, total).split("< ")[1].split("%")[0]) / 100
        exact = upper_bound(failures, total)
        assert exact * (1 - 1e-9) <= told <= exact * 1.1 + 1e-12
