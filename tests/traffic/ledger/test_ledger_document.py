"""docs/LEDGER.md says what the ledger is."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from cakravia_verify.traffic.ledger.columns import ledger_columns
from cakravia_verify.traffic.ledger.findings import Kind
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


def test_every_column_is_documented_in_order_with_type_null_and_origin() -> None:
    table = DOCUMENT.split("## Columns")[1].split("## Five")[0]
    documented = re.findall(r"^\| `(\w+)` \| (\w+) \| (yes|no) \| (\w+) \|", table, re.MULTILINE)
    assert documented == [
        (column.name, column.sql, "yes" if column.is_nullable else "no", str(column.origin))
        for column in ledger_columns()
    ]


def test_the_ledger_has_the_columns_that_are_defined(report: Path) -> None:
    real = [(row[0], row[1]) for row in duckdb.execute(f"DESCRIBE FROM '{report}/ledger/*.parquet'").fetchall()]
    assert real == [(column.name, column.sql) for column in ledger_columns()]


NEVER_NULL = [column.name for column in ledger_columns() if not column.is_nullable]


@pytest.mark.parametrize("column", NEVER_NULL)
def test_a_column_that_may_not_be_null_has_a_value_in_every_row(report: Path, column: str) -> None:
    empty = f"SELECT count(*) FROM '{report}/ledger/*.parquet' WHERE {column} IS NULL"  # noqa: S608
    assert duckdb.execute(empty).fetchall() == [(0,)]


def test_every_kind_of_finding_is_documented() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", DOCUMENT.split("## Findings")[1], re.MULTILINE)
    assert documented == [kind.value for kind in Kind]


@pytest.mark.usefixtures("report")
@pytest.mark.parametrize("question", QUESTIONS, ids=range(len(QUESTIONS)))
def test_a_documented_question_can_be_asked(question: str) -> None:
    assert duckdb.execute(question).description


@pytest.mark.usefixtures("report")
def test_the_question_for_lost_but_executed_finds_it() -> None:
    question = next(each for each in QUESTIONS if "executed" in each)
    assert [row[0] for row in duckdb.execute(question).fetchall()] == ["r1-1"]
