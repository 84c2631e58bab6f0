"""The fixtures of suites/load."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cakravia_verify.gate.model import Budget
from cakravia_verify.plugin.gatekeeper import NAME
from cakravia_verify.plugin.load_keeper import LoadKeeper
from cakravia_verify.plugin.views import SiteView, SlotView
from cakravia_verify.runs.load_run import LoadRun, LoadSpan
from cakravia_verify.traffic.records.rows import Row


@dataclass(frozen=True)
class LoadView:
    """What a load on the live site showed. `seconds` is how long it flowed; `ended_early` says why it did not flow to
    its end, empty where it did. Times in seconds."""

    seconds: float
    ended_early: str
    sent: int
    lost: tuple[Row, ...]
    slot_before: SlotView
    slot_after: SlotView | None


@pytest.fixture(scope="session")
def load_run(request: pytest.FixtureRequest) -> LoadRun:
    """The run behind all other fixtures."""
    keeper = request.config.pluginmanager.get_plugin(NAME)
    if not isinstance(keeper, LoadKeeper):
        raise pytest.UsageError("this test belongs to a load: run it as pytest suites/load --duration 60")
    return keeper.run


@pytest.fixture(scope="session")
def site(load_run: LoadRun) -> SiteView:
    """The site as it is whenever it is asked."""
    return SiteView(load_run.site)


@pytest.fixture(scope="session")
def budget(load_run: LoadRun) -> Budget:
    """What users may suffer."""
    return load_run.budget


@pytest.fixture(scope="session")
def load(load_run: LoadRun, site: SiteView) -> LoadView:
    """The site under load, from its beginning to its end."""
    span: LoadSpan = load_run.load()
    flow, state = load_run.flow, load_run.state
    assert state is not None
    assert state.active is not None
    return LoadView(
        seconds=span.seconds,
        ended_early=span.ended_early,
        sent=flow.finished if flow else 0,
        lost=tuple(flow.lost + flow.unreached) if flow else (),
        slot_before=SlotView(state.active, load_run.site),
        slot_after=site.serving_slot(),
    )
