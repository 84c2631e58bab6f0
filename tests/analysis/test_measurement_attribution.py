"""Failures before the switch: the version before's own, or the release's; and what users were answered after it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cakravia_verify.analysis.measurement import measure
from cakravia_verify.analysis.model import Measurement
from cakravia_verify.analysis.run_timeline import RunTimeline
from cakravia_verify.gate.model import Budget, CheckStatus
from cakravia_verify.gate.rules import traffic_checks
from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Microseconds
from tests.traffic.ledger.ledger_files import Run, handled, passed, request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

EVERY = 10_000
EARLY, LATE, AFTER = 50, 250, 300
TOUCHED, DECIDED = EARLY * EVERY, (EARLY + LATE) * EVERY
SWITCH = Switchover(Colour.GREEN, Microseconds(DECIDED), Microseconds(DECIDED))
TIMELINE = RunTimeline(touched=Microseconds(TOUCHED), switchovers=(SWITCH,), until=None, rate=1e6 / EVERY, version="v2")
LOST = {"outcome": "lost", "status": None, "slot": None, "served_slot": None, "version": None}
BAD_GATEWAY = {"outcome": "lost", "status": 502, "slot": None, "version": None, "detail": "gateway says 502"}
UNREACHED = {"outcome": "unreached", "sent": None, "status": None, "slot": None, "served_slot": None, "version": None}
ERROR = {"outcome": "error", "status": 500, "detail": "status 500"}
FAILURES: dict[str, dict[str, Any]] = {"lost": LOST, "bad gateway": BAD_GATEWAY, "unreached": UNREACHED, "error": ERROR}
COUNTS = {"lost": "lost", "bad gateway": "lost", "unreached": "unreached", "error": "errors"}


def released(
    folder: Path,
    failing: Mapping[str, tuple[int, int]],
    *,
    timeline: RunTimeline = TIMELINE,
    proxy: Callable[[int, dict[str, Any]], dict[str, Any]] | None = None,
    after: Mapping[str, Any] | None = None,
) -> Measurement:
    """A release of which so many requests failed before it touched anything and from there to the switch, of each kind;
    `after` is what differs in every answer to requests begun after the switch, `proxy` what does in nginx's lines."""
    kinds: dict[int, str] = {}
    for kind, (early, late) in failing.items():
        for first, number, last in ((0, early, EARLY), (EARLY, late, EARLY + LATE)):
            free = [each for each in range(first, last) if each not in kinds]
            kinds.update(dict.fromkeys(free[:number], kind))
    rows, lines = [], []
    for number in range(EARLY + LATE + AFTER):
        at = number * EVERY
        facts: dict[str, Any] = {"planned": at, "started": at + 10, "sent": at + 30, "done": at + 2_000}
        if number >= EARLY + LATE:
            facts |= {"slot": "green", "served_slot": "green", "version": "v2", **(after or {})}
        facts |= FAILURES[kinds[number]] if number in kinds else {}
        rows.append(request(number, **facts))
        status = rows[-1]["status"] or 499
        line = passed(number, status=status, upstream_status=str(status), slot="green" if at >= DECIDED else "blue")
        lines.append(proxy(number, rows[-1] | line) if proxy else line)
    with Run(folder, rows, lines).build() as ledger:
        return measure(ledger, timeline, has_application=False)


def standing(seen: Measurement, name: str) -> CheckStatus:
    checks = traffic_checks(seen.measured, Budget(), has_previous=True)
    return next(check.standing for check in checks if check.name == name)


def test_an_error_of_the_version_before_is_its_own_whether_or_not_it_had_one_at_once(tmp_path: Path) -> None:
    for early in (0, 1):
        seen = released(tmp_path, {"error": (early, 4)})
        assert (seen.measured.errors, seen.measured.excused) == (4 + early, {"errors": 4 + early})
        assert standing(seen, "errors") is CheckStatus.PASSED
        assert seen.findings == (
            f"before the switch: {4 + early} error answers of the old version, which are not counted: they are its own "
            f"({early} of 50 requests before the release began, 4 of 250 after)",
        )


def test_errors_of_the_version_before_that_rise_once_the_release_begins_are_the_releases(tmp_path: Path) -> None:
    """A candidate that changes the database under the version that serves."""
    seen = released(tmp_path, {"error": (0, 60)})
    assert (seen.measured.errors, seen.measured.excused) == (60, {})
    assert standing(seen, "errors") is CheckStatus.FAILED
    assert "60 error answers of the old version, which count: they rose after it began" in seen.findings[0]


@pytest.mark.parametrize("kind", ["lost", "bad gateway", "unreached"])
def test_what_is_lost_before_the_switch_counts_where_none_was_before_the_release(tmp_path: Path, kind: str) -> None:
    seen = released(tmp_path, {kind: (0, 1)})
    name = COUNTS[kind]
    assert (getattr(seen.measured, name), seen.measured.excused) == (1, {})
    assert standing(seen, name) is CheckStatus.FAILED
    assert "which count: there were none before the release began (0 of 50 requests" in seen.findings[0]


def test_errors_of_the_version_before_excuse_no_loss(tmp_path: Path) -> None:
    """The old slot stands still while the candidate is proven."""
    seen = released(tmp_path, {"error": (3, 15), "lost": (0, 61)})
    assert (seen.measured.lost, seen.measured.excused) == (61, {"errors": 18})
    assert standing(seen, "lost") is CheckStatus.FAILED
    assert seen.measured.lost_bound.startswith("61 of 600")


def test_loss_that_rises_once_the_release_begins_counts(tmp_path: Path) -> None:
    seen = released(tmp_path, {"lost": (2, 61)})
    assert (seen.measured.lost, seen.measured.excused) == (63, {})
    assert standing(seen, "lost") is CheckStatus.FAILED


@pytest.mark.parametrize("kind", FAILURES)
def test_a_release_that_mends_a_site_that_was_failing_all_along_can_pass(tmp_path: Path, kind: str) -> None:
    seen = released(tmp_path, {kind: (EARLY, LATE)})
    name = COUNTS[kind]
    assert (getattr(seen.measured, name), seen.measured.excused) == (EARLY + LATE, {name: EARLY + LATE})
    assert standing(seen, name) is CheckStatus.PASSED
    assert f"{EARLY + LATE} " in seen.findings[0]
    assert len(seen.lost_rows) == (20 if name == "lost" else 0)


@pytest.mark.parametrize(
    "change",
    [{"upstream": "", "upstream_status": ""}, {"upstream_status": "502"}],
    ids=["nginx itself", "in its place"],
)
def test_an_error_that_the_old_slot_did_not_give_is_not_its_own(tmp_path: Path, change: dict[str, str]) -> None:
    def line(_: int, seen: dict[str, Any]) -> dict[str, Any]:
        known = {name: seen[name] for name in passed(0)}
        return known | change if seen["outcome"] == "error" else known

    seen = released(tmp_path, {"error": (0, 4)}, proxy=line)
    assert (seen.measured.errors, seen.measured.excused) == (4, {})
    assert standing(seen, "errors") is CheckStatus.FAILED


@pytest.mark.parametrize(
    "timeline", [replace(TIMELINE, touched=None), replace(TIMELINE, switchovers=())], ids=["untouched", "none"]
)
def test_a_release_that_did_not_come_so_far_excuses_nothing(tmp_path: Path, timeline: RunTimeline) -> None:
    assert released(tmp_path, {"error": (1, 4), "lost": (1, 1)}, timeline=timeline).measured.excused == {}


@pytest.mark.parametrize(("kind", "own"), [("error", 1), ("lost", 0)])
def test_an_error_answer_begun_before_the_switch_is_the_old_slots_own_also_after_it(
    tmp_path: Path, kind: str, own: int
) -> None:
    last = EARLY + LATE - 1
    rows = [
        request(number, planned=number * EVERY, started=number * EVERY, done=number * EVERY + 2_000)
        for number in range(last)
    ]
    rows.append(request(last, started=last * EVERY, **FAILURES[kind] | {"done": DECIDED + 500_000}))
    with Run(tmp_path, rows).build() as ledger:
        assert sum(measure(ledger, TIMELINE, has_application=False).measured.excused.values()) == own


def test_errors_since_the_switch_are_counted_apart(tmp_path: Path) -> None:
    seen = released(tmp_path, {"error": (1, 4)}, after=ERROR).measured
    assert (seen.errors, seen.sent_after_switch, seen.errors_after_switch) == (5 + AFTER, AFTER, AFTER)


def test_answers_after_the_switch_that_name_another_version_are_told(tmp_path: Path) -> None:
    seen = released(tmp_path, {}, after={"version": "v1"})
    assert seen.measured.integrity == ("300 answers by green after the switch named version v1 instead of v2",)
    assert standing(seen, "ledger") is CheckStatus.UNKNOWN


@pytest.mark.parametrize("version", ["v2", None])
def test_answers_that_name_the_version_or_none_are_in_order(tmp_path: Path, version: str | None) -> None:
    assert released(tmp_path, {}, after={"version": version}).measured.integrity == ()


def test_answers_of_the_slot_before_name_its_own_version(tmp_path: Path) -> None:
    late = {"slot": "blue", "served_slot": "blue", "version": "v1"}
    assert not any("named version" in told for told in released(tmp_path, {}, after=late).measured.integrity or ())


def test_a_candidate_that_logs_nothing_where_the_version_before_did_is_told(tmp_path: Path) -> None:
    rows = [request(number) for number in range(5)]
    green = {"slot": "green", "served_slot": "green", "version": "v2"}
    rows += [request(number, **green) for number in range(1000, 1005)]
    run = Run(tmp_path, rows, application=[handled(number) for number in range(5)])
    at = Microseconds(500_000)
    timeline = replace(TIMELINE, touched=Microseconds(0), switchovers=(Switchover(Colour.GREEN, at, at),))
    with run.build() as ledger:
        said = measure(ledger, timeline, has_application=False, unlogged=Colour.GREEN).measured.integrity
        quiet = measure(ledger, timeline, has_application=False).measured.integrity
    assert any(told.startswith("the request log of green has no line of this run") for told in said or ())
    assert not any("request log of" in told for told in quiet or ())
