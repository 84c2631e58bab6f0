"""Whether memory stays flat while traffic flows: of every traffic process, and of the process that follows its records.

    python -m benchmarks.memory_flat [--duration 3600] [--rate 500] [--processes 1]

The whole site runs here, as in held_rate: nginx, two slots of the reference application, and the reference mix with its
fresh connections, bodies and slow answers. Shown is the resident set over time. Judged is its slope after the warm-up,
by a straight line through all samples: at most 5% in an hour. The warm-up is a third of the run, ten minutes at most:
on a busy machine the pool of users grows to four times its size, which takes some 20 kB for each and then ends. In a
run of less than ten minutes a single step of the allocator is a slope; then the figures are shown and not judged.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from benchmarks.loaded_site import failures_of, loaded_site
from cakravia_verify.system.clock import Deadline

if TYPE_CHECKING:
    from cakravia_verify.traffic.process import TrafficSummary
    from cakravia_verify.traffic.run import TrafficRun

GROWTH_BAR = 0.05
JUDGED_FROM = 600.0
_EVERY = 1.0
_LINES = 20
_MEGABYTE = 1e6


@dataclass
class Series:
    """Resident memory of one process: (second, bytes)."""

    who: str
    process: psutil.Process
    samples: list[tuple[float, int]] = field(default_factory=list)

    def take(self, at: float) -> None:
        self.samples.append((at, self.process.memory_info().rss))

    def growth_per_hour(self, warm_up: float) -> float:
        """The share by which memory grows within an hour, after the warm-up."""
        later = [(at, size) for at, size in self.samples if at >= warm_up]
        if len(later) < 2:
            return 0.0
        line = statistics.linear_regression([at for at, _ in later], [size for _, size in later])
        return line.slope * 3600 / later[0][1]


def watched(duration: float, rate: float, processes: int) -> tuple[TrafficSummary, list[Series], int]:
    """The traffic's summary, the memory of everybody who takes part, and how many requests failed."""
    with loaded_site("memory", rate=rate, processes=processes, profile="reference") as flow:
        everybody = _everybody(flow.pid)
        _print(["second", *(series.who for series in everybody)])
        _watch(flow, everybody, duration)
        summary = flow.stop(deadline=Deadline("the traffic ends", 30))
        return summary, everybody, failures_of(flow)


def _everybody(pid: int) -> list[Series]:
    traffic = psutil.Process(pid)
    workers = traffic.children()
    found = [Series("leader" if workers else "traffic", traffic)]
    found += [Series(f"worker {number}", each) for number, each in enumerate(workers)]
    return [*found, Series("follower", psutil.Process())]


def _watch(flow: TrafficRun, everybody: list[Series], duration: float) -> None:
    began = time.monotonic()
    shown = -1
    while (now := time.monotonic() - began) < duration:
        flow.follow()
        flow.ensure_alive()
        for series in everybody:
            series.take(now)
        if int(now / duration * _LINES) > shown:
            shown = int(now / duration * _LINES)
            _print([f"{now:.0f}", *(f"{series.samples[-1][1] / _MEGABYTE:.2f} MB" for series in everybody)])
        time.sleep(_EVERY)


def _print(columns: list[str]) -> None:
    print("".join(f"{column:>14}" for column in columns), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--duration", type=float, default=3600.0)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    summary, everybody, failed = watched(options.duration, options.rate, options.processes)
    warm_up = min(600.0, options.duration / 3)
    print(
        f"{summary.planned:,} planned, {summary.finished:,} finished, {failed} failed, {summary.raw['users']} users at "
        f"most; slopes after {warm_up:.0f} s"
    )
    is_judged = options.duration >= JUDGED_FROM
    is_met = True
    for series in everybody:
        growth = series.growth_per_hour(warm_up)
        met = growth <= GROWTH_BAR
        is_met = is_met and (met or not is_judged)
        word = ("met" if met else "MISSED") if is_judged else "shown"
        first = next(size for at, size in series.samples if at >= warm_up) / _MEGABYTE
        last, most = series.samples[-1][1] / _MEGABYTE, max(size for _, size in series.samples) / _MEGABYTE
        print(
            f"{word:<8}{series.who:<10} {first:.2f} MB -> {last:.2f} MB, at most {most:.2f} MB, "
            f"{growth:+.2%} in an hour  bar <= {GROWTH_BAR:.0%}"
        )
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
