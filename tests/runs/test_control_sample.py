"""How long the previous slot is watched before the switch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cakravia_verify.gate.model import Budget
from cakravia_verify.runs.control_sample import gather_control_sample, planned_between
from cakravia_verify.testing.memory import FakeClock
from cakravia_verify.traffic.plan.mix import MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan


@pytest.mark.parametrize(("since", "until", "planned"), [(1.0, 3.0, 400), (1.0, 0.5, -100), (0.0, 0.0, 0)])
def test_the_arrivals_between_two_seconds_are_counted_by_the_plan(since: float, until: float, planned: int) -> None:
    plan = TrafficPlan(
        url="http://127.0.0.1:1", records="r", run="t", mix=(MixEntry("a"),), rate=200.0, arrivals="constant"
    )
    assert planned_between(plan, since, until) == planned


@pytest.mark.parametrize(
    ("rate", "judge", "since", "waited"),
    [
        (100.0, "inform", 0.0, 1.6),
        (100.0, "inform", 5.0, 0.0),
        (2.0, "inform", 0.0, 30.0),
        (0.2, "inform", 40.0, 30.0),
        (100.0, "require", 0.0, 11.5),
        (1.0, "require", 0.0, 120.0),
    ],
)
def test_the_release_waits_for_its_control_sample_but_not_for_ever(
    rate: float, judge: str, since: float, waited: float
) -> None:
    clock = FakeClock()
    plan = TrafficPlan(url="", records="r", run="t", mix=(MixEntry("a"),), rate=rate, arrivals="constant")
    traffic: Any = SimpleNamespace(plan=plan, first_planned=clock.monotonic() * 1e6, follow=lambda: 0)
    clock.sleep(since)
    seconds = gather_control_sample(traffic, Budget(judge=judge), clock=clock, pause=clock.sleep)
    assert seconds == pytest.approx(waited, abs=0.25)
