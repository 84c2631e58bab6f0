"""How often the bake judgement is wrong, on seeded synthetic bakes, beside a plain Kayenta-style rule.

    python benchmarks/judgement_suite.py [--bakes 400] [--seed 1]

Two tables: the ordinary question (is the candidate as good?), and the gross one (is it worse than its surroundings make
one and the same version look?), which alone decides by default. Exits 1 when a bar is missed: false PASS <= 1%, false
FAIL <= 2%, both for each scenario of each table; of the gross question everything but FAIL lets the candidate pass.
docs/COMPARISON.md explains the scenarios.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from cakravia_verify.analysis.comparison import GROSS, Ruling, Sample, Tolerance, compare
from cakravia_verify.stats.bounds import normal_quantile
from cakravia_verify.stats.histogram import Histogram
from cakravia_verify.stats.rank_tests import RankTest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FALSE_PASS, FALSE_FAIL = 0.01, 0.02
ORDINARY = Tolerance()
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


def _loaded(
    chance: Random, *, median: float = 20_000, factor: float = 1.0, waves: float = 0.0, still: float = 0.0
) -> list[float]:
    """Ten seconds on a machine that others use: `factor` times as slow, each second at a level of its own, and for
    `still` seconds not running at all, which everything that was planned meanwhile waits for."""
    levels = [factor * math.exp(chance.gauss(0, waves)) for _ in range(10)]
    latencies = []
    for number in range(N):
        at = number * 10 / N
        waited = max(0.0, 4.0 + still - at) * 1e6 if at >= 4.0 else 0.0
        latencies.append(waited + median * levels[int(at)] * math.exp(chance.gauss(0, 0.4)))
    return latencies


def _same(number: int = N, **after: float) -> Callable[[Random], Bake]:
    """One and the same version, measured before and after its surroundings changed."""
    median, waves = after.get("median", 20_000), after.get("waves", 0.0)

    def bake(chance: Random) -> Bake:
        before, later = _loaded(chance, median=median, waves=waves), _loaded(chance, **after)
        step = N // number
        return before[::step], 0, later[::step], 0

    return bake


def _slower(times: float, *, median: float = 20_000, number: int = N) -> Callable[[Random], Bake]:
    return lambda c: (_web(c, number, median=median), 0, _web(c, number, median=times * median), 0)


# PASS: the version is the same, whatever its surroundings did. FAIL: nobody would want it.
GROSS_SCENARIOS: tuple[Scenario, ...] = (
    Scenario("same", Ruling.PASS, _same()),
    Scenario("same, 200 requests a side", Ruling.PASS, _same(200)),
    Scenario("same, 2% failures on both", Ruling.PASS, _errors(N, 0.02, 0.02)),
    Scenario("same, two modes", Ruling.PASS, lambda c: (_two_modes(c, N, 0.3), 0, _two_modes(c, N, 0.3), 0)),
    Scenario("same, heavy tail", Ruling.PASS, lambda c: (_pareto(c, N), 0, _pareto(c, N), 0)),
    Scenario("same, machine twice as slow, 0.8 ms", Ruling.PASS, _same(median=800, factor=2)),
    Scenario("same, machine twice as slow, 20 ms", Ruling.PASS, _same(factor=2)),
    Scenario("same, machine twice as slow, 100 ms", Ruling.PASS, _same(median=100_000, factor=2)),
    Scenario("same, twice as slow in waves, 20 ms", Ruling.PASS, _same(factor=2, waves=0.3)),
    Scenario("same, twice as slow in waves, 100 ms", Ruling.PASS, _same(median=100_000, factor=2, waves=0.3)),
    Scenario("same, high waves on both", Ruling.PASS, _same(waves=0.6)),
    Scenario("same, machine still for 1 s, 20 ms", Ruling.PASS, _same(still=1.0)),
    Scenario("same, machine still for 1 s, 0.8 ms", Ruling.PASS, _same(median=800, still=1.0)),
    Scenario("same, twice as slow and still for 1 s", Ruling.PASS, _same(factor=2, still=1.0)),
    Scenario("four times as slow, 20 ms", Ruling.FAIL, _slower(4)),
    Scenario("four times as slow, 100 ms", Ruling.FAIL, _slower(4, median=100_000)),
    Scenario("latency +650%, 4 ms", Ruling.FAIL, _slower(7.5, median=4_000)),
    Scenario("latency +650%, 20 ms", Ruling.FAIL, _slower(7.5)),
    Scenario("latency +650%, 200 requests a side", Ruling.FAIL, _slower(7.5, number=200)),
    Scenario("slow mode: 10% become 60%", Ruling.FAIL, lambda c: (_two_modes(c, N, 0.1), 0, _two_modes(c, N, 0.6), 0)),
    Scenario("errors, none become 1%", Ruling.FAIL, _errors(N, 0, 0.01)),
    Scenario("errors, 2% become 4%", Ruling.FAIL, _errors(N, 0.02, 0.04)),
    Scenario("everything fails", Ruling.FAIL, lambda c: (_web(c, N), 0, [], N)),
)


def our_ruling(bake: Bake, tolerance: Tolerance = ORDINARY) -> Ruling:
    control, was, candidate, now = bake
    return compare(
        Sample(len(control) + was, was, Histogram.of(map(int, control))),
        Sample(len(candidate) + now, now, Histogram.of(map(int, candidate))),
        tolerance,
    ).ruling


def gross_ruling(bake: Bake) -> Ruling:
    """What the gate makes of the gross question: FAIL decides, anything else lets the candidate pass."""
    return Ruling.FAIL if our_ruling(bake, GROSS) is Ruling.FAIL else Ruling.PASS


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
    gross = gross_table(asked.bakes, seed=asked.seed)
    return int(max(worst[0], gross[0]) > FALSE_PASS or max(worst[1], gross[1]) > FALSE_FAIL)


def gross_table(bakes: int, *, seed: int) -> tuple[float, float]:
    """Prints what the gross question comes to; the worst shares of false PASS and of false FAIL."""
    print(f"\n{'grossly worse?':40} {'truth':>12} | {'FAIL':>5} | by the ordinary question FAIL")
    worst = (0.0, 0.0)
    for scenario in GROSS_SCENARIOS:
        chance = Random(f"{seed} gross {scenario.name}")
        drawn = [scenario.bake(chance) for _ in range(bakes)]
        given, ordinary = [gross_ruling(bake) for bake in drawn], [our_ruling(bake) for bake in drawn]
        false_pass, false_fail = false_rates(scenario.truth, given)
        worst = (max(worst[0], false_pass), max(worst[1], false_fail))
        failed, others = (100 * rulings.count(Ruling.FAIL) / bakes for rulings in (given, ordinary))
        print(f"{scenario.name:40} {scenario.truth:>12} | {failed:5.1f} | {others:5.1f}", flush=True)
    print(f"\nworst scenario: false PASS {worst[0]:.1%} (bar 1%), false FAIL {worst[1]:.1%} (bar 2%)")
    return worst


if __name__ == "__main__":
    sys.exit(main())
