"""From ledger rows to evidence: the counts, the first raw rows and the findings."""
# ruff: noqa: S608 - the SQL is put together from constants of this package and escaped paths only

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cakravia_verify.traffic.ledger.findings import Counts, Finding, Kind, LedgerFindings, Rows, Schedule, Source
from cakravia_verify.traffic.records.rows import IDLE_CLOSE

if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection

_GOOD_ENDS = ("asked", "finished")


def read_schedule(traffic: Path | None, *, rows: int) -> tuple[Schedule, list[Finding]]:
    """Return the content of traffic.json, and findings if it does not prove that the records are complete."""
    try:
        facts: Any = json.loads(traffic.read_text()) if traffic is not None else None
        schedule = Schedule(
            planned=int(facts["planned"]),
            started=int(facts["started"]),
            finished=int(facts["finished"]),
            rate_planned=float(facts["rate_planned"]),
            rate_achieved=float(facts["rate_achieved"]),
            ended=str(facts.get("ended") or ""),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        seen = f"{traffic}: {error!r}" if traffic is not None else "none was given"
        return Schedule(), [Finding(Kind.NO_SUMMARY, 1, (), seen)]
    findings = []
    if schedule.finished != rows:
        difference = abs(schedule.finished - rows)
        findings.append(Finding(Kind.TRUNCATED, difference, (), f"{rows:,} rows, {schedule.finished:,} finished"))
    if schedule.started > schedule.finished:
        findings.append(Finding(Kind.UNFINISHED, schedule.started - schedule.finished))
    if schedule.ended not in _GOOD_ENDS:
        findings.append(Finding(Kind.BAD_END, 1, (), f"ended: {schedule.ended or 'it still runs, or died'}"))
    return schedule, findings


def rows_of(database: DuckDBPyConnection, sql: str, parameters: dict[str, Any], *, examples: int) -> Rows:
    """Return the number of rows of a query that starts with FROM, and the first of them by column name."""
    counted = database.execute(f"SELECT count(*) FROM ({sql})", parameters).fetchone()
    total = int(counted[0]) if counted else 0
    if not total:
        return Rows(0)
    cursor = database.execute(f"{sql} LIMIT {int(examples)}", parameters)
    names = [column[0] for column in cursor.description or ()]
    return Rows(total, tuple(dict(zip(names, row, strict=True)) for row in cursor.fetchall()))


class Summary:
    """Read the evidence from the tables `ledger`, `strays` and `events` of a staging database."""

    def __init__(self, database: DuckDBPyConnection, *, examples: int) -> None:
        self._database = database
        self._examples = examples

    def evidence(
        self,
        *,
        schedule: Schedule,
        findings: list[Finding],
        sources: tuple[Source, ...],
        has_proxy: bool,
        has_application: bool,
    ) -> LedgerFindings:
        groups = self._database.execute(
            "SELECT outcome, strict, coalesce(by_slot, ''), coalesce(by_version, ''), coalesce(name, ''), count(*), "
            "count(*) FILTER (WHERE executed), count(*) FILTER (WHERE executed AND outcome = 'lost') "
            "FROM ledger GROUP BY ALL"
        ).fetchall()
        counts, strict, not_strict = Counts(), Counts(), Counts()
        by_slot: dict[str, Counts] = {}
        by_version: dict[str, Counts] = {}
        by_name: dict[str, Counts] = {}
        for outcome, is_strict, slot, version, name, number, _, _ in groups:
            counts = counts.plus(outcome, number)
            strict = strict.plus(outcome, number) if is_strict else strict
            not_strict = not_strict if is_strict else not_strict.plus(outcome, number)
            for table, key in ((by_slot, slot), (by_version, version), (by_name, name)):
                table[key] = table.get(key, Counts()).plus(outcome, number)
        return LedgerFindings(
            total=counts.total,
            counts=counts,
            strict=strict,
            not_strict=not_strict,
            by_slot=dict(sorted(by_slot.items())),
            by_version=dict(sorted(by_version.items())),
            by_name=dict(sorted(by_name.items())),
            lost=self._where("outcome = 'lost'"),
            errors=self._where("outcome = 'error'"),
            unreached=self._where("outcome = 'unreached'"),
            executed=sum(group[6] for group in groups) if has_application else None,
            lost_but_executed=sum(group[7] for group in groups) if has_application else None,
            duplicated=self._where("duplicated") if has_application else None,
            masked=self._where("masked") if has_proxy else None,
            idle_closes=self._number(f"SELECT count(*) FROM events WHERE kind = '{IDLE_CLOSE}'"),
            schedule=schedule,
            findings=(*findings, *self._disagreements(), *self._strays()),
            sources=sources,
        )

    def _where(self, condition: str) -> Rows:
        return rows_of(
            self._database, f"FROM ledger WHERE {condition} ORDER BY started, id", {}, examples=self._examples
        )

    def _number(self, question: str) -> int:
        row = self._database.execute(question).fetchone()
        return int(row[0]) if row else 0

    def _disagreements(self) -> list[Finding]:
        kinds = self._database.execute(
            "SELECT DISTINCT unnest(string_split(findings, ',')) FROM ledger WHERE findings IS NOT NULL ORDER BY 1"
        ).fetchall()
        found = []
        for (kind,) in kinds:
            rows = self._where(f"list_contains(string_split(findings, ','), '{Kind(kind).value}')")
            found.append(Finding(Kind(kind), rows.total, rows.first))
        return found

    def _strays(self) -> list[Finding]:
        found = []
        for source, kind in (("proxy", Kind.UNKNOWN_AT_PROXY), ("application", Kind.UNKNOWN_AT_APPLICATION)):
            rows = rows_of(
                self._database,
                "FROM strays WHERE source = $source ORDER BY id, raw",
                {"source": source},
                examples=self._examples,
            )
            if rows.total:
                found.append(Finding(kind, rows.total, rows.first))
        return found
