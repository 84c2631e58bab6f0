"""The rule of what counts since a switch, as a function of rows and as a condition on the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cakravia_verify.analysis.since_switch import BEGAN_AFTER, ENDED_BEFORE, began_after, ended_before, lost_since
from cakravia_verify.system.clock import Microseconds
from cakravia_verify.traffic.records.rows import RecordTail, Row
from tests.traffic.ledger.ledger_files import Run, request

if TYPE_CHECKING:
    from pathlib import Path

DECIDED, EFFECTIVE = Microseconds(10_000), Microseconds(10_300)
LOST: dict[str, Any] = {"outcome": "lost", "status": None}
REQUESTS = {
    "ended before": request(1, started=9_000, done=9_999, **LOST),
    "cut before": request(2, started=9_000, done=None, **LOST),
    "ended at the decision": request(3, started=9_000, done=10_000, **LOST),
    "under way": request(4, started=9_000, done=20_000, **LOST),
    "cut after": request(5, started=10_100, done=None, **LOST),
    "began at the fence": request(6, started=10_300, done=11_000, **LOST),
    "began after": request(7, started=10_301, done=11_000, **LOST),
}
COUNTING = ["ended at the decision", "under way", "cut after", "began at the fence", "began after"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, list(REQUESTS.values()))


def rows_of(run: Run) -> list[Row]:
    return list(RecordTail(run.write()["requests"]).read())


def test_a_request_under_way_at_the_decision_counts_as_lost_since_the_switch(run: Run) -> None:
    assert [row.id for row in lost_since(rows_of(run), DECIDED)] == [REQUESTS[name]["id"] for name in COUNTING]


def test_rows_and_ledger_follow_one_rule(run: Run) -> None:
    rows = rows_of(run)
    with run.build_from_files() as ledger:
        ended, began = (
            {name for (name,) in ledger.query(f"SELECT id FROM ledger WHERE {condition}", instant)}  # noqa: S608
            for condition, instant in (
                (ENDED_BEFORE, {"decided_at": DECIDED}),
                (BEGAN_AFTER, {"effective_at": EFFECTIVE}),
            )
        )
    assert ended == {row.id for row in rows if ended_before(row, DECIDED)}
    assert began == {row.id for row in rows if began_after(row, EFFECTIVE)}
    assert (len(ended), len(began)) == (2, 1)
