"""How long an interrupted release takes to bring users back and leave its report: whole sessions, under traffic.

    python -m benchmarks.interrupted [--rounds 3]

Told is the time from a signal, sent as soon as the history shows a step as begun, to the end of the session. By then
users are on the old version, and verdict and report exist; pipelines grant 7.5 s before they kill.

Exit status: 0 when all of that is so each time, 1 when it is not or users lost a request, 3 when the bar is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
import time
from typing import Any

from benchmarks.throwaway_site import throwaway_site
from cakravia_verify.gate.model import Exit
from cakravia_verify.kinds import SUITES
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.testing.throwaway_site import ThrowawaySite

BAR = 7.5
HOME = "v1.0.0"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STEPS = ("stage", "prove", "switch", "drain", "bake")
SETTINGS: dict[str, dict[str, Any]] = {
    "release": {"bake": 5.0},
    "traffic": {"users": 40, "rate": 400.0},
    "budget": {"min_requests": 100},
}


def interrupted(made: ThrowawaySite, version: str, *, number: signal.Signals, step: str) -> tuple[float, list[str]]:
    """Seconds from the signal to the end of the session, and everything that was not as it should be then."""
    site = open_site(load_settings(made.settings, environment={}))
    known = len(site.journal.entries())
    session = made.begin_pytest(str(SUITES / "deploy"), *made.site, "--version", version).process
    while ("step.intent", step) not in {(each.event, each.step) for each in site.journal.entries()[known:]}:
        if session.poll() is not None:
            return 0.0, [f"ended with {session.returncode} before {step} began"]
        time.sleep(0.005)
    sent = time.monotonic()
    session.send_signal(number)
    status = session.wait()
    seconds = time.monotonic() - sent
    state = site.observe()
    release = next(each.release for each in site.journal.entries()[known:] if each.event == "release.started")
    report = site.settings.reports / release
    wrong = [] if status == Exit.INTERRUPTED else [f"exit status {status}"]
    wrong += [f"no {name}" for name in ("report.html", "verdict.json") if not (report / name).is_file()]
    wrong += [*state.drift, *([] if state.served_version == HOME else [f"users are on {state.served_version}"])]
    if not wrong:
        measured = json.loads((report / "verdict.json").read_bytes())["evidence"]["measured"]
        if not measured or measured["lost"] or measured["unreached"] or measured["errors"]:
            wrong.append(f"users lost requests, or it was not measured: {measured}")
    return seconds, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of each signal in each step")
    told = parser.parse_args()
    longest, failed, count = 0.0, False, 0
    with throwaway_site(SETTINGS) as made:
        if made.deploy(HOME).status:
            print("the first release failed", file=sys.stderr)
            return 1
        for step, number in itertools.product(STEPS, SIGNALS):
            times = []
            for _ in range(told.rounds):
                count += 1
                seconds, wrong = interrupted(made, f"v2.{count}.0", number=number, step=step)
                times.append(seconds)
                failed = failed or bool(wrong)
                for each in wrong:
                    print(f"  {number.name} in {step}: {each}")
            longest = max(longest, *times)
            print(f"{number.name:<8} in {step:<7} {min(times):5.2f} to {max(times):5.2f} s", flush=True)
    print(f"longest of {count}: {longest:.2f} s (bar {BAR} s)")
    return 1 if failed else 3 if longest > BAR else 0


if __name__ == "__main__":
    sys.exit(main())
