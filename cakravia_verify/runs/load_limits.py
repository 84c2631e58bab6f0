"""When a load may stop early: the budget is exceeded, whatever the rest of the load shows."""

from __future__ import annotations

from typing import Final

from cakravia_verify.gate.model import Budget
from cakravia_verify.traffic.run import TrafficRun

# The budget limits the 99th percentile: more slow answers than this share of all requests exceed it.
_SLOW_SHARE: Final = 0.01


def exceeded_budget(traffic_run: TrafficRun, budget: Budget, *, planned: int) -> str:
    """Return what already exceeds the budget of a load of `planned` requests; empty if nothing does."""
    if len(traffic_run.lost) > budget.lost:
        row = traffic_run.lost[0]
        return f"{len(traffic_run.lost)} requests lost (budget {budget.lost}): {row.method} {row.name}: {row.detail}"
    if len(traffic_run.unreached) > budget.lost:
        row = traffic_run.unreached[0]
        return f"{len(traffic_run.unreached)} requests could not be sent (budget {budget.lost}): {row.detail}"
    if len(traffic_run.errors) > budget.errors * planned:
        row = traffic_run.errors[0]
        return (
            f"{len(traffic_run.errors)} error answers (budget {budget.errors:.3%} of {planned:,}): "
            f"{row.method} {row.name}: {row.detail}"
        )
    if traffic_run.slow > _SLOW_SHARE * planned:
        return (
            f"{traffic_run.slow} answers took longer than {budget.p99:g} s: "
            f"more than 1% of all {planned:,} requests of this load"
        )
    return ""
