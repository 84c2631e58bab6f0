"""A rollback in order: the target is proven, users return to it, and no request is lost."""

import pytest

from cakravia_verify.api import BakeView, Budget, ReleaseView, SiteView, SlotView, SwitchoverView, TrafficView

pytestmark = pytest.mark.gate


def test_target_is_healthy_before_users_return(release: ReleaseView, candidate: SlotView) -> None:
    assert candidate.version == release.version
    assert all(reading.is_healthy for reading in candidate.probe_all())


def test_users_stay_where_they_are_until_then(release: ReleaseView, candidate: SlotView, site: SiteView) -> None:
    assert site.serving_slot() in (release.active, release.served)


def test_users_are_back_on_the_target(switchover: SwitchoverView, candidate: SlotView, site: SiteView) -> None:
    assert switchover.confirmations > 0
    assert site.serving_slot() == candidate


def test_target_keeps_within_budget_through_the_bake(bake: BakeView, budget: Budget) -> None:
    traffic_checks = bake.judged_by(budget)
    assert traffic_checks.passes, traffic_checks.problems


def test_no_request_was_lost_going_back(
    bake: BakeView, switchover: SwitchoverView, traffic: TrafficView, budget: Budget
) -> None:
    lost = traffic.lost(during=switchover)
    assert traffic.sent > 0
    assert len(lost) <= budget.lost, lost[:5]
