"""How long an operator waits for `cakravia --help` and `cakravia status`: python -m benchmarks.command_start

The median of 15 runs each, in milliseconds, beside the start of the interpreter alone. The bars: 150 and 250 ms.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.throwaway_site import throwaway_site

RUNS = 15
BARS = {"--help": 150, "status": 250}


def median_milliseconds(command: list[str], *, folder: Path) -> float:
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def main() -> int:
    misses = 0
    with throwaway_site({}) as site:
        site.deploy("v1.0.0", "--bake", "1")
        print(f"python   {median_milliseconds([sys.executable, '-c', ''], folder=site.folder):6.0f} ms")
        for name, bar in BARS.items():
            command = [sys.executable, "-m", "cakravia_verify.cli", *site.site, name]
            taken = median_milliseconds(command, folder=site.folder)
            misses += taken > bar
            print(f"{name:<8} {taken:6.0f} ms, at most {bar}")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
