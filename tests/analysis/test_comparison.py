"""The comparison of the slots: its results, its reasons, and how rarely it is wrong."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.judgement_suite import GROSS_SCENARIOS, SCENARIOS, Scenario, false_rates, gross_ruling, our_ruling
from cakravia_verify.analysis.comparison import Ruling, Sample, Tolerance, compare, compare_gross, sample
from cakravia_verify.stats.bounds import normal_quantile
from cakravia_verify.stats.histogram import Histogram
from cakravia_verify.stats.rank_tests import RankTest, fisher_exact, quantile_ratio, rate_difference, trimmed_ratio
from cakravia_verify.system.clock import Microseconds
from tests.traffic.ledger.ledger_files import Run, request

if TYPE_CHECKING:
    from pathlib import Path


def lognormal(seed: int, number: int, *, median: float = 20_000) -> list[int]:
    chance = random.Random(seed)
    return [int(median * math.exp(chance.gauss(0, 0.4))) for _ in range(number)]


def healthy(seed: int, *, failures: int = 0, number: int = 4_000, median: float = 20_000) -> Sample:
    return Sample(number + failures, failures, Histogram.of(lognormal(seed, number, median=median)))


NOBODY = Sample(0, 0, Histogram())


@pytest.mark.check
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_comparison_is_not_wrong_about(scenario: Scenario) -> None:
    chance = random.Random(f"test {scenario.name}")
    given_rulings = [our_ruling(scenario.bake(chance)) for _ in range(5)]
    assert false_rates(scenario.truth, given_rulings) == (0.0, 0.0)


@pytest.mark.check
@pytest.mark.parametrize("scenario", GROSS_SCENARIOS, ids=lambda scenario: scenario.name)
def test_only_what_no_surroundings_explain_is_gross(scenario: Scenario) -> None:
    chance = random.Random(f"test {scenario.name}")
    given_rulings = [gross_ruling(scenario.bake(chance)) for _ in range(2)]
    assert false_rates(scenario.truth, given_rulings) == (0.0, 0.0)


@pytest.mark.check
@pytest.mark.parametrize("name", ["same, no failures", "same, two modes", "same, few samples", "latency +20%"])
def test_the_comparison_has_a_ruling_if_it_can(name: str) -> None:
    (scenario,) = [scenario for scenario in SCENARIOS if scenario.name == name]
    chance = random.Random(f"test {name}")
    assert [our_ruling(scenario.bake(chance)) for _ in range(5)] == [scenario.truth] * 5


def test_identical_data_passes() -> None:
    assert compare(healthy(1), healthy(1)).ruling is Ruling.PASS


@pytest.mark.parametrize("number", [20, 60, 197])
def test_a_candidate_15_times_slower_is_gross_with_little_control_traffic(number: int) -> None:
    found = compare_gross(healthy(1, number=number, median=3_000), healthy(2, number=400, median=45_000))
    assert found.ruling is Ruling.FAIL
    assert "slower beyond the limit" in found.reasons[0]


@pytest.mark.parametrize("number", [20, 60, 197])
@pytest.mark.parametrize("median", [800, 20_000, 100_000])
def test_with_few_requests_a_machine_twice_as_slow_is_not_gross(number: int, median: int) -> None:
    pairs = [
        (healthy(seed, number=number, median=median), healthy(-seed - 1, number=400, median=2 * median))
        for seed in range(4)
    ]
    assert [compare_gross(*pair).ruling for pair in pairs] == [Ruling.PASS] * 4


def test_less_than_twenty_requests_prove_nothing() -> None:
    assert compare_gross(healthy(1, number=19), healthy(2, median=900_000)).ruling is Ruling.INCONCLUSIVE


def test_no_control_is_inconclusive_even_when_the_candidate_fails() -> None:
    comparison = compare(NOBODY, healthy(1, failures=4_000))
    assert comparison.ruling is Ruling.INCONCLUSIVE
    assert comparison.reasons == ("the previous slot answered for 0 requests; at least 1,000 are needed",)


def test_a_candidate_that_answers_nothing_well_fails() -> None:
    assert compare(healthy(1), Sample(4_000, 4_000, Histogram())).ruling is Ruling.FAIL


def test_two_silent_slots_are_inconclusive() -> None:
    assert compare(NOBODY, NOBODY).ruling is Ruling.INCONCLUSIVE


def test_reasons_name_the_numbers_that_decided() -> None:
    (reason,) = compare(healthy(1), healthy(2, failures=40)).reasons
    assert reason.startswith("failures 40 of 4,040 against 0 of 4,000: more than chance explains (Fisher")


def test_zero_failures_of_too_few_requests_do_not_prove_a_low_rate() -> None:
    strict = Tolerance(added_failures=0.001)
    comparison = compare(healthy(1), healthy(2), strict)
    assert comparison.ruling is Ruling.INCONCLUSIVE
    assert "cannot be excluded" in comparison.reasons[0]


def test_slack_forgives_what_only_a_stopwatch_sees() -> None:
    fast, a_little_slower = healthy(1, median=500), healthy(2, median=650)
    assert compare(fast, a_little_slower).ruling is Ruling.PASS
    assert compare(fast, a_little_slower, Tolerance(slack=0)).ruling is Ruling.FAIL


def test_warm_up_and_the_other_slot_are_left_out_of_a_sample(tmp_path: Path) -> None:
    green = {"slot": "green", "served_slot": "green", "version": "v2"}
    lost = {"outcome": "lost", "done": None, "status": None}
    rows = [request(n, **green) for n in range(10)] + [request(10), request(11, **green, **lost)]
    with Run(tmp_path, rows).build() as ledger:
        seen = sample(ledger, "green", start=Microseconds(0), end=Microseconds(100_000), warm_up=Microseconds(4_000))
    assert (seen.requests, seen.failures, seen.latency.count) == (7, 1, 6)


small = st.integers(min_value=0, max_value=30)


@given(small, small, small, small)
def test_fishers_test_is_scipys(failures: int, good: int, other_failures: int, other_good: int) -> None:
    from scipy import stats

    table = [[failures, good], [other_failures, other_good]]
    expected = stats.fisher_exact(table, alternative="greater")[1]
    computed = fisher_exact(failures, failures + good, other_failures, other_failures + other_good)
    assert computed == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


def test_fishers_test_holds_for_a_million_requests() -> None:
    from scipy import stats

    expected = stats.hypergeom.sf(139, 2_000_000, 240, 1_000_000)
    assert fisher_exact(140, 1_000_000, 100, 1_000_000) == pytest.approx(float(expected), rel=1e-5)


values = st.lists(st.integers(min_value=0, max_value=2_000), min_size=2, max_size=60)


@given(values, values)
def test_ranks_and_ties_are_scipys(control: list[int], candidate: list[int]) -> None:
    from scipy import stats

    test = RankTest(Histogram.of(control), Histogram.of(candidate))
    expected = stats.mannwhitneyu(candidate, control, method="asymptotic", use_continuity=False, alternative="greater")
    assert test.superiority() == pytest.approx(expected.statistic / (len(control) * len(candidate)))
    if len({*control, *candidate}) > 1:
        assert test.p_slower == pytest.approx(float(expected.pvalue), rel=1e-6, abs=1e-12)


def test_the_shift_finds_the_ratio_behind_the_noise() -> None:
    test = RankTest(Histogram.of(lognormal(1, 5_000)), Histogram.of(lognormal(2, 5_000, median=24_000)))
    assert test.shift == pytest.approx(1.2, rel=0.03)
    assert test.cliffs_delta > 0.2


@pytest.mark.check
def test_bounds_of_ratios_hold_their_level() -> None:
    deviate = normal_quantile(0.95)
    outside = {"p95": 0, "mean": 0}
    for seed in range(400):
        one, other = Histogram.of(lognormal(seed, 1_000)), Histogram.of(lognormal(seed + 10_000, 500))
        outside["p95"] += quantile_ratio(one, other, share=0.95, deviate=deviate).low > 1
        outside["mean"] += trimmed_ratio(one, other, deviate=deviate).low > 1
    assert all(count <= 32 for count in outside.values()), outside  # 5% of 400 are 20; 32 is 2.7 deviates more


def test_the_bound_of_a_rate_difference_holds_its_level() -> None:
    chance, below = random.Random(5), 0
    for _ in range(600):
        one, other = (sum(chance.random() < 0.02 for _ in range(400)) for _ in range(2))
        below += rate_difference(one, 400, other, 400, confidence=0.95) < 0
    assert below <= 45


def test_a_quantile_beyond_the_samples_has_no_upper_bound() -> None:
    few = Histogram.of(range(50, 100))
    assert math.isinf(quantile_ratio(few, few, share=0.99, deviate=2.5).high)
