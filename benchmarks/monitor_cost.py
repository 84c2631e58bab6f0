"""What the monitor of one site costs: share of a core, and memory. A real site, a real nginx, the default settings.

    python -m benchmarks.monitor_cost [--seconds 120] [--page]

With `--page` it also writes its page and listens for live updates and Prometheus.

The site runs in a temporary folder with two healthy slots, and `cakravia monitor run` beside it as a process of its
own. After 15 s of warm-up its CPU time and memory are read at the start and at the end of the span.

Exit status: 0 when the bars are met, 3 when one is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psutil

from cakravia_verify.monitor.web.access import new_password
from tests.monitor.live_site import LiveSite
from tests.ports import free_ports

BAR_CPU, BAR_MEMORY = 0.01, 60 * 2**20
WARM_UP = 15.0


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--seconds", type=float, default=120.0)
    options.add_argument("--page", action="store_true")
    given = options.parse_args()
    seconds, monitor = given.seconds, ""
    if given.page:
        monitor = f'password = "{new_password().hashed}"\nlisten = "127.0.0.1:{free_ports(1)[0]}"'
    with tempfile.TemporaryDirectory() as place:
        site = LiveSite(Path(place) / "site", interval=2.0, timeout=2.0, monitor=monitor)
        site.deploy("v1")
        site.deploy("v2")
        try:
            with site.monitored() as child:
                process = psutil.Process(child.pid)
                time.sleep(WARM_UP)
                before, began = cpu_seconds(process), time.monotonic()
                time.sleep(seconds)
                share = (cpu_seconds(process) - before) / (time.monotonic() - began)
                memory = process.memory_full_info()
        finally:
            site.tear_down()
    print(f"CPU     {share:7.2%} of a core   bar {BAR_CPU:.0%}")
    own, resident = memory.uss / 2**20, memory.rss / 2**20
    print(f"memory  {resident:7.1f} MiB resident, {own:.1f} of them its own   bar {BAR_MEMORY / 2**20:.0f} resident")
    return 0 if share <= BAR_CPU and memory.rss <= BAR_MEMORY else 3


if __name__ == "__main__":
    sys.exit(main())
