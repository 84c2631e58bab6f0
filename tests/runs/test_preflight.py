"""Settings that no release could pass are refused before anything starts."""

from __future__ import annotations

from typing import Any

import pytest

from cakravia_verify.errors import SettingsError
from cakravia_verify.runs.preflight import require_enough_requests
from cakravia_verify.settings.budget import BudgetSettings
from cakravia_verify.settings.models import ReleaseSettings, Settings
from cakravia_verify.traffic.plan.mix import MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan

MIX = tuple(MixEntry(f"kind {number}") for number in range(50))


def require(*, bake: float, locustfile: str = "", **budget: Any) -> None:
    settings = Settings(release=ReleaseSettings(bake=bake), budget=BudgetSettings(**budget))
    plan = TrafficPlan(url="http://127.0.0.1:1", records="", run="r", mix=MIX, rate=20.0, locustfile=locustfile)
    require_enough_requests(settings, plan)


@pytest.mark.parametrize("locustfile", ["", "own.py"])
def test_a_bake_too_short_for_every_kind_of_request_is_refused(locustfile: str) -> None:
    with pytest.raises(SettingsError, match="makes 240 requests for 50 kinds of them, and each needs"):
        require(bake=12.0, locustfile=locustfile)


def test_a_bake_with_room_for_every_kind_of_request_is_not_refused() -> None:
    require(bake=12.5)
    require(bake=12.0, min_each=4)
    require(bake=12.0, min_each=0)


def test_a_bake_of_too_few_requests_in_all_is_refused() -> None:
    with pytest.raises(SettingsError, match="fewer than"):
        require(bake=9.0, min_each=0)
