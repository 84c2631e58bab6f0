"""A planned rate held on this machine beside nginx and two slots.

    python -m benchmarks.held_rate [--rate 2000] [--seconds 30] [--processes 1]

The whole site runs here: nginx, two slots of the reference application (both warm, one with the users), and the
traffic's child process. What becomes of memory in the long run is benchmarks/memory_flat.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.switching_run import Shuttle
from benchmarks.throwaway_site import throwaway_site
from cakravia_verify.assembly import open_site
from cakravia_verify.deadline import SYSTEM_CLOCK, Deadline
from cakravia_verify.run import headers_of
from cakravia_verify.settings import load_settings
from cakravia_verify.traffic.flow import Flow, plan_of
from cakravia_verify.traffic.process import TrafficSummary

LAG_BAR = 0.005
RATE_BAR = 0.99
_WARM_UP = 2.0


def measured(rate: float, seconds: float, processes: int) -> tuple[TrafficSummary, int]:
    """The traffic's summary, and how many requests failed."""
    sections: dict[str, dict[str, Any]] = {
        "traffic": {"users": 50, "rate": rate, "round_trip": 0.0, "profile": "custom", "processes": processes},
        "proxy": {"workers": 1},
    }
    with throwaway_site(sections) as file, tempfile.TemporaryDirectory() as folder:
        file.write_text(f'{file.read_text()}\n[[traffic.mix]]\nname = "page"\n')
        settings = load_settings(file, environment={})
        site = open_site(settings)
        shuttle = Shuttle(site)
        shuttle.deploy()
        shuttle.deploy()
        plan = plan_of(
            settings.traffic,
            address=site.proxy.address,
            folder=Path(folder),
            run="held",
            headers=headers_of(settings),
            root=settings.root,
        )
        flow = Flow(plan, clock=SYSTEM_CLOCK)
        try:
            flow.start(deadline=Deadline("the traffic flows", 30), requests=100)
            time.sleep(_WARM_UP)
            time.sleep(seconds)
            summary = flow.stop(deadline=Deadline("the traffic ends", 30))
            return summary, len(flow.lost) + len(flow.errors) + len(flow.unreached)
        finally:
            flow.kill()


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
