"""How long the old slot is measured before the switch, so that the candidate can be compared with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cakravia_verify.analysis.comparison import FEW
from cakravia_verify.gate.model import Budget
from cakravia_verify.system.clock import Clock
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.plan.schedule import planned_within
from cakravia_verify.traffic.run import TrafficRun


class ControlSample(NamedTuple):
    """How many requests of the old slot a comparison needs, and how many seconds the release waits for them."""

    requests: int
    longest: float


# More than the minima of the comparisons: lost requests do not count, and instants are random.
REQUIRED = ControlSample(1_050, 120.0)
INFORMING = ControlSample(3 * FEW.minimum, 30.0)
_EVERY = 0.1


def control_sample_for(budget: Budget) -> ControlSample:
    """Return the control sample of this budget."""
    return REQUIRED if budget.judge == "require" else INFORMING


def gather_control_sample(
    traffic_run: TrafficRun, budget: Budget, *, clock: Clock, pause: Callable[[float], None]
) -> float:
    """Wait until the old slot answered enough requests for the comparison. Returns the seconds this took.

    After the longest time the release goes on, and the comparison says what is missing.
    """
    wanted = control_sample_for(budget)
    traffic_run.follow()
    zero = traffic_run.first_planned / 1e6
    began = clock.monotonic()
    while clock.monotonic() - began < wanted.longest:
        if planned_between(traffic_run.plan, budget.judge_warm_up, clock.monotonic() - zero) >= wanted.requests:
            break
        pause(_EVERY)
    return clock.monotonic() - began


def planned_between(plan: TrafficPlan, since: float, until: float) -> int:
    """Arrivals that the plan has from second `since` of the traffic to second `until`."""
    return planned_within(plan, until) - planned_within(plan, since)
