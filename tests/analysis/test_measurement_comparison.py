"""From a ledger with one switch to the bake judgement's ruling."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cakravia_verify.analysis.measurement import measure
from cakravia_verify.analysis.run_timeline import RunTimeline
from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Microseconds
from tests.traffic.ledger.ledger_files import Run, request

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 1_500
EVERY = 1_000
GREEN = {"slot": "green", "served_slot": "green", "version": "v2"}
SWITCH = Switchover(Colour.GREEN, Microseconds(SIDE * EVERY), Microseconds(SIDE * EVERY))
TIMELINE = RunTimeline(
    touched=Microseconds(0),
    switchovers=(SWITCH,),
    until=None,
    rate=1e6 / EVERY,
    warm_up=Microseconds(100 * EVERY),
)


def ruling(
    tmp_path: Path, timeline: RunTimeline, *, slower: int = 0, lost: int = 0
) -> tuple[str | None, str | None, str]:
    """`slower` microseconds on every answer of the candidate, `lost` of its requests lost."""
    rows = []
    for number in range(2 * SIDE):
        planned = number * EVERY
        facts: dict[str, Any] = {"planned": planned, "started": planned, "sent": planned}
        is_new = number >= SIDE
        facts["done"] = planned + 20_000 + number % 50 * 100 + (slower if is_new else 0)
        facts |= GREEN if is_new else {}
        if is_new and number % SIDE in range(200, 200 + lost):
            facts |= {"outcome": "lost", "done": None, "status": None}
        rows.append(request(number, **facts))
    with Run(tmp_path, rows).build() as ledger:
        measured = measure(ledger, timeline, has_application=False).measured
    return measured.judgement, measured.judgement_gross, measured.judgement_why


def test_a_candidate_as_good_as_the_previous_slot_passes(tmp_path: Path) -> None:
    assert ruling(tmp_path, TIMELINE)[0] == "PASS"


@pytest.mark.parametrize(
    ("worse", "why"), [({"slower": 10_000}, "latency shift"), ({"lost": 30}, "failures 30 of 1,400")]
)
def test_a_candidate_that_is_worse_fails_with_the_numbers(tmp_path: Path, worse: dict[str, int], why: str) -> None:
    said, _, words = ruling(tmp_path, TIMELINE, **worse)
    assert said == "FAIL"
    assert why in words


@pytest.mark.parametrize(
    ("worse", "gross"), [({"slower": 10_000}, "PASS"), ({"slower": 60_000}, "FAIL"), ({"lost": 30}, "FAIL")]
)
def test_only_a_gross_difference_is_gross(tmp_path: Path, worse: dict[str, int], gross: str) -> None:
    assert ruling(tmp_path, TIMELINE, **worse)[:2] == ("FAIL", gross)


def test_a_warm_up_that_leaves_too_little_is_inconclusive(tmp_path: Path) -> None:
    assert ruling(tmp_path, replace(TIMELINE, warm_up=Microseconds(1_000 * EVERY)))[0] == "INCONCLUSIVE"


@pytest.mark.parametrize(
    "timeline",
    [
        replace(TIMELINE, has_previous=False),
        replace(TIMELINE, switchovers=()),
        replace(TIMELINE, warm_up=None),
    ],
)
def test_without_a_previous_slot_or_a_wish_there_is_no_judgement(tmp_path: Path, timeline: RunTimeline) -> None:
    assert ruling(tmp_path, timeline, slower=10_000) == ("", "", "")
