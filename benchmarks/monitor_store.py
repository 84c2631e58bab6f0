"""What a year of monitoring costs on disk, and how long a question takes: 10 checks every 2 s, simulated.

    python -m benchmarks.monitor_store [--days 365]

Samples are made on a simulated clock and written and pruned by the store's own code. The days that the store keeps
minutes of are written whole, earlier ones with a tenth of their samples. The questions are those of the dashboard:
24 hours of one series at a random day, and 24 hours of all ten. While the store prunes, a thread ticks every 10 ms,
and its longest pause is printed.

Exit status: 0 when the bars are met, 3 when one is missed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from cakravia_verify.monitor.store.query import points, raw_samples
from cakravia_verify.monitor.store.sample_store import SampleStore
from cakravia_verify.monitor.store.samples import MetricSample, Phases, ProbeOutcome
from cakravia_verify.testing.memory import FakeClock

CHECKS = [f"probe/{target}/{endpoint}" for target in ("proxy", "blue") for endpoint in "abcde"]
EVERY, DAY, KEPT_DAYS = 2, 86_400, 32
BAR_BYTES, BAR_SECONDS = 100_000_000, 0.1


def samples_of(minute: float, chance: random.Random) -> list[MetricSample]:
    found = []
    for name in CHECKS:
        for second in range(0, 60, EVERY):
            first_byte = chance.lognormvariate(-6, 0.5)
            outcome = ProbeOutcome.STATUS if chance.random() < 0.001 else ProbeOutcome.OK
            phases = Phases(connect=chance.uniform(5e-5, 3e-4), first_byte=first_byte)
            found.append(MetricSample(name, minute + second, first_byte * 1.1, outcome, 200, phases))
    return found


class Ticker(threading.Thread):
    """A thread that wants to run every 10 ms, as the probes do, and keeps its longest delay."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.longest = 0.0
        self.is_over = False

    def run(self) -> None:
        while not self.is_over:
            before = time.monotonic()
            time.sleep(0.01)
            self.longest = max(self.longest, time.monotonic() - before - 0.01)


def fill(store: SampleStore, clock: FakeClock, *, days: int, chance: random.Random) -> Ticker:
    templates = [samples_of(0, chance) for _ in range(50)]
    ticker = Ticker()
    for day in range(days):
        # Single samples of earlier days would be pruned, and their minutes too: a tenth of them makes as wide hours.
        step = 1 if day >= days - KEPT_DAYS else 10
        for hour in range(0, DAY, 3600):
            store.add(
                MetricSample(
                    each.series, clock.wall() + hour + minute + each.at, each.value, each.outcome, 200, each.phases
                )
                for minute in range(0, 3600, 60)
                for each in chance.choice(templates)[::step]
            )
        clock.now += DAY
        if day == days - 1:
            ticker.start()
        store.prune()
    ticker.is_over = True
    ticker.join()
    return ticker


def ask(folder: Path, clock: FakeClock, *, days: int, chance: random.Random) -> list[float]:
    """Return the seconds of 300 questions for 24 hours, each at a random day."""
    taken = []
    for number in range(300):
        until = clock.wall() - chance.randrange(days) * DAY
        names = CHECKS if number % 10 == 0 else [chance.choice(CHECKS)]
        before = time.perf_counter()
        for name in names:
            points(folder, name, since=until - DAY, until=until)
        taken.append(time.perf_counter() - before)
    return taken


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--days", type=int, default=365)
    days = options.parse_args().days
    chance, clock = random.Random(7), FakeClock(0.0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        store = SampleStore(folder, clock=clock)
        began = time.monotonic()
        ticker = fill(store, clock, days=days, chance=chance)
        store.close()
        size = sum(file.stat().st_size for file in folder.iterdir())
        taken = ask(folder, clock, days=days, chance=chance)
        newest = clock.wall() - DAY
        kept = len(raw_samples(folder, CHECKS[0], since=newest, until=newest + DAY))
    p95 = statistics.quantiles(taken, n=20)[-1]
    print(f"{days} days of {len(CHECKS)} checks every {EVERY} s, written in {time.monotonic() - began:.0f} s")
    print(f"file            {size / 1e6:6.1f} MB     bar {BAR_BYTES / 1e6:.0f} MB")
    print(f"24 h, p95       {p95 * 1000:6.1f} ms     bar {BAR_SECONDS * 1000:.0f} ms")
    print(f"pause of others {ticker.longest * 1000:6.1f} ms     while the store prunes")
    print(f"single samples of the newest day: {kept} of {DAY // EVERY} for one check")
    return 0 if size <= BAR_BYTES and p95 <= BAR_SECONDS else 3


if __name__ == "__main__":
    sys.exit(main())
