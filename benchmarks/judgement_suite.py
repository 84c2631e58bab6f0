"""How often the bake judgement is wrong, on seeded synthetic bakes, beside a plain Kayenta-style rule.

    python benchmarks/judgement_suite.py [--bakes 400] [--seed 1]

Exits 1 when a bar is missed: false PASS <= 1%, false FAIL <= 2%, both for each scenario. docs/JUDGEMENT.md explains the
scenarios.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from cakravia_verify.traffic.judgement import Ruling, Sample, judge
from cakravia_verify.traffic.rank_tests import RankTest
from cakravia_verify.traffic.statistics import Histogram, normal_quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FALSE_PASS, FALSE_FAIL = 0.01, 0.02
Bake = tuple[list[float], int, list[float], int]
"""Latencies of good answers in microseconds and number of failures: control, then candidate."""


@dataclass(frozen=True)
class Scenario:
    """A way bakes come out; `truth` is what an all-knowing judge rules."""

    name: str
    truth: Ruling
    bake: Callable[[Random], Bake]


def _web(chance: Random, number: int, *, median: float = 20_000, sigma: float = 0.4) -> list[float]:
    return [median * math.exp(chance.gauss(0, sigma)) for _ in range(number)]


def _failing(chance: Random, number: int, rate: float) -> int:
    return sum(chance.random() < rate for _ in range(number))


def _two_modes(chance: Random, number: int, slow: float) -> list[float]:
    return [(100_000 if chance.random() < slow else 10_000) * math.exp(chance.gauss(0, 0.1)) for _ in range(number)]


def _pareto(chance: Random, number: int) -> list[float]:
    return [min(10_000 * chance.paretovariate(1.5), 6e7) for _ in range(number)]


def _drifting(chance: Random, number: int, first: float, last: float) -> list[float]:
    return [20_000 * (first + (last - first) * n / number) * math.exp(chance.gauss(0, 0.4)) for n in range(number)]


def _bursty(chance: Random, number: int) -> list[float]:
    """Each of 20 seconds has its own level, as on a machine that others use."""
    levels = [math.exp(chance.gauss(0, 0.05)) for _ in range(20)]
    return [20_000 * levels[n * 20 // number] * math.exp(chance.gauss(0, 0.4)) for n in range(number)]


def _with_tail(chance: Random, number: int, share: float) -> list[float]:
    return [value * (20 if chance.random() < share else 1) for value in _web(chance, number)]


def _errors(number: int, before: float, after: float) -> Callable[[Random], Bake]:
    def bake(chance: Random) -> Bake:
        was, now = _failing(chance, number, before), _failing(chance, number, after)
        return _web(chance, number - was), was, _web(chance, number - now), now

    return bake


N = 4_000
SCENARIOS: tuple[Scenario, ...] = (
    Scenario("same, no failures", Ruling.PASS, _errors(N, 0, 0)),
    Scenario("same, 2% failures on both", Ruling.PASS, _errors(N, 0.02, 0.02)),
    Scenario("same, few samples", Ruling.PASS, _errors(1_200, 0, 0)),
    Scenario("same, four times the control", Ruling.PASS, lambda c: (_web(c, 4 * N), 0, _web(c, N), 0)),
    Scenario("same, two modes", Ruling.PASS, lambda c: (_two_modes(c, N, 0.3), 0, _two_modes(c, N, 0.3), 0)),
    Scenario("same, heavy tail", Ruling.PASS, lambda c: (_pareto(c, N), 0, _pareto(c, N), 0)),
    Scenario("same, both drift 30%", Ruling.PASS, lambda c: (_drifting(c, N, 1, 1.3), 0, _drifting(c, N, 1, 1.3), 0)),
    Scenario(
        "same, drift of 3% from one to the other",
        Ruling.PASS,
        lambda c: (_drifting(c, N, 1, 1.015), 0, _drifting(c, N, 1.015, 1.03), 0),
    ),
    Scenario("same, noisy neighbour", Ruling.PASS, lambda c: (_bursty(c, N), 0, _bursty(c, N), 0)),
    Scenario("faster by 30%", Ruling.PASS, lambda c: (_web(c, N), 0, _web(c, N, median=14_000), 0)),
    Scenario("sparse errors, 1%", Ruling.FAIL, _errors(N, 0, 0.01)),
    Scenario("sparse errors, 0.6%", Ruling.FAIL, _errors(N, 0, 0.006)),
    Scenario("sparse errors, 0.6% of 1,200", Ruling.FAIL, _errors(1_200, 0, 0.006)),
    Scenario("errors, 2% become 4%", Ruling.FAIL, _errors(N, 0.02, 0.04)),
    Scenario("latency +650%", Ruling.FAIL, lambda c: (_web(c, N), 0, _web(c, N, median=150_000), 0)),
    Scenario("latency +20%", Ruling.FAIL, lambda c: (_web(c, N), 0, _web(c, N, median=24_000), 0)),
    Scenario(
        "latency +20%, wide", Ruling.FAIL, lambda c: (_web(c, N, sigma=1), 0, _web(c, N, median=24_000, sigma=1), 0)
    ),
    Scenario("slow tail: 2% take 20 times as long", Ruling.FAIL, lambda c: (_web(c, N), 0, _with_tail(c, N, 0.02), 0)),
    Scenario("slow mode: 10% become 30%", Ruling.FAIL, lambda c: (_two_modes(c, N, 0.1), 0, _two_modes(c, N, 0.3), 0)),
    Scenario("everything fails", Ruling.FAIL, lambda c: (_web(c, N), 0, [], N)),
    Scenario("no control data", Ruling.INCONCLUSIVE, lambda c: ([], 0, _web(c, N), 0)),
    Scenario("no candidate data", Ruling.INCONCLUSIVE, lambda c: (_web(c, N), 0, [], 0)),
    Scenario("a dozen samples", Ruling.INCONCLUSIVE, lambda c: (_web(c, 12), 0, _web(c, 12), 0)),
)


def our_ruling(bake: Bake) -> Ruling:
    control, was, candidate, now = bake
    return judge(
        Sample(len(control) + was, was, Histogram.of(map(int, control))),
        Sample(len(candidate) + now, now, Histogram.of(map(int, candidate))),
    ).ruling


def kayenta_ruling(bake: Bake) -> Ruling:
    """Mann-Whitney at 95% on latencies and on failure rates of 20 intervals, as Kayenta's judge has it.

    Worse is what lies above a quarter of the Hodges-Lehmann shift with all of its confidence interval. Everything not
    proven worse passes; no data is no ruling.
    """
    control, was, candidate, now = bake
    if not control + [0.0] * was or not candidate + [0.0] * now:
        return Ruling.INCONCLUSIVE
    if _is_higher(control, candidate) or _is_higher(_by_interval(was, control), _by_interval(now, candidate)):
        return Ruling.FAIL
    return Ruling.PASS


def _is_higher(control: Sequence[float], candidate: Sequence[float]) -> bool:
    if not control or not candidate:
        return False
    # Differences become ratios of exponentials, for which the ranks are the same.
    scale = max(*control, *candidate) or 1.0
    old, new = (Histogram.of(int(1e9 * math.exp(value / scale)) for value in values) for values in (control, candidate))
    test = RankTest(old, new)
    quarter = math.exp(max(0.0, math.log(test.shift)) / 4)
    return test.shift > 1.0005 and test.deviate(quarter) > normal_quantile(0.975)


def _by_interval(failures: int, answered: list[float]) -> list[float]:
    """The failure rates of 20 intervals, failures spread over them at random but reproducibly."""
    chance = Random(failures)
    counts = [0] * 20
    for _ in range(failures):
        counts[chance.randrange(20)] += 1
    each = max(1.0, (failures + len(answered)) / 20)
    return [count / each for count in counts]


def rulings(bakes: int, *, seed: int) -> Iterator[tuple[Scenario, list[Ruling], list[Ruling]]]:
    """For each scenario what both rules say of that many bakes."""
    for scenario in SCENARIOS:
        chance = Random(f"{seed} {scenario.name}")
        drawn = [scenario.bake(chance) for _ in range(bakes)]
        yield scenario, [our_ruling(bake) for bake in drawn], [kayenta_ruling(bake) for bake in drawn]


def false_rates(truth: Ruling, given: Sequence[Ruling]) -> tuple[float, float]:
    """Shares of false PASS and of false FAIL; INCONCLUSIVE is never false, it only costs time."""
    false_pass = sum(ruling is Ruling.PASS for ruling in given) / len(given) if truth is not Ruling.PASS else 0.0
    false_fail = sum(ruling is Ruling.FAIL for ruling in given) / len(given) if truth is not Ruling.FAIL else 0.0
    return false_pass, false_fail


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bakes", type=int, default=400, help="simulated bakes of each scenario")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print(f"{asked.bakes} bakes of each scenario, seed {asked.seed}; shares in %\n")
    print(f"{'':40} {'truth':>12} | {'PASS':>5} {'FAIL':>5} {'INC.':>5} | {'Kayenta-style PASS':>18} {'FAIL':>5}")
    worst = [0.0, 0.0, 0.0, 0.0]
    for scenario, ours, theirs in rulings(asked.bakes, seed=asked.seed):
        shares = [100 * ours.count(ruling) / len(ours) for ruling in (Ruling.PASS, Ruling.FAIL, Ruling.INCONCLUSIVE)]
        others = [100 * theirs.count(ruling) / len(theirs) for ruling in (Ruling.PASS, Ruling.FAIL)]
        rates = (*false_rates(scenario.truth, ours), *false_rates(scenario.truth, theirs))
        worst = [max(pair) for pair in zip(worst, rates, strict=True)]
        print(
            f"{scenario.name:40} {scenario.truth:>12} | {shares[0]:5.1f} {shares[1]:5.1f} {shares[2]:5.1f} | "
            f"{others[0]:18.1f} {others[1]:5.1f}",
            flush=True,
        )
    print(f"\nworst scenario: false PASS {worst[0]:.1%} (bar 1%), false FAIL {worst[1]:.1%} (bar 2%)")
    print(f"Kayenta-style:  false PASS {worst[2]:.1%}, false FAIL {worst[3]:.1%}")
    return int(worst[0] > FALSE_PASS or worst[1] > FALSE_FAIL)


if __name__ == "__main__":
    sys.exit(main())
