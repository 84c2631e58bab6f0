"""The three-way join: one ledger row for every client row, block by block: memory does not grow with the run."""
# ruff: noqa: S608 - the SQL is put together from constants of this package and escaped paths only

from __future__ import annotations

from typing import TYPE_CHECKING

from cakravia_verify.traffic.ledger.columns import ledger_columns
from cakravia_verify.traffic.ledger.findings import Kind, LedgerRow, Rows
from cakravia_verify.traffic.ledger.formats import PARQUET
from cakravia_verify.traffic.records.rows import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection

_KNOWN = ", ".join(f"'{outcome}'" for outcome in Outcome)

# The proxy's rows as they are: nearly always no id stands there twice, and grouping them costs a sixth of the join.
_PROXY_ROWS = """
    SELECT id, 1::BIGINT AS rows, "at" AS first_at, status, slot, upstream, upstream_status, "time" AS seconds, pinned,
        contains(upstream, ',') OR contains(upstream, ' : ') AS retried
    FROM proxy WHERE block = $block"""

_PROXY_BY_ID = """
    SELECT id, count(*) AS rows, any_value("at") AS first_at, any_value(status) AS status,
        any_value(slot) AS slot, any_value(upstream) AS upstream, any_value(upstream_status) AS upstream_status,
        any_value("time") AS seconds, any_value(pinned) AS pinned,
        bool_or(contains(upstream, ',') OR contains(upstream, ' : ')) AS retried
    FROM proxy WHERE block = $block GROUP BY id"""

_APPLICATION_BY_ID = """
    SELECT id, count(*) FILTER (WHERE event = 'begin') AS begins, count(*) FILTER (WHERE event = 'end') AS ends,
        min(at_us) FILTER (WHERE event = 'begin') AS began, max(at_us) FILTER (WHERE event = 'end') AS ended,
        CASE WHEN min(slot) = max(slot) THEN min(slot) ELSE min(slot) || ',' || max(slot) END AS slot,
        CASE WHEN min(version) = max(version) THEN min(version) ELSE min(version) || ',' || max(version) END AS version
    FROM application WHERE block = $block GROUP BY id"""


def reconcile(
    database: DuckDBPyConnection, folder: Path, *, has_proxy: bool, has_application: bool, has_duplicates: bool
) -> None:
    """Write part files into the folder, one ledger row for each client row, and make the view `ledger` of them.

    Table `strays` then holds the rows of proxy and application that no client row explains.
    """
    # Without a single row there still is a part, which has the columns.
    for number, block in enumerate(_blocks(database) or [0]):
        part = str(folder / f"part-{number:04}.parquet").replace("'", "''")
        ((expected,),) = database.execute("SELECT count(*) FROM client WHERE block = ?", [block]).fetchall()
        for proxy in (_PROXY_ROWS, _PROXY_BY_ID):
            written = database.execute(
                f"COPY ({_join(proxy, has_proxy, has_application)}) TO '{part}' "
                f"(FORMAT parquet, COMPRESSION zstd, {PARQUET})",
                {"block": block},
            ).fetchone()
            # An id that the proxy has twice multiplies its client row: only then the proxy's rows are grouped.
            if written is not None and written[0] == expected:
                break
    show_ledger(database, folder)
    database.execute("CREATE TABLE strays (source VARCHAR, id VARCHAR, raw VARCHAR)")
    for source, explained in (("proxy", "proxy_rows"), ("application", "app_begins + app_ends")):
        _find_strays(database, source, explained=explained, has_duplicates=has_duplicates)


def duplicate_ids(database: DuckDBPyConnection, *, examples: int) -> Rows:
    """Return the number of surplus client rows, and the first of their ids with the count of each."""
    extra = 0
    first: list[LedgerRow] = []
    # Block by block, as one set of all ids would not fit into the memory of a long run.
    for block in _blocks(database):
        found = database.execute(
            "SELECT coalesce(id, ''), count(*) AS n FROM client WHERE block = ? GROUP BY 1 HAVING n > 1 ORDER BY 1",
            [block],
        ).fetchall()
        extra += sum(number - 1 for _, number in found)
        first += [{"id": ident, "rows": number} for ident, number in found[: examples - len(first)]]
    return Rows(extra, tuple(first))


def _find_strays(database: DuckDBPyConnection, source: str, *, explained: str, has_duplicates: bool) -> None:
    """Add the rows of one source whose id no client row has; `explained` counts those of one ledger row.

    Searched only where the sums differ. An id that the client used twice takes its rows twice, so then always.
    """
    ((staged, joined),) = database.execute(
        f"SELECT (SELECT count(*) FROM {source} WHERE block > -100), (SELECT coalesce(sum({explained}), 0) FROM ledger)"
    ).fetchall()
    if staged == joined and not has_duplicates:
        return
    for block in _blocks(database):
        database.execute(
            f"INSERT INTO strays SELECT '{source}', id, to_json(s) FROM (SELECT * EXCLUDE (block) FROM {source} "
            "WHERE block = $block) s WHERE NOT EXISTS (FROM client c WHERE c.block = $block AND c.id = s.id)",
            {"block": block},
        )


def _blocks(database: DuckDBPyConnection) -> list[int]:
    found = database.execute(
        "SELECT DISTINCT block FROM (SELECT block FROM client UNION ALL SELECT block FROM proxy "
        "UNION ALL SELECT block FROM application) WHERE block > -100 ORDER BY block"
    ).fetchall()
    return [int(block) for (block,) in found]


def show_ledger(database: DuckDBPyConnection, folder: Path) -> None:
    """Create the view `ledger` over the part files of the folder."""
    parts = str(folder / "*.parquet").replace("'", "''")
    database.execute(f"CREATE TEMP VIEW ledger AS FROM read_parquet('{parts}')")


def _join(by_id: str, has_proxy: bool, has_application: bool) -> str:
    proxy = "coalesce(p.rows, 0)" if has_proxy else "NULL::BIGINT"
    begins = "coalesce(a.begins, 0)" if has_application else "NULL::BIGINT"
    ends = "coalesce(a.ends, 0)" if has_application else "NULL::BIGINT"
    columns = ", ".join(column.selected for column in ledger_columns(_findings()))
    return f"""
    WITH p AS ({by_id}), a AS ({_APPLICATION_BY_ID}),
    c AS (SELECT * EXCLUDE (id, outcome), coalesce(id, '') AS id, outcome AS recorded,
        CASE WHEN outcome IN ({_KNOWN}) THEN outcome ELSE 'lost' END AS outcome FROM client WHERE block = $block),
    joined AS (SELECT c.*, {proxy} AS proxy_rows, p.first_at AS proxy_at, p.status AS proxy_status,
        nullif(p.slot, '') AS proxy_slot, nullif(p.upstream, '') AS upstream,
        nullif(p.upstream_status, '') AS upstream_status, p.seconds AS proxy_seconds,
        nullif(p.pinned, '') AS pinned, p.retried AND p.pinned IS DISTINCT FROM '-' AS retried,
        {begins} AS app_begins, {ends} AS app_ends, a.began AS app_began, a.ended AS app_ended,
        a.slot AS app_slot, a.version AS app_version
        FROM c LEFT JOIN p USING (id) LEFT JOIN a USING (id))
    SELECT {columns} FROM joined"""


def _findings() -> str:
    """Return the SQL for the findings of one joined row. A log that was not given (NULL counts) has no findings."""
    complete = "outcome IN ('answered', 'error')"
    conditions = {
        Kind.UNKNOWN_OUTCOME: f"recorded IS NULL OR recorded NOT IN ({_KNOWN})",
        Kind.CONTRADICTION: f"{complete} AND (status IS NULL OR done IS NULL)",
        Kind.MISSING_AT_PROXY: f"{complete} AND strict = 1 AND proxy_rows = 0",
        # A proxy row without upstream was answered by the proxy itself: no application is expected to know it.
        Kind.MISSING_AT_APPLICATION: f"{complete} AND strict = 1 AND app_begins = 0"
        " AND (proxy_rows IS NULL OR upstream IS NOT NULL)",
        Kind.REPEATED_AT_PROXY: "proxy_rows > 1",
        Kind.UNREACHED_BUT_SEEN: "outcome = 'unreached' AND (proxy_rows > 0 OR app_begins > 0)",
        Kind.STATUS_DISAGREES: f"{complete} AND status <> proxy_status",
        # After a retry the slot that answered is not the one the proxy chose: that is `masked`, no disagreement.
        Kind.SLOT_DISAGREES: "slot <> served_slot"
        " OR (coalesce(app_begins, 1) = 1 AND (slot <> app_slot OR served_slot <> app_slot))"
        " OR (NOT coalesce(retried, false) AND (slot <> proxy_slot OR served_slot <> proxy_slot))",
        Kind.VERSION_DISAGREES: "version <> app_version",
    }
    named = ", ".join(f"CASE WHEN {condition} THEN '{kind.value}' END" for kind, condition in conditions.items())
    # Asked twice, because naming is slow and nearly no row has anything to name.
    anything = " OR ".join(f"({condition})" for condition in conditions.values())
    return f"CASE WHEN {anything} THEN concat_ws(',', {named}) END"
