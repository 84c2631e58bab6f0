"""A planned rate held on this machine beside nginx and two slots.

    python -m benchmarks.held_rate [--rate 2000] [--seconds 30] [--processes 1]

The whole site runs here: nginx, two slots of the reference application (both warm, one with the users), and the
traffic's child process. What becomes of memory in the long run is benchmarks/memory_flat.py.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.loaded_site import failures_of, loaded_site
from cakravia_verify.system.clock import Deadline
from cakravia_verify.traffic.process import TrafficSummary

LAG_BAR = 0.005
RATE_BAR = 0.99
PAGE_ONLY = '\n[[traffic.mix]]\nname = "page"\n'
_WARM_UP = 2.0


def measured(rate: float, seconds: float, processes: int) -> tuple[TrafficSummary, int]:
    """The traffic's summary, and how many requests failed."""
    with loaded_site("held", rate=rate, processes=processes, profile="custom", mix=PAGE_ONLY) as flow:
        time.sleep(_WARM_UP + seconds)
        summary = flow.stop(deadline=Deadline("the traffic ends", 30))
        return summary, failures_of(flow)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=2000.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    summary, failed = measured(options.rate, options.seconds, options.processes)
    lag = summary.raw["schedule_lag"]
    print(f"{summary.planned:,} planned, {summary.finished:,} finished, {failed} failed")
    print(f"lag p50 {lag['p50'] * 1e3:.2f} ms, p99 {lag['p99'] * 1e3:.2f} ms, max {lag['max'] * 1e3:.1f} ms")
    share = summary.rate_achieved / summary.rate_planned if summary.rate_planned else 0.0
    bars = [
        ("achieved / planned", share, share >= RATE_BAR, f">= {RATE_BAR}"),
        ("schedule lag p99, s", lag["p99"], lag["p99"] <= LAG_BAR, f"<= {LAG_BAR}"),
        ("failed requests", float(failed), failed == 0, "0"),
    ]
    for what, value, is_met, bar in bars:
        print(f"{'met' if is_met else 'MISSED':<8}{what:<44}{value:>9.4f}  bar {bar}")
    return 0 if all(is_met for _, _, is_met, _ in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
