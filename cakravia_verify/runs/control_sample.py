"""How long the old slot is measured before the switch, so that the candidate can be compared with it."""

from __future__ import annotations

from collections.abc import Callable

from cakravia_verify.gate.model import Budget
from cakravia_verify.system.clock import Clock
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.plan.schedule import planned_within
from cakravia_verify.traffic.run import TrafficRun

# A little more than the minimum of the comparison: lost requests do not count.
REQUESTS = 1_050
LONGEST_SECONDS = 120.0
_EVERY = 0.1


def gather_control_sample(
    traffic_run: TrafficRun, budget: Budget, *, clock: Clock, pause: Callable[[float], None]
) -> float:
    """Wait until the old slot answered enough requests for a required comparison. Returns the seconds this took.

    After LONGEST_SECONDS the release goes on, and the comparison says what is missing.
    """
    if budget.judge != "require":
        return 0.0
    traffic_run.follow()
    zero = traffic_run.first_planned / 1e6
    began = clock.monotonic()
    while clock.monotonic() - began < LONGEST_SECONDS:
        if planned_between(traffic_run.plan, budget.judge_warm_up, clock.monotonic() - zero) >= REQUESTS:
            break
        pause(_EVERY)
    return clock.monotonic() - began


def planned_between(plan: TrafficPlan, since: float, until: float) -> int:
    """Arrivals that the plan has from second `since` of the traffic to second `until`."""
    return planned_within(plan, until) - planned_within(plan, since)
