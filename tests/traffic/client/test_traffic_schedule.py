"""The open model: planned arrivals, and the lag that is measured against them."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cakravia_verify.system.clock import NOT_YET, SECOND, Microseconds
from cakravia_verify.traffic.plan.mix import MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.plan.schedule import Arrival, Curve, arrivals, planned_within, shares


def plan(**settings: object) -> TrafficPlan:
    settings = {"mix": (MixEntry("a", weight=3.0), MixEntry("b", weight=1.0)), "rate": 100.0, **settings}
    return TrafficPlan(url="http://127.0.0.1:1", records="/tmp", run="t", **settings)  # type: ignore[arg-type]  # noqa: S108


def first(count: int, settings: TrafficPlan, start: Microseconds = NOT_YET) -> list[Arrival]:
    return list(itertools.islice(arrivals(settings, start=start), count))


def test_constant_arrivals_keep_their_distance_without_drift() -> None:
    planned = [
        int(arrival.planned) for arrival in first(3001, plan(arrivals="constant", rate=3000.0), start=Microseconds(7))
    ]
    assert planned[0] == 7
    assert planned[3000] == 1_000_007
    assert {later - earlier for earlier, later in itertools.pairwise(planned)} == {333, 334}


def test_poisson_arrivals_come_at_the_planned_rate_with_exponential_distances() -> None:
    planned = [int(arrival.planned) for arrival in first(20_001, plan(arrivals="poisson", rate=1000.0))]
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


MIX = tuple(MixEntry(str(number), weight=weight) for number, weight in enumerate((40.0, 30.0, 15.0, 1.0, 0.01)))


@given(st.integers(0, 1000), st.integers(0, 3000), st.floats(0, 0.3))
def test_every_stretch_of_arrivals_has_every_entry_as_often_as_its_share(seed: int, begin: int, least: float) -> None:
    settings = plan(mix=MIX, seed=seed, least_share=least)
    stretch = Counter(arrival.entry for arrival in first(begin + 400, settings)[begin:])
    assert all(stretch[entry] >= 400 * share - 3 for entry, share in enumerate(shares(settings)))


@pytest.mark.parametrize("least", [0.0, 0.01, 0.2, 0.9])
def test_no_entry_has_less_than_the_least_share(least: float) -> None:
    given_shares = shares(plan(mix=MIX, least_share=least))
    assert sum(given_shares) == pytest.approx(1)
    assert min(given_shares) >= min(least, 1 / len(MIX)) - 1e-12
    assert list(given_shares) == sorted(given_shares, reverse=True)


def test_weights_that_reach_the_least_share_are_kept() -> None:
    assert shares(plan(least_share=0.2)) == (0.75, 0.25)


def test_numbers_count_up_without_a_gap() -> None:
    assert [arrival.number for arrival in first(50, plan())] == list(range(50))


def test_a_curve_plans_what_lies_under_it() -> None:
    shaped = plan(arrivals="constant", curve=((0.0, 0.0), (10.0, 100.0), (10.0, 50.0)))
    planned = [arrival.planned / 1e6 for arrival in first(1001, shaped)]
    assert sum(at < 5 for at in planned) == 125
    assert sum(at < 10 for at in planned) == 500
    assert sum(10 <= at < 11 for at in planned) == 50
    assert planned_within(shaped, 10.0) == 500


def test_nothing_is_planned_while_the_rate_is_zero() -> None:
    paused = plan(arrivals="constant", curve=((0.0, 10.0), (1.0, 10.0), (1.0, 0.0), (3.0, 0.0), (3.0, 10.0)))
    planned = [arrival.planned / 1e6 for arrival in first(21, paused)]
    assert [at for at in planned if 1.0 <= at < 3.0] == []
    assert planned[10] == 3.0


# What a person writes into a curve: milliseconds, and rates of none or of at least one request in a quarter of an hour.
instants = st.integers(0, 100_000).map(lambda milliseconds: milliseconds / 1000)
rates = st.one_of(st.just(0.0), st.floats(0.001, 1000))
points = st.lists(st.tuples(instants, rates), min_size=1, max_size=6).map(
    lambda found: tuple(zip(sorted(at for at, _ in found), (rate for _, rate in found), strict=True))
)


@given(points, st.floats(0.5, 1000), st.floats(0, 120))
@example(((0.0, 4.0), (2.2250738585072014e-308, 0.0)), 1.0, 0.0)
@example(((4.0, 3.156301634314808e-285),), 1.0, 3.0)
def test_counts_and_instants_of_a_curve_are_inverse(
    shape: tuple[tuple[float, float], ...], last: float, at: float
) -> None:
    curve = Curve((*shape, (shape[-1][0] + 1, last)))
    count = curve.count_by(at)
    assert curve.count_by(curve.instant_of(count)) == pytest.approx(count, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("kind", ["constant", "poisson"])
def test_as_many_are_planned_as_arrive(kind: str) -> None:
    settings = plan(arrivals=kind, curve=((0.0, 20.0), (2.0, 200.0)))
    assert planned_within(settings, 3.0) == sum(arrival.planned < 3 * SECOND for arrival in first(2000, settings))


def test_parts_together_are_the_whole() -> None:
    whole = first(90, plan(arrivals="poisson"))
    parts = [itertools.islice(arrivals(plan(arrivals="poisson"), start=NOT_YET, part=n, parts=3), 30) for n in range(3)]
    assert sorted(itertools.chain(*parts), key=lambda arrival: arrival.number) == whole
