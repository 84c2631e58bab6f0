"""The columns of the ledger: those of the client's rows, those of proxy and application, and those computed from all.

docs/LEDGER.md has the same table with the meaning of each column; a test compares both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cakravia_verify.traffic.records.rows import COLUMNS


class Origin(StrEnum):
    """Which record a column comes from."""

    CLIENT = "client"
    PROXY = "proxy"
    APPLICATION = "application"
    COMPUTED = "computed"


@dataclass(frozen=True)
class LedgerColumn:
    """One column of the ledger; `expression` is its SQL over the joined rows of all three records."""

    name: str
    sql: str
    origin: Origin
    is_nullable: bool
    expression: str

    @property
    def selected(self) -> str:
        return self.name if self.expression == self.name else f"{self.expression} AS {self.name}"


def _client_columns() -> tuple[LedgerColumn, ...]:
    columns = [
        LedgerColumn(column.name, column.sql, Origin.CLIENT, column.is_nullable, column.name)
        for column in COLUMNS
        if column.name != "strict"
    ]
    return (*columns, LedgerColumn("strict", "BOOLEAN", Origin.CLIENT, False, "strict = 1"))


def _copied(origin: Origin, **types: str) -> tuple[LedgerColumn, ...]:
    """Return columns that are NULL if the log was not given or has no row of the request."""
    return tuple(LedgerColumn(name, sql, origin, True, name) for name, sql in types.items())


def _computed(name: str, sql: str, expression: str) -> LedgerColumn:
    return LedgerColumn(name, sql, Origin.COMPUTED, True, expression)


def ledger_columns(findings: str = "findings") -> tuple[LedgerColumn, ...]:
    """Return the columns of the ledger in their order; `findings` is the SQL expression of the last one."""
    return (
        *_client_columns(),
        _computed("latency", "BIGINT", "done - planned"),
        _computed("service", "BIGINT", "done - sent"),
        *_copied(
            Origin.PROXY,
            proxy_rows="BIGINT",
            proxy_at="DOUBLE",
            proxy_status="SMALLINT",
            proxy_slot="VARCHAR",
            upstream="VARCHAR",
            upstream_status="VARCHAR",
            proxy_seconds="DOUBLE",
            pinned="VARCHAR",
        ),
        *_copied(
            Origin.APPLICATION,
            app_begins="BIGINT",
            app_ends="BIGINT",
            app_began="BIGINT",
            app_ended="BIGINT",
            app_slot="VARCHAR",
            app_version="VARCHAR",
        ),
        _computed("by_slot", "VARCHAR", "coalesce(served_slot, slot, proxy_slot, app_slot)"),
        _computed("by_version", "VARCHAR", "coalesce(version, app_version)"),
        _computed("executed", "BOOLEAN", "app_begins > 0"),
        _computed("duplicated", "BOOLEAN", "app_begins > 1"),
        _computed("masked", "BOOLEAN", "CASE WHEN proxy_rows IS NOT NULL THEN coalesce(retried, false) END"),
        _computed("findings", "VARCHAR", findings),
    )
