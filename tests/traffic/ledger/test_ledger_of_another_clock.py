"""An application behind a remote engine writes its log by another machine's clock: that changes no finding."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.analysis.measurement import measure
from cakravia_verify.analysis.run_timeline import RunTimeline
from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Microseconds
from cakravia_verify.traffic.ledger.findings import Kind
from tests.traffic.ledger.ledger_files import Run, handled, passed, request

HOUR = 3_600_000_000
# Of a machine that was started long before the one that sends, and of one that was started a hair after it.
OFFSETS = (400 * 24 * HOUR, -900)
FENCE = 40_900
# Two columns tell the application's own instants; no other column, count or finding may come from them.
OWN = ("app_began", "app_ended")


def wronged(folder: Path) -> Run:
    """A run in which everything that the application's log can show has happened; the fence is before request 41."""
    folder.mkdir()
    requests = [request(number) for number in range(1, 80)]
    proxy = [passed(number) for number in range(1, 80)]
    log: list[tuple[Any, ...]] = []
    for number in range(1, 80):
        log += [logged(number), logged(number, event="end")]
    lost = {"outcome": "lost", "status": None, "done": None, "slot": None, "version": None, "served_slot": None}
    requests[9] = request(10, **lost)  # executed, then lost
    requests[49] = request(50, **lost, method="POST")  # lost after the fence, and only the log says who had it
    log += [logged(20)]  # begun twice
    log = [row for row in log if row[2] != "r1-30"]  # answered, and never begun
    log = [row for row in log if row[2] != "r1-35"] + [logged(35, slot="green")]
    log = [row for row in log if row[2] != "r1-37"] + [logged(37, version="v2")]
    log += [logged("r1-999")]  # nobody sent it
    for number in range(41, 80):  # users were moved at the fence: all but two requests
        if number not in (50, 60):
            requests[number - 1] = request(number, slot="green", served_slot="green", version="v2")
            proxy[number - 1] = passed(number, slot="green", upstream="127.0.0.1:3001")
            log = [row for row in log if row[2] != f"r1-{number}"] + [logged(number, slot="green", version="v2")]
    return Run(folder, requests, proxy=proxy, application=log)


def logged(number: int | str, *, event: str = "begin", **changes: str) -> tuple[Any, ...]:
    """The application's line, by the client's own clock."""
    at = (number if isinstance(number, int) else 79) * 1000 + (100 if event == "begin" else 400)
    row = handled(number, event=event, **changes)
    return (row[0], at, *row[2:])


def shifted(run: Run, offset: int, folder: Path) -> Run:
    folder.mkdir()
    assert run.application is not None
    log = [(row[0], row[1] + offset, *row[2:]) for row in run.application]
    return replace(run, folder=folder, application=log)


def told(run: Run) -> dict[str, Any]:
    """Everything that is concluded from a run, without the application's instants and without names of files."""
    with run.build() as ledger:
        names = [name for (name,) in ledger.query("SELECT column_name FROM (DESCRIBE ledger)") if name not in OWN]
        columns = ", ".join(f'"{name}"' for name in names)
        switch = Switchover(Colour.GREEN, decided_at=Microseconds(FENCE - 500), effective_at=Microseconds(FENCE))
        timeline = RunTimeline(touched=Microseconds(5000), switchovers=(switch,), until=None, rate=1000.0)
        fence = ledger.fence_violations(Microseconds(FENCE), "blue")
        found: dict[str, Any] = {
            "rows": ledger.query(f"SELECT {columns} FROM ledger ORDER BY id"),  # noqa: S608 - its own column names
            "counts": ledger.evidence.counts,
            "findings": {(finding.kind, finding.total) for finding in ledger.evidence.findings},
            "fence": [row["id"] for row in fence.violations.first],
            "measured": repr(measure(ledger, timeline, has_application=True)),
        }
    found["measured"] = re.sub(r"'?(app_began|app_ended|at_us)'?\W+\d+", "", found["measured"])
    return found


@pytest.fixture(scope="module")
def by_one_clock(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return told(wronged(tmp_path_factory.mktemp("one") / "run"))


def test_the_run_shows_what_an_applications_log_can_show(by_one_clock: dict[str, Any]) -> None:
    """Else the comparison below would compare nothing."""
    kinds = {kind for kind, _ in by_one_clock["findings"]}
    assert kinds >= {
        Kind.MISSING_AT_APPLICATION,
        Kind.UNKNOWN_AT_APPLICATION,
        Kind.SLOT_DISAGREES,
        Kind.VERSION_DISAGREES,
    }
    assert by_one_clock["fence"] == ["r1-50", "r1-60"]


@pytest.mark.parametrize("offset", OFFSETS)
def test_another_clock_makes_no_false_finding_and_hides_no_true_one(
    by_one_clock: dict[str, Any], tmp_path: Path, offset: int
) -> None:
    assert told(shifted(wronged(tmp_path / "run"), offset, tmp_path / "shifted")) == by_one_clock


def test_a_run_without_fault_is_one_by_any_clock(tmp_path: Path) -> None:
    requests, proxy = [request(n) for n in range(1, 30)], [passed(n) for n in range(1, 30)]
    log = [logged(n, event=event) for n in range(1, 30) for event in ("begin", "end")]
    run = Run(tmp_path, requests, proxy=proxy, application=log)
    with shifted(run, 400 * 24 * HOUR, tmp_path / "shifted").build() as ledger:
        assert ledger.evidence.findings == ()
        assert ledger.evidence.counts.answered == 29
