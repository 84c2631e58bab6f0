"""What a release takes beyond its build, the application's start and the configured bake, and where that time goes.

    python benchmarks/release_overhead.py [--rounds 1] [--imports] [--json FILE] [--keep FOLDER]

Whole sessions run as an operator runs them, on a throw-away site with a bake of 1 s: the first release, the second, and
the way back. Overhead is the life of the pytest process minus bake, build and application start as the history tells
them. The application's start ends with its first good reading: the further rounds of the health gate are overhead.

Exit status: 0 when every bar is met, 1 when one is missed or a session did not promote.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from benchmarks.throwaway_site import throwaway_site
from cakravia_verify.history.journal import Journal
from cakravia_verify.history.journal_file import JournalEntry
from cakravia_verify.history.releases import records
from cakravia_verify.kinds import SUITES
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.settings.models import Settings
from cakravia_verify.testing.throwaway_site import ThrowawaySite

BAKE = 1.0
OVERHEAD_BAR, START_BAR = 8.0, 1.0
SESSIONS = (
    ("first release", "deploy", ("--version", "v1.1.0")),
    ("second release", "deploy", ("--version", "v1.2.0")),
    ("rollback", "rollback", ("--reason", "to measure it")),
)
_IMPORT = re.compile(r"^import time:\s+(\d+) \|\s+(\d+) \|( *)(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Session:
    """One pytest process. Times in seconds; `spans` are the stretches between entries of the history, in order."""

    name: str
    status: int
    total: float
    start_up: float
    build: float
    application_start: float
    spans: tuple[tuple[str, float], ...]

    @property
    def overhead(self) -> float:
        return self.total - BAKE - self.build - self.application_start


def measure(name: str, kind: str, arguments: tuple[str, ...], *, made: ThrowawaySite) -> Session:
    """The session as it ran; what it printed is shown where it did not promote."""
    settings = load_settings(made.settings, environment={})
    journal = Journal(settings.history)
    known = len(journal.entries())
    began = time.time()
    ended = made.pytest(str(SUITES / kind), *made.site, *arguments)
    over = time.time()
    if ended.status:
        print(ended.output, file=sys.stderr)
    entries = [entry for entry in journal.entries()[known:] if entry.event != "notice"]
    told = records(entries)
    steps = dict(told[-1].step_seconds) if told else {}
    return Session(
        name=name,
        status=ended.status,
        total=over - began,
        start_up=_at(entries[0]) - began if entries else over - began,
        build=steps.get("build", 0.0),
        application_start=_application_start(settings, steps),
        spans=_spans(entries, began, over),
    )


def _application_start(settings: Settings, steps: dict[str, float]) -> float:
    """From the first act of starting it to its first round of good readings; 0 where it was running already."""
    rounds = (settings.health.consecutive - 1) * settings.health.interval
    until_healthy = max(0.0, steps.get("prove", 0.0) - rounds)
    return steps.get("stage", 0.0) + until_healthy if until_healthy > settings.health.interval else 0.0


def _spans(entries: list[JournalEntry], began: float, over: float) -> tuple[tuple[str, float], ...]:
    if not entries:
        return ()
    named = [("start-up and collection", _at(entries[0]) - began)]
    for before, after in pairwise(entries):
        inside = before.event == "step.intent" and after.event == "step.done"
        name = before.step if inside else f"until {after.step or after.event.replace('.', ' ')}"
        named.append((name, _at(after) - _at(before)))
    return (*named, ("report and end", over - _at(entries[-1])))


def _at(entry: JournalEntry) -> float:
    return datetime.fromisoformat(entry.at).timestamp()


def imports(made: ThrowawaySite, version: str) -> list[tuple[str, float]]:
    """Packages by the milliseconds that a release session spends on importing them, their own modules only."""
    ended = made.deploy(version, environment={"PYTHONPROFILEIMPORTTIME": "1"})
    own: Counter[str] = Counter()
    for microseconds, _, _, module in _IMPORT.findall(ended.output):
        own[".".join(module.split(".")[: 2 if module.startswith("cakravia_verify") else 1])] += int(microseconds)
    return [(name, microseconds / 1000) for name, microseconds in own.most_common()]


def show(session: Session, *, least: float = 0.02) -> None:
    print(
        f"\n{session.name}: {session.total:.2f} s, exit status {session.status}; beyond bake {BAKE:g} s, build "
        f"{session.build:.2f} s and application start {session.application_start:.2f} s: {session.overhead:.2f} s"
    )
    for name, seconds in session.spans:
        if seconds >= least:
            print(f"  {seconds:7.2f} s  {name}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1, help="how often; the median counts")
    parser.add_argument("--imports", action="store_true", help="also what is imported, and how long that takes")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    parser.add_argument("--keep", type=Path, help="a folder that keeps the site's files")
    options = parser.parse_args()
    measured: list[Session] = []
    print(f"load average: {', '.join(f'{load:.2f}' for load in os.getloadavg())}", flush=True)
    for number in range(options.rounds):
        keep = options.keep / str(number) if options.keep else None
        with throwaway_site({"release": {"bake": BAKE}}, keep=keep) as made:
            for name, kind, arguments in SESSIONS:
                measured.append(measure(name, kind, arguments, made=made))
                show(measured[-1])
                if measured[-1].status:
                    print(f"\n{name} did not promote; what follows it is not measured", file=sys.stderr)
                    return 1
            if options.imports and number == options.rounds - 1:
                found = imports(made, "v1.3.0")
                print(f"\nimports of one session, {sum(ms for _, ms in found):.0f} ms with tracing on:")
                for package, ms in found[:25]:
                    print(f"  {ms:7.1f} ms  {package}")
    if options.json:
        rows = [{**asdict(session), "overhead": session.overhead} for session in measured]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return judged(measured)


def judged(measured: list[Session]) -> int:
    """Prints the bars; 0 when all are met."""
    print()
    is_met = True
    for name, _, _ in SESSIONS:
        of_this = [session for session in measured if session.name == name]
        overhead = statistics.median(session.overhead for session in of_this)
        start_up = statistics.median(session.start_up for session in of_this)
        for what, value, bar in (
            ("overhead", overhead, OVERHEAD_BAR),
            ("start-up and collection", start_up, START_BAR),
        ):
            met = value <= bar and all(session.status == 0 for session in of_this)
            is_met = is_met and met
            print(f"{'met' if met else 'MISSED':<8}{name:<16}{what:<26}{value:6.2f} s  bar <= {bar:g} s")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
