"""docs/LEDGER.md says what the ledger is."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from cakravia_verify.traffic.ledger.findings import Kind
from cakravia_verify.traffic.ledger.formats import CLIENT_TYPES, EVENT_TYPES
from cakravia_verify.traffic.records import rows
from tests.traffic.ledger.ledger_files import Run, handled, passed, request

DOCUMENT = (Path(__file__).parents[3] / "docs" / "LEDGER.md").read_text()
QUESTIONS = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a ledger, and the working directory."""
    lost = request(1, outcome="lost", done=None, status=None)
    run = Run(tmp_path, [request(0), lost], [passed(0), passed(1, status=502)], [handled(0), handled(1)])
    run.build().close()
    monkeypatch.chdir(tmp_path / "out")
    return tmp_path / "out"


def test_every_column_is_documented_with_its_type_in_order(report: Path) -> None:
    table = DOCUMENT.split("## Columns")[1].split("## Five")[0]
    documented = re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE)
    real = [(row[0], row[1]) for row in duckdb.execute(f"DESCRIBE FROM '{report}/ledger/*.parquet'").fetchall()]
    assert documented == real


def test_every_kind_of_finding_is_documented() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", DOCUMENT.split("## Findings")[1], re.MULTILINE)
    assert documented == [kind.value for kind in Kind]


def test_there_are_five_questions() -> None:
    assert len(QUESTIONS) == 5


@pytest.mark.usefixtures("report")
@pytest.mark.parametrize("number", range(5))
def test_a_documented_question_has_an_answer(number: int) -> None:
    rows = duckdb.execute(QUESTIONS[number]).fetchall()
    assert rows if number < 4 else not rows


@pytest.mark.usefixtures("report")
def test_the_question_for_lost_but_executed_finds_it() -> None:
    assert [row[0] for row in duckdb.execute(QUESTIONS[1]).fetchall()] == ["r1-1"]


def test_the_columns_read_are_those_the_client_writes() -> None:
    assert ",".join(CLIENT_TYPES) == rows.COLUMNS
    assert ",".join(EVENT_TYPES) == rows.EVENT_COLUMNS
