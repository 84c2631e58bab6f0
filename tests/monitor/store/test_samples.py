"""What goes into a block or an aggregate comes out again."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cakravia_verify.monitor.store.aggregate import (
    aggregate_of,
    merged,
    packed_histogram,
    unpacked_histogram,
)
from cakravia_verify.monitor.store.samples import (
    LONGEST_BLOCK,
    MetricSample,
    Phases,
    ProbeOutcome,
    blocks,
    packed,
    unpacked,
)

START = 1_700_000_000.0
SECONDS = st.floats(0, 4000, allow_nan=False)
PHASES = st.builds(Phases, dns=SECONDS, connect=SECONDS, tls=SECONDS, first_byte=SECONDS)
PROBES = st.builds(
    MetricSample,
    series=st.just("probe/blue/health"),
    at=st.floats(START, START + 10_000),
    value=SECONDS,
    outcome=st.sampled_from(ProbeOutcome),
    status=st.integers(0, 999),
    phases=PHASES,
)


@given(st.lists(PROBES, min_size=1, max_size=60))
def test_probes_come_back_from_their_blocks(samples: list[MetricSample]) -> None:
    back = [
        each for run in blocks(samples) for each in unpacked("probe/blue/health", int(run[0].at * 1000), packed(run))
    ]
    assert len(back) == len(samples)
    for before, after in zip(sorted(samples, key=lambda each: each.at), back, strict=True):
        assert (after.outcome, after.status) == (before.outcome, before.status)
        assert after.at == pytest.approx(before.at, abs=0.002)
        assert after.value == pytest.approx(before.value, abs=1e-6)
        assert after.phases is not None
        assert before.phases is not None
        assert after.phases.first_byte == pytest.approx(before.phases.first_byte, abs=1e-6)


@given(st.lists(PROBES, min_size=1))
def test_no_block_is_longer_than_its_offsets_can_tell(samples: list[MetricSample]) -> None:
    assert all(run[-1].at - run[0].at < LONGEST_BLOCK for run in blocks(samples))


@given(st.lists(PROBES), st.lists(PROBES))
def test_merging_gives_the_aggregate_of_all_samples(one: list[MetricSample], other: list[MetricSample]) -> None:
    both, whole = merged(aggregate_of(one), aggregate_of(other)), aggregate_of([*one, *other])
    assert both.total == pytest.approx(whole.total)
    assert (both.count, both.bad, both.valued) == (whole.count, whole.bad, whole.valued)
    assert (both.low, both.high, both.histogram) == (whole.low, whole.high, whole.histogram)


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


@given(st.lists(st.floats(0.00002, 3600), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_quantile_is_within_five_percent(values: list[float], share: float) -> None:
    whole = aggregate_of(MetricSample("probe/x", START, each, phases=Phases()) for each in values)
    assert whole.quantile(share) == pytest.approx(quantile(values, share), rel=0.05)


@given(st.dictionaries(st.integers(0, 254), st.integers(1, 400_000)))
def test_a_histogram_comes_back_from_its_bytes(counted: dict[int, int]) -> None:
    assert dict(unpacked_histogram(packed_histogram(sorted(counted.items())))) == counted


def test_time_of_failed_probes_is_no_latency() -> None:
    timeout = MetricSample("probe/x", START, 2.0, ProbeOutcome.NO_ANSWER, phases=Phases())
    good = MetricSample("probe/x", START + 1, 0.01, phases=Phases())
    whole = aggregate_of([timeout, good])
    assert (whole.count, whole.bad, whole.high) == (2, 1, 0.01)
