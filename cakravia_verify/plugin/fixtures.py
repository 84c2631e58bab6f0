"""The fixtures of a release suite. Each brings the release one stage further; dependencies fix the order."""

from __future__ import annotations

import pytest

from cakravia_verify.gate.model import Budget
from cakravia_verify.plugin.gatekeeper import NAME, Gatekeeper
from cakravia_verify.plugin.views import BakeView, ReleaseView, SiteView, SlotView, SwitchoverView, TrafficView
from cakravia_verify.runs.release_run import ReleaseRun


@pytest.fixture(scope="session")
def release_run(request: pytest.FixtureRequest) -> ReleaseRun:
    """The run behind all other fixtures."""
    gatekeeper = request.config.pluginmanager.get_plugin(NAME)
    if not isinstance(gatekeeper, Gatekeeper):
        raise pytest.UsageError(
            "this test belongs to a release suite: run it as pytest suites/deploy --version v1.2.0, "
            "or let a conftest.py implement pytest_cakravia_kind"
        )
    return gatekeeper.run


@pytest.fixture(scope="session")
def site(release_run: ReleaseRun) -> SiteView:
    """The site as it is whenever it is asked."""
    return SiteView(release_run.site)


@pytest.fixture(scope="session")
def release(release_run: ReleaseRun) -> ReleaseView:
    """The release, with users' traffic flowing where there are users."""
    release_run.begin()
    return ReleaseView(release_run)


@pytest.fixture(scope="session")
def traffic(release: ReleaseView, release_run: ReleaseRun) -> TrafficView:
    """The traffic that runs through the whole release."""
    return TrafficView(release_run)


@pytest.fixture(scope="session")
def budget(release_run: ReleaseRun) -> Budget:
    """What users may suffer."""
    return release_run.budget


@pytest.fixture(scope="session")
def candidate(release: ReleaseView, release_run: ReleaseRun) -> SlotView:
    """The idle slot, running the new version and proven healthy; no user reaches it yet."""
    slot = release_run.reach("prove").seen.candidate
    assert slot is not None
    return SlotView(slot, release_run.site)


@pytest.fixture(scope="session")
def smoked(candidate: SlotView, release_run: ReleaseRun) -> int:
    """How many smoke requests the candidate answered as expected."""
    return release_run.reach("smoke").seen.smoke_passed


@pytest.fixture(scope="session")
def switchover(candidate: SlotView, smoked: int, release_run: ReleaseRun) -> SwitchoverView:
    """Users are on the candidate, confirmed through the proxy."""
    seen = release_run.reach("confirm").seen
    flip = seen.flips[0]
    assert seen.confirmed_at is not None
    return SwitchoverView(
        begin=flip.decided_at,
        end=seen.confirmed_at,
        milliseconds=(flip.effective_at - flip.decided_at) * 1000,
        confirmations=seen.confirmations,
    )


@pytest.fixture(scope="session")
def left_in_flight(switchover: SwitchoverView, release_run: ReleaseRun) -> int:
    """Requests still open on the old slot when the drain ended."""
    return release_run.reach("drain").seen.left_in_flight or 0


@pytest.fixture(scope="session")
def bake(left_in_flight: int, release_run: ReleaseRun) -> BakeView:
    """Users have been on the candidate for the whole bake."""
    release_run.reach("bake")
    return BakeView(release_run)
