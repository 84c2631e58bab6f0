"""A release in order: stage, prove, switch over, drain, bake."""

import pytest

from cakravia_verify.api import BakeView, Budget, ReleaseView, SiteView, SlotView, SwitchoverView, TrafficView

pytestmark = pytest.mark.gate


def test_candidate_is_staged_in_the_idle_slot(release: ReleaseView, candidate: SlotView) -> None:
    assert release.active is None or candidate.colour != release.active.colour
    assert candidate.version == release.version


def test_users_stay_on_the_active_slot_while_the_candidate_warms_up(
    release: ReleaseView, candidate: SlotView, site: SiteView
) -> None:
    assert all(reading.is_healthy for reading in candidate.probe_all())
    assert site.serving_slot() in (release.active, release.served)


def test_candidate_answers_before_any_user_reaches_it(candidate: SlotView, smoked: int) -> None:
    assert smoked > 0


def test_switchover_brings_users_to_the_candidate(
    switchover: SwitchoverView, candidate: SlotView, site: SiteView
) -> None:
    assert switchover.confirmations > 0
    assert site.serving_slot() == candidate


def test_old_slot_drained(switchover: SwitchoverView, left_in_flight: int, budget: Budget) -> None:
    assert left_in_flight <= budget.left_open


def test_candidate_keeps_within_budget_through_the_bake(bake: BakeView, budget: Budget) -> None:
    traffic_checks = bake.judged_by(budget)
    assert traffic_checks.passes, traffic_checks.problems


def test_no_request_was_lost(bake: BakeView, switchover: SwitchoverView, traffic: TrafficView, budget: Budget) -> None:
    lost = traffic.lost(during=switchover)
    assert traffic.sent > 0
    assert len(lost) <= budget.lost, lost[:5]
