"""Which requests count since a switch: the one rule, for rows that are still written and for the ledger.

A request that had not ended when the switch was decided may have been lost because of it, so it counts as lost since
the switch. An error answer counts only if its request began after the switch was effective: the old slot rightly
answers what it had begun.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cakravia_verify.system.clock import Microseconds
    from cakravia_verify.traffic.records.rows import Row

ENDED_BEFORE: Final = "coalesce(done, started) < $decided_at"
"""`ended_before` as a condition on the ledger."""
BEGAN_AFTER: Final = "started > $effective_at"
"""`began_after` as a condition on the ledger."""


def ended_before(row: Row, decided_at: Microseconds) -> bool:
    """Return whether the request had ended when the switch was decided."""
    return row.ended < decided_at


def began_after(row: Row, effective_at: Microseconds) -> bool:
    """Return whether the request began after the fence."""
    return row.started > effective_at


def lost_since(rows: Iterable[Row], decided_at: Microseconds) -> list[Row]:
    """Return those of the lost requests that count since the switch."""
    return [row for row in rows if not ended_before(row, decided_at)]
