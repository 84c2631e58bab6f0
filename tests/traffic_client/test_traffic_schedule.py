"""The open model: planned arrivals, and the lag that is measured against them."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cakravia_verify.traffic.plan import MixEntry, TrafficPlan
from cakravia_verify.traffic.schedule import Arrival, Spread, arrivals


def plan(**settings: object) -> TrafficPlan:
    settings = {"mix": (MixEntry("a", weight=3.0), MixEntry("b", weight=1.0)), "rate": 100.0, **settings}
    return TrafficPlan(url="http://127.0.0.1:1", records="/tmp", run="t", **settings)  # type: ignore[arg-type]  # noqa: S108


def first(count: int, settings: TrafficPlan, start: int = 0) -> list[Arrival]:
    return list(itertools.islice(arrivals(settings, start=start), count))


def test_constant_arrivals_keep_their_distance_without_drift() -> None:
    planned = [arrival.planned for arrival in first(3001, plan(arrivals="constant", rate=3000.0), start=7)]
    assert planned[0] == 7
    assert planned[3000] == 1_000_007
    assert {later - earlier for earlier, later in itertools.pairwise(planned)} == {333, 334}


def test_poisson_arrivals_come_at_the_planned_rate_with_exponential_distances() -> None:
    planned = [arrival.planned for arrival in first(20_001, plan(arrivals="poisson", rate=1000.0))]
    distances = [later - earlier for earlier, later in itertools.pairwise(planned)]
    mean = sum(distances) / len(distances)
    variance = sum((distance - mean) ** 2 for distance in distances) / len(distances)
    assert mean == pytest.approx(1000, rel=0.03)
    assert variance == pytest.approx(mean**2, rel=0.1)


def test_the_same_seed_plans_the_same_load() -> None:
    assert first(500, plan(seed=4)) == first(500, plan(seed=4))
    assert first(500, plan(seed=4)) != first(500, plan(seed=5))


def test_entries_come_in_proportion_to_their_weights() -> None:
    chosen = Counter(arrival.entry for arrival in first(20_000, plan()))
    assert chosen[0] / 20_000 == pytest.approx(0.75, abs=0.02)


def test_numbers_count_up_without_a_gap() -> None:
    assert [arrival.number for arrival in first(50, plan())] == list(range(50))


@given(st.lists(st.integers(0, 1 << 40), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_is_within_its_grain_of_the_true_one(values: list[int], share: float) -> None:
    spread = Spread()
    for value in values:
        spread.add(value)
    true = sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    assert true <= spread.quantile(share) <= true * (1 + 1 / 64)


def test_no_values_have_no_lag() -> None:
    assert Spread().quantile(0.99) == 0
