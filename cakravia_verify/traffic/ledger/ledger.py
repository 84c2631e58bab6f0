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
from cakravia_verify.system.clock import Microseconds
from cakravia_verify.traffic.ledger.findings import FenceReport, Finding, Kind, LedgerFindings, Rows, Source
from cakravia_verify.traffic.ledger.reconciliation import duplicate_ids, reconcile, show_ledger
from cakravia_verify.traffic.ledger.sources import RawFiles, Stage, Staged, fingerprint
from cakravia_verify.traffic.ledger.summary import Summary, read_schedule, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from cakravia_verify.system.clock import Microseconds

LEDGER_FOLDER = "ledger"
EVIDENCE_FILE = "ledger.json"
_MEMORY = "256MB"


class Ledger:
    """An open ledger; a context manager. `evidence` holds the findings of the build."""

    def __init__(self, folder: Path, evidence: LedgerFindings | None = None) -> None:
        if not list(folder.glob("*.parquet")):
            raise TrafficError(f"{folder} holds no ledger", remedy="build the ledger of this run first")
        self._evidence = evidence
        self._database = _connect(scratch=folder)
        show_ledger(self._database, folder)

    @classmethod
    def open(cls, folder: Path) -> Ledger:
        """Open the ledger that `build` wrote into the folder, for queries, windows and fences."""
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
        """Build the ledger of one run in the folder. It replaces an earlier one there.

        Rows of proxy and application count where their id starts with "<run>-"; without `run`, with what the client's
        own ids start with. `traffic` is the client's traffic.json: without it completeness is unproven and a finding.
        At most `examples` raw rows are kept of each kind of failure. Raises TrafficError if requests.csv is unusable.
        """
        files = RawFiles(requests, access_log, tuple(application_logs), events)
        if requests in files.missing:
            raise TrafficError(f"{requests} is not there", remedy="run the traffic again; nothing is proven without it")
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".ledger-", dir=folder))
        try:
            (scratch / LEDGER_FOLDER).mkdir()
            evidence = _reconciled(files, scratch=scratch, traffic=traffic, run=run, examples=examples)
            (scratch / EVIDENCE_FILE).write_text(json.dumps(evidence.as_dict(), indent=1, default=str) + "\n")
            shutil.rmtree(folder / LEDGER_FOLDER, ignore_errors=True)
            for name in (LEDGER_FOLDER, EVIDENCE_FILE):
                (scratch / name).replace(folder / name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return cls(folder / LEDGER_FOLDER, evidence)

    @property
    def evidence(self) -> LedgerFindings:
        if self._evidence is None:
            raise TrafficError(
                "an opened ledger has rows, not evidence", remedy=f"read {EVIDENCE_FILE} beside it, or build it again"
            )
        return self._evidence

    def query(self, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of an SQL query; the view `ledger` holds the requests."""
        return self._database.execute(sql, parameters or {}).fetchall()

    def rows(self, sql: str, parameters: dict[str, Any] | None = None, *, examples: int = 20) -> Rows:
        """Return how many rows the query has, and the first of them by column name."""
        return rows_of(self._database, sql, parameters or {}, examples=examples)

    def fence_violations(
        self, effective_at: Microseconds, old_slot: str, *, until: Microseconds | None = None
    ) -> FenceReport:
        """Return the requests that began after the fence and were answered by the old slot.

        `effective_at` is the fence in CLOCK_MONOTONIC microseconds. The old slot answered a request if any record says
        so: its own header, the proxy's, or its request log. Lost requests are included. `until` is the decision for the
        next switch: a request that had not ended by then may have gone to either slot. The old slot may answer a
        request that named its version (`pinned`); an answer of another version is a violation.
        """
        served = """FROM ledger WHERE coalesce(sent, started) > $fence
            AND coalesce(done, started) <= coalesce($until, 1::BIGINT << 62)
            AND (pinned IS NULL OR pinned = '-' OR coalesce(version, app_version, pinned) <> pinned)
            AND (slot = $old OR served_slot = $old OR list_contains(string_split(coalesce(app_slot, ''), ','), $old))"""
        straddles = "greatest(started, coalesce(connected, started)) <= $fence"
        instants = {"fence": effective_at, "until": until, "old": old_slot}
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


def _reconciled(files: RawFiles, *, scratch: Path, traffic: Path | None, run: str, examples: int) -> LedgerFindings:
    """Write the part files into the scratch folder. Returns the evidence."""
    missing = files.missing
    files = files.without(missing)
    has_proxy, has_application = files.access_log is not None, bool(files.application_logs)
    # Fingerprints are taken beside the reconciliation: both leave the interpreter alone while they compute.
    with _connect(scratch=scratch) as database, ThreadPoolExecutor(1, "fingerprint") as pool:
        prints = {path: pool.submit(fingerprint, path) for path in files.all}
        staged = Stage(database, scratch).everything(files, run=run)
        duplicates = duplicate_ids(database, examples=examples)
        reconcile(
            database,
            scratch / LEDGER_FOLDER,
            has_proxy=has_proxy,
            has_application=has_application,
            has_duplicates=duplicates.total > 0,
        )
        schedule, findings = read_schedule(traffic, rows=staged[0].rows)
        findings += [Finding(Kind.MISSING_SOURCE, 1, (), str(path)) for path in missing]
        findings += [_malformed(one, examples=examples) for one in staged if one.malformed]
        findings += [Finding(Kind.DUPLICATE_ID, duplicates.total, duplicates.first)] if duplicates.total else []
        return Summary(database, examples=examples).evidence(
            schedule=schedule,
            findings=findings,
            sources=tuple(_source(one, sha256=prints[one.path].result()) for one in staged),
            has_proxy=has_proxy,
            has_application=has_application,
        )


def _malformed(staged: Staged, *, examples: int) -> Finding:
    first = tuple({"raw": raw} for raw in staged.malformed[:examples])
    return Finding(Kind.MALFORMED, len(staged.malformed), first, str(staged.path))


def _source(staged: Staged, *, sha256: str) -> Source:
    path = staged.path
    return Source(staged.role, str(path), path.stat().st_size, staged.rows, staged.foreign, staged.is_torn, sha256)


def _connect(*, scratch: Path) -> DuckDBPyConnection:
    """Return a DuckDB of bounded memory. It spills into the scratch folder and never fetches an extension."""
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
