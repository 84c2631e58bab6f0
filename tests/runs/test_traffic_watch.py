"""A release is stopped early where its users have suffered more than the budget, whatever is still to come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cakravia_verify.errors import NotHealthy, ReleaseError
from cakravia_verify.kinds import policy_of
from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.runs.traffic_watch import OVERTIME_SECONDS, TrafficWatch, most_requests
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import SECOND, Deadline, Microseconds, to_microseconds
from cakravia_verify.traffic.plan.mix import MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.records.rows import Row
from tests.memory_stage import Stage

RATE, BAKE, CONFIRM, DRAIN = 100.0, 2.0, 1.0, 3.0
SWITCHED = 12.0
# Requests that may be sent from the switch to the end of the bake, before and once it has begun at 13 s.
AT_MOST = round(RATE * (CONFIRM + DRAIN + BAKE + OVERTIME_SECONDS))
IN_BAKE = round(RATE * (1.0 + BAKE + OVERTIME_SECONDS))


def plan(*mix: MixEntry, **more: Any) -> TrafficPlan:
    given: dict[str, Any] = {"arrivals": "constant", "rate": RATE, **more}
    return TrafficPlan(url="http://127.0.0.1:1", records="r", run="r1", mix=mix or (MixEntry("page"),), **given)


def answer(at: float, outcome: str = "error") -> Row:
    us = to_microseconds(at)
    text = {"id": "r1-1", "method": "GET", "name": "page", "slot": "", "version": "", "served_slot": "", "detail": ""}
    instants = dict.fromkeys(("planned", "started", "connected", "sent", "first_byte", "done"), us)
    return Row(**text, **instants, connection=1, reused=True, status=500, bytes=0, outcome=outcome, strict=True)  # type: ignore[arg-type]


@dataclass
class Flowing:
    """Traffic as a witness follows it, with the records given."""

    plan: TrafficPlan
    errors: list[Row]
    lost: list[Row] = field(default_factory=list)
    unreached: list[Row] = field(default_factory=list)
    broken_journeys: list[tuple[Row, Row]] = field(default_factory=list)
    first_planned: int = 0
    finished: int = 1_300

    def follow(self) -> int:
        return self.finished

    def ensure_alive(self) -> None:
        pass


def watch(
    traffic_run: Flowing, *, budget: float, now: float = 13.0, bake_began: float | None = None, kind: str = "deploy"
) -> None:
    """Look once, at `now`, on a release that switched at 12 s."""
    settings = SimpleNamespace(
        budget=SimpleNamespace(lost=0, errors=budget),
        release=SimpleNamespace(bake=BAKE, confirm_timeout=CONFIRM, drain=DRAIN, drain_minimum=0.1),
    )
    site = SimpleNamespace(
        settings=settings,
        clock=SimpleNamespace(monotonic=lambda: now),
        proxy=SimpleNamespace(access_log=None),
        platform=SimpleNamespace(request_log=lambda _: None),
    )
    facts = SimpleNamespace(
        candidate=None,
        switchovers=[Switchover.timed(Colour.GREEN, decided=SWITCHED, effective=SWITCHED)],
        bake_began=bake_began,
    )
    release: Any = SimpleNamespace(site=site, facts=facts, intent=SimpleNamespace(policy=policy_of(kind)))
    traffic_watch = TrafficWatch(release, folder=Path())
    traffic_watch.traffic_run = traffic_run  # type: ignore[assignment]
    traffic_watch.watch()


@pytest.mark.parametrize(("began", "requests"), [(None, AT_MOST), (13.0, IN_BAKE)], ids=["before", "in the bake"])
def test_a_release_is_stopped_once_no_good_answer_to_come_can_mend_it_and_not_before(
    began: float | None, requests: int
) -> None:
    """What was sent before the switch does not make up for anything: that was the version before."""
    most = round(requests * 0.03)
    watch(Flowing(plan(), [answer(12.5)] * most), budget=0.03, bake_began=began)
    with pytest.raises(ReleaseError, match=f"users got {most + 1} error answers since the switch"):
        watch(Flowing(plan(), [answer(12.5)] * (most + 1)), budget=0.03, bake_began=began)


def test_a_budget_of_no_errors_stops_at_the_first() -> None:
    with pytest.raises(ReleaseError):
        watch(Flowing(plan(), [answer(12.5)]), budget=0.0)


def test_errors_of_the_version_before_stop_nobody() -> None:
    watch(Flowing(plan(), [answer(11.9)] * 50), budget=0.0)


def test_a_bake_that_takes_longer_than_planned_may_still_end_within_the_budget() -> None:
    errors = [answer(12.5)] * (IN_BAKE * 3 // 100 + 1)
    watch(Flowing(plan(), errors), budget=0.03, now=60.0, bake_began=13.0)


def test_one_lost_request_stops_a_release_wherever_it_was_at_the_switch() -> None:
    watch(Flowing(plan(), [], lost=[answer(11.9, "lost")]), budget=1.0)
    with pytest.raises(ReleaseError, match="users lost 1 requests"):
        watch(Flowing(plan(), [], lost=[answer(12.0, "lost")]), budget=1.0)


def test_users_do_not_return_to_a_version_that_failed_them_as_well() -> None:
    after = [answer(12.5)] * 50
    watch(Flowing(plan(), [answer(5.0), *after]), budget=0.0, kind="rollback")
    with pytest.raises(ReleaseError):
        watch(Flowing(plan(), after), budget=0.0, kind="rollback")


def test_every_step_of_a_journey_is_a_request() -> None:
    journey = MixEntry("a", steps=(MixEntry("b"), MixEntry("c")))
    assert most_requests(plan(), since=2 * SECOND, until=5 * SECOND) == 300
    assert most_requests(plan(journey, MixEntry("d")), since=2 * SECOND, until=5 * SECOND) == 900
    assert most_requests(plan(), since=5 * SECOND, until=2 * SECOND) == 0


def test_streams_that_come_again_are_not_taken_for_the_plan() -> None:
    news = MixEntry("news", stream="events", timeout=1.0)
    errors = [answer(12.5)] * 60
    watch(Flowing(plan(news), errors, finished=1_300), budget=0.03)
    with pytest.raises(ReleaseError):
        watch(Flowing(plan(), errors, finished=1_300), budget=0.03)


@dataclass
class Unsettled(Flowing):
    """Traffic with requests that do not end."""

    def settle(self, *, deadline: Deadline, watch: Callable[[], None]) -> Microseconds:
        while True:
            watch()
            assert not deadline.is_over


def test_a_candidate_that_dies_while_requests_end_is_a_failure_of_the_release(site_with_v1: Stage) -> None:
    release = site_with_v1.release("v2")
    release.start()
    release.advance("confirm")
    watching = TrafficWatch(release, folder=site_with_v1.settings.reports)
    watching.traffic_run = Unsettled(plan(), [])  # type: ignore[assignment]
    del site_with_v1.memory.running[Colour.GREEN]
    assert watching.so_far() is None
    assert isinstance(release.failure, NotHealthy)
