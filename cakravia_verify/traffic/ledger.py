"""The ledger: one row for every request of a run, as client, proxy and application saw it.

`Ledger.build` writes `ledger/*.parquet` (columns in docs/LEDGER.md) and `ledger.json` (the evidence). Importing this
module does not import DuckDB.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cakravia_verify.errors import TrafficError
from cakravia_verify.traffic.evidence import Evidence, FenceReport, Finding, Kind, Rows, Source
from cakravia_verify.traffic.ledger_sources import Stage, fingerprint
from cakravia_verify.traffic.reconciliation import reconcile, show_ledger
from cakravia_verify.traffic.summary import Summary, read_schedule, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

LEDGER_FOLDER = "ledger"
EVIDENCE_FILE = "ledger.json"
_MEMORY = "256MB"


class Ledger:
    """An open ledger; a context manager. `evidence` holds what was found when it was built."""

    def __init__(self, folder: Path, evidence: Evidence | None = None) -> None:
        if not list(folder.glob("*.parquet")):
            raise TrafficError(f"{folder} holds no ledger", remedy="build the ledger of this run first")
        self._evidence = evidence
        self._database = _connect(scratch=folder)
        show_ledger(self._database, folder)

    @classmethod
    def open(cls, folder: Path) -> Ledger:
        """The ledger that `build` left in the folder; for queries, windows and fences."""
        return cls(folder / LEDGER_FOLDER)

    @classmethod
    def build(
        cls,
        folder: Path,
        *,
        requests: Path,
        access_log: Path | None = None,
        application_logs: Sequence[Path] = (),
        events: Path | None = None,
        traffic: Path | None = None,
        run: str = "",
        examples: int = 20,
    ) -> Ledger:
        """The ledger of one run, written into the folder; an earlier one there is replaced.

        Rows of proxy and application count where their id starts with "<run>-"; without `run`, with what the client's
        own ids start with. `traffic` is the client's traffic.json: without it completeness is unproven and a finding.
        `examples` raw rows are kept of whatever goes wrong. Raises TrafficError where requests.csv is no record file.
        """
        given = [path for path in (access_log, events, *application_logs) if path is not None]
        missing = [path for path in given if not path.is_file()]
        if not requests.is_file():
            raise TrafficError(f"{requests} is not there", remedy="run the traffic again; nothing is proven without it")
        access_log = None if access_log in missing else access_log
        application_logs = [path for path in application_logs if path not in missing]
        has_application = bool(application_logs)

        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".ledger-", dir=folder))
        (scratch / LEDGER_FOLDER).mkdir()
        database = _connect(scratch=scratch)
        stage = Stage(database, scratch)
        try:
            with ThreadPoolExecutor(max_workers=1, thread_name_prefix="fingerprint") as pool:
                files = [requests, *(path for path in given if path not in missing)]
                prints = {path: pool.submit(fingerprint, path) for path in files}
                client = stage.client(requests)
                prefixes = [f"{run}-"] if run else _prefixes(database)
                others = [
                    stage.proxy(access_log, prefixes),
                    *stage.applications(application_logs, prefixes),
                    stage.events(None if events in missing else events),
                ]
                staged = [client, *(other for other in others if other is not None)]
                reconcile(
                    database,
                    scratch / LEDGER_FOLDER,
                    has_proxy=access_log is not None,
                    has_application=has_application,
                )
                origins = tuple(
                    Source(
                        s.role,
                        str(s.path),
                        s.path.stat().st_size,
                        s.rows,
                        s.foreign,
                        s.is_torn,
                        prints[s.path].result(),
                    )
                    for s in staged
                )
            schedule, findings = read_schedule(traffic, rows=client.rows)
            findings += [Finding(Kind.MISSING_SOURCE, 1, (), str(path)) for path in missing]
            findings += [
                Finding(
                    Kind.MALFORMED, len(s.malformed), tuple({"raw": raw} for raw in s.malformed[:examples]), str(s.path)
                )
                for s in staged
                if s.malformed
            ]
            evidence = Summary(database, examples=examples).evidence(
                schedule=schedule,
                findings=findings,
                sources=origins,
                has_proxy=access_log is not None,
                has_application=has_application,
            )
            (scratch / EVIDENCE_FILE).write_text(json.dumps(evidence.as_dict(), indent=1, default=str) + "\n")
            shutil.rmtree(folder / LEDGER_FOLDER, ignore_errors=True)
            for name in (LEDGER_FOLDER, EVIDENCE_FILE):
                (scratch / name).replace(folder / name)
        finally:
            database.close()
            shutil.rmtree(scratch, ignore_errors=True)
        return cls(folder / LEDGER_FOLDER, evidence)

    @property
    def evidence(self) -> Evidence:
        if self._evidence is None:
            raise TrafficError(
                "an opened ledger has rows, not evidence", remedy=f"read {EVIDENCE_FILE} beside it, or build it again"
            )
        return self._evidence

    def query(self, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a question in SQL; the view `ledger` holds the requests."""
        return self._database.execute(sql, parameters or {}).fetchall()

    def rows(self, sql: str, parameters: dict[str, Any] | None = None, *, examples: int = 20) -> Rows:
        """How many rows the question has, and the first of them by name."""
        return rows_of(self._database, sql, parameters or {}, examples=examples)

    def fence_violations(self, confirmed_at: int, old_slot: str, *, until: int | None = None) -> FenceReport:
        """Requests begun after the fence (monotonic microseconds) that the old slot served nevertheless.

        The old slot served a request when any record says so: its own header, the proxy's, or its request log, lost
        requests included. `until` is the instant the next switch was decided, where there was one: what had not ended
        by then may rightly have gone to either slot.
        """
        served = """FROM ledger WHERE coalesce(sent, started) > $fence
            AND coalesce(done, started) <= coalesce($until, 1::BIGINT << 62)
            AND (slot = $old OR served_slot = $old OR list_contains(string_split(coalesce(app_slot, ''), ','), $old))"""
        straddles = "greatest(started, coalesce(connected, started)) <= $fence"
        instants = {"fence": confirmed_at, "until": until, "old": old_slot}
        return FenceReport(
            violations=self.rows(f"{served} AND NOT ({straddles}) ORDER BY sent, id", instants),
            straddling=self.rows(f"{served} AND {straddles} ORDER BY sent, id", instants),
        )

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _connect(*, scratch: Path) -> DuckDBPyConnection:
    """A DuckDB of bounded memory, which spills into the scratch folder and never fetches an extension."""
    import duckdb

    return duckdb.connect(
        config={
            "threads": 2,
            "memory_limit": _MEMORY,
            "temp_directory": str(scratch / ".spill"),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )


def _prefixes(database: DuckDBPyConnection) -> list[str]:
    """What the client's ids have before their last number, with the dash."""
    found = database.execute(
        "SELECT DISTINCT id[1:length(id) - length(string_split(id, '-')[-1])] FROM client WHERE contains(id, '-')"
    ).fetchall()
    return sorted(str(prefix) for (prefix,) in found if prefix not in ("", "-"))
