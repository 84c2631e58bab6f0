"""How long the previous slot is watched before the switch."""

from __future__ import annotations

import pytest

from cakravia_verify.runs.control_sample import planned_between
from cakravia_verify.traffic.plan.mix import MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan


@pytest.mark.parametrize(("since", "until", "planned"), [(1.0, 3.0, 400), (1.0, 0.5, -100), (0.0, 0.0, 0)])
def test_the_arrivals_between_two_seconds_are_counted_by_the_plan(since: float, until: float, planned: int) -> None:
    plan = TrafficPlan(
        url="http://127.0.0.1:1", records="r", run="t", mix=(MixEntry("a"),), rate=200.0, arrivals="constant"
    )
    assert planned_between(plan, since, until) == planned
