"""How long users wait for the way back: whole rollback sessions on a throw-away site, warm and cold, under traffic.

    python -m benchmarks.warm_rollback [--rounds 10] [--cold 3] [--now 10] [--json FILE]

Three stretches are told of each. *Trigger to users*: from the release's decision to move them (its `switch` begins)
to the beginning of the last request that the version rolled back from answered, or to the end of the step where that is
later; the bar for warm rollbacks is a p99 of 250 ms. *Command to users*: the same from the start of the pytest process.
*Start*: what starting and proving the slot takes; a cold rollback may take 2 s more than that and a warm one.

`cakravia rollback --now` moves users before its session; the bar of command to users is a p99 of 0.5 s.

Exit status: 0 when every bar is met, 1 when a rollback did not promote or users lost a request, 3 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.throwaway_site import throwaway_site
from cakravia_verify.history.journal_file import JournalEntry
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.site import Site
from cakravia_verify.system.clock import Deadline
from cakravia_verify.testing.throwaway_site import ThrowawaySite
from cakravia_verify.traffic.records.rows import REQUESTS_FILE, RecordTail

BAKE, TRIGGER_BAR, COLD_BAR, NOW_BAR = 0.5, 0.25, 2.0, 0.5
VERSIONS = ("v1.1.0", "v1.2.0")
SETTINGS: dict[str, dict[str, Any]] = {
    "release": {"bake": BAKE},
    "traffic": {"users": 40, "rate": 400.0},
    "budget": {"min_requests": 100, "min_each": 1},
}


@dataclass(frozen=True)
class Rollback:
    """One session. Times in seconds; `lost` counts requests of its own traffic."""

    is_warm: bool
    is_now: bool
    status: int
    trigger_to_users: float
    command_to_users: float
    start: float
    whole: float
    lost: int
    requests: int


def rolled_back(made: ThrowawaySite, *, to: str, is_warm: bool, is_now: bool = False) -> Rollback:
    site = open_site(load_settings(made.settings, environment={}))
    if not is_warm:
        site.platform.stop(site.observe().slots.idle_colour, deadline=Deadline("the idle slot ends", 15.0))
    known = len(site.journal.entries())
    began, began_wall = time.monotonic(), time.time()
    ended = made.cakravia("rollback", "--now", "--version", to) if is_now else made.release("rollback", to)
    whole = ended.seconds
    entries = site.journal.entries()[known:]
    release = next((entry.release for entry in entries if entry.event == "release.started"), "")
    if ended.status:
        print(ended.output, file=sys.stderr)
        return Rollback(is_warm, is_now, ended.status, 0.0, 0.0, 0.0, whole, 0, 0)
    decided, done = _instant(entries, "step.intent"), _instant(entries, "step.done")
    offset = began - began_wall  # journal entries carry the wall clock, requests the monotonic one
    rows = RecordTail(site.settings.reports / release / REQUESTS_FILE).read()
    last_old = max(
        (row.started / 1e6 for row in rows if row.started / 1e6 >= decided + offset and row.version != to),
        default=0.0,
    )
    users = max(done, last_old - offset if last_old else 0.0)
    steps = {entry.step: float(entry.facts.get("seconds", 0.0)) for entry in entries if entry.event == "step.done"}
    return Rollback(
        is_warm=is_warm,
        is_now=is_now,
        status=ended.status,
        trigger_to_users=users - decided,
        command_to_users=users - began_wall,
        start=steps["stage"] + steps["prove"],
        whole=whole,
        lost=sum(row.outcome in ("lost", "unreached") for row in rows),
        requests=len(rows),
    )


def _instant(entries: list[JournalEntry], event: str) -> float:
    at = next(entry.at for entry in entries if (entry.event, entry.step) == (event, "switch"))
    return datetime.fromisoformat(at).timestamp()


def p99(values: list[float]) -> float:
    """The 99th percentile by nearest rank: of fewer than a hundred values it is the largest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else float("nan")


def current(site: Site) -> str:
    active = site.observe().active
    return active.version if active else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="warm rollbacks")
    parser.add_argument("--cold", type=int, default=3, help="cold rollbacks")
    parser.add_argument("--now", type=int, default=10, help="warm rollbacks that move users first")
    parser.add_argument("--json", type=Path)
    told = parser.parse_args()
    seen: list[Rollback] = []
    with throwaway_site(SETTINGS) as made:
        for version in VERSIONS:
            first = made.deploy(version)
            if first.status:
                print(first.output, file=sys.stderr)
                return 1
        site = open_site(load_settings(made.settings, environment={}))
        for number in range(told.now + told.rounds + told.cold):
            to = next(version for version in VERSIONS if version != current(site))
            is_now, is_warm = number < told.now, number < told.now + told.rounds
            seen.append(rolled_back(made, to=to, is_warm=is_warm, is_now=is_now))
            _print(seen[-1])
    if told.json:
        told.json.write_text(json.dumps([asdict(each) for each in seen], indent=2) + "\n", encoding="utf-8")
    return judged(seen)


def _print(each: Rollback) -> None:
    kind = "now " if each.is_now else "warm" if each.is_warm else "cold"
    print(
        f"{kind}  trigger to users {each.trigger_to_users * 1000:6.1f} ms   "
        f"command to users {each.command_to_users:5.2f} s   start {each.start:5.2f} s   whole {each.whole:5.2f} s   "
        f"lost {each.lost} of {each.requests}",
        flush=True,
    )


def judged(seen: list[Rollback]) -> int:
    """The exit status: every bar beside what was measured is printed."""
    warm = [each for each in seen if each.is_warm and not each.is_now]
    cold, now = [each for each in seen if not each.is_warm], [each for each in seen if each.is_now]
    at_once = sorted(each.command_to_users for each in now)
    if at_once:
        median = at_once[len(at_once) // 2]
        print(f"--now: command to users p50 {median:.2f} s, p99 {p99(at_once):.2f} s (bar {NOW_BAR} s)")
    trigger = p99([each.trigger_to_users for each in warm])
    print(f"warm: trigger to users p99 {trigger * 1000:.1f} ms of {len(warm)} (bar {TRIGGER_BAR * 1000:.0f} ms)")
    command = sorted(each.command_to_users for each in warm)
    if command:
        print(f"warm: command to users p50 {command[len(command) // 2]:.2f} s, p99 {p99(command):.2f} s")
    usual = command[len(command) // 2] if command else 0.0
    extra = p99([each.command_to_users - each.start - usual for each in cold]) if cold else 0.0
    if cold:
        print(f"cold: {extra:+.2f} s beyond the start and a warm command (bar {COLD_BAR:+.0f} s), of {len(cold)}")
    if any(each.status or each.lost for each in seen):
        print("a rollback did not promote, or users lost requests")
        return 1
    return 3 if trigger > TRIGGER_BAR or extra > COLD_BAR or (at_once and p99(at_once) > NOW_BAR) else 0


if __name__ == "__main__":
    sys.exit(main())
