"""What moving all users between two slots costs them, request by request, and what the classic way costs beside it.

    python benchmarks/switchover.py [--switches 50] [--rate 1000] [--users 60] [--round-trip 0|0.02] [--compare]
                                    [--way flag|reload] [--nginx PROGRAM] [--json FILE] [--keep FOLDER]

A throw-away site with a real nginx and two versions of the reference application is put under strict traffic: nothing
is ever resent. Its users are moved to and fro by the steps of a release, and the records of client, proxy and
application are compared. --compare measures both ways to switch, each without delay and with a round trip of 20 ms.

Exit status: 0 when every bar is met; 1 when our way lost, duplicated or misled a request, or when the classic way
lost nothing at 20 ms, for then the measurement is blind; 3 when only a bar of speed was missed. benchmarks/README.md
explains the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.switching_result import Result, Task, Way
from benchmarks.switching_run import run
from cakravia_verify.errors import CakraviaError

FAR = 0.02
FIRST_ANSWER_BAR = 5.0
HELD_BAR = 0.99
LAG_BAR = 5.0
CONNECTIONS_BAR = 50
SWITCHES_BAR = 50
RATE_BAR = 1000.0
NAMES: dict[Way, str] = {"flag": "flag file", "reload": "classic reload"}


@dataclass(frozen=True)
class Bar:
    """One demand. `is_proof` bars say whether anybody was hurt; the others are about speed and load."""

    what: str
    value: str
    is_met: bool
    is_proof: bool


def bars(result: Result) -> Iterator[Bar]:
    task = result.task
    if task.way == "reload":
        if task.round_trip:
            yield Bar(
                "the measurement sees what a reload loses",
                f"{result.lost} lost, {result.predicted:.0f} predicted",
                result.lost > 0,
                is_proof=True,
            )
        return
    for what, number in (
        ("lost", result.lost),
        ("unreached", result.unreached),
        ("error answers", result.errors),
        ("executed more than once (application log)", result.duplicated),
        ("executed more than once (order store)", result.executed_twice),
        ("sent to a second upstream", result.masked),
        ("begun after the switch, answered by the old slot", result.fence_violations),
        ("disagreements between the three records", len(result.findings)),
    ):
        yield Bar(what, f"{number}", number == 0, is_proof=True)
    if not task.round_trip:
        yield Bar(
            f"decision -> first user on the candidate, p99 <= {FIRST_ANSWER_BAR:g} ms",
            f"{result.first_new[1]:.2f} ms",
            result.first_new[1] <= FIRST_ANSWER_BAR,
            is_proof=False,
        )
    yield Bar(
        f"planned load really sent, >= {HELD_BAR:.0%}",
        f"{result.share_held:.2%} of {task.rate:g}/s",
        result.share_held >= HELD_BAR,
        is_proof=False,
    )
    yield Bar(
        f"schedule lag p99 <= {LAG_BAR:g} ms",
        f"{result.schedule_lag[1]:.2f} ms",
        result.schedule_lag[1] <= LAG_BAR,
        is_proof=False,
    )


def show(result: Result) -> None:
    task = result.task
    print(
        f"\n{NAMES[task.way]}, {task.round_trip * 1000:g} ms round trip, nginx {result.nginx}: "
        f"{result.switches} switches ({result.cold_starts} with a cold start) in {result.seconds:g} s"
    )
    for what, text in _lines(result):
        print(f"  {what:<11} {text}")
    for bar in bars(result):
        print(f"  {'met' if bar.is_met else 'MISSED':<7} {bar.what}: {bar.value}")


def _lines(result: Result) -> Iterator[tuple[str, str]]:
    yield (
        "sent",
        f"{result.sent:,} requests, {result.bodies_sent:,} of them POST or PUT; {result.reused_rate:g}/s of "
        f"{result.sent / result.seconds:.0f}/s over {result.connections} connections already in use",
    )
    yield "lost", f"{result.lost_in_words}; {result.unreached} unreached, {result.errors} error answers"
    yield (
        "duplicated",
        f"{result.duplicated} by the application's log, {result.executed_twice} by its order store; "
        f"{result.masked} sent to a second upstream",
    )
    yield (
        "old slot",
        f"{result.fence_violations} answers to requests begun after the switch, {result.straddling} begun before and "
        f"written after it; {result.old_after_decision} written after the decision, the last {result.last_old:.2f} ms "
        "after it",
    )
    yield "first user", f"{_three(result.first_new)} ms after the decision; the act itself {_three(result.flip)} ms"
    yield "next sent", f"{_three(result.next_sent)} ms after the decision: until then there was nobody to answer"
    yield "latency", f"{_three(result.latency)} ms from the planned instant, the 1 s requests left out"
    yield (
        "schedule",
        f"{result.share_held:.2%} of the plan held; lag {_three(result.schedule_lag)} ms; "
        f"{result.idle_closes} idle closes",
    )
    for finding in result.findings:
        yield "finding", finding
    if result.task.way == "flag":
        for row in result.lost_rows[:10]:
            yield "lost row", json.dumps(row, default=str)
        for line in result.error_log[-20:]:
            yield "nginx says", line


def _three(values: tuple[float, float, float]) -> str:
    return "p50 {:.2f}, p99 {:.2f}, max {:.2f}".format(*values)


COLUMNS: tuple[tuple[str, Callable[[Result], str]], ...] = (
    ("switched by", lambda result: NAMES[result.task.way]),
    ("round trip", lambda result: f"{result.task.round_trip * 1000:g} ms"),
    ("switches", lambda result: f"{result.switches}"),
    ("sent", lambda result: f"{result.sent:,}"),
    ("lost", lambda result: f"{result.lost}"),
    ("predicted", lambda result: f"{result.predicted:.0f}"),
    ("per switch", lambda result: f"{result.lost / max(1, result.switches):.2f}"),
    ("twice", lambda result: f"{result.duplicated + result.executed_twice}"),
    ("old slot", lambda result: f"{result.fence_violations}"),
    ("old, ms", lambda result: f"{result.last_old:.2f}"),
    ("new p99, ms", lambda result: f"{result.first_new[1]:.2f}"),
    ("p50 ms", lambda result: f"{result.latency[0]:.2f}"),
    ("p99 ms", lambda result: f"{result.latency[1]:.2f}"),
    ("max ms", lambda result: f"{result.latency[2]:.0f}"),
    ("lag p99", lambda result: f"{result.schedule_lag[1]:.2f}"),
    ("held", lambda result: f"{result.share_held:.2%}"),
)


def table(results: list[Result]) -> None:
    rows = [[name for name, _ in COLUMNS], *([told(result) for _, told in COLUMNS] for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    print()
    for first, *others in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([f"{first:<{widths[0]}}", *cells]))
    print(
        "\nold slot: answers by it to requests begun after the switch was in force. old, ms: from the decision to the\n"
        "last request written after it that the old slot answered, 0 for none. new p99: from the decision to the\n"
        "first user answered by the new slot. predicted: rate on reused connections x round trip x reloads."
    )


def status_of(results: list[Result]) -> int:
    missed = [bar for result in results for bar in bars(result) if not bar.is_met]
    if any(bar.is_proof for bar in missed):
        return 1
    return 3 if missed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--switches", type=int, default=SWITCHES_BAR)
    parser.add_argument("--rate", type=float, default=RATE_BAR, help="requests per second")
    parser.add_argument("--users", type=int, default=60, help="kept connections")
    parser.add_argument("--round-trip", type=float, default=0.0, help="seconds between client and nginx")
    parser.add_argument("--way", choices=("flag", "reload"), default="flag")
    parser.add_argument("--compare", action="store_true", help="both ways, each at 0 and 20 ms")
    parser.add_argument("--nginx", default="", help="another nginx than the site's own")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    parser.add_argument("--keep", type=Path, help="a folder that keeps the sites' files")
    options = parser.parse_args()
    pairs: list[tuple[Way, float]] = [(options.way, options.round_trip)]
    if options.compare:
        pairs = [("flag", 0.0), ("flag", FAR), ("reload", 0.0), ("reload", FAR)]
    results = []
    for way, round_trip in pairs:
        task = Task(way, options.switches, options.rate, options.users, round_trip, options.nginx)
        keep = options.keep / f"{way}-{round_trip * 1000:g}ms" if options.keep else None
        print(f"load average before {NAMES[way]}: {', '.join(f'{load:.2f}' for load in os.getloadavg())}", flush=True)
        try:
            results.append(run(task, keep=keep))
        except CakraviaError as error:
            print(f"{NAMES[way]}, {round_trip * 1000:g} ms: {error}", file=sys.stderr)
            return 1
        show(results[-1])
    table(results)
    if options.json:
        options.json.write_text(json.dumps([result.as_dict() for result in results], indent=1, default=str) + "\n")
    return status_of(results)


if __name__ == "__main__":
    sys.exit(main())
