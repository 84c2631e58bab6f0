"""The candidate is looked at while users are on it, and only then."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cakravia_verify.analysis.model import Measurement
from cakravia_verify.gate.model import Budget, CheckStatus, Measured
from cakravia_verify.gate.rules import traffic_checks
from cakravia_verify.kinds import policy_of
from cakravia_verify.runs.growth_watch import GrowthWatch
from cakravia_verify.slots import Colour
from cakravia_verify.system.resources import SlotUse
from cakravia_verify.testing.memory import FakeClock, MemorySite


def watched(seconds: int, *, switches: int = 1, kind: str = "deploy", log: str = "Traceback\n" * 9) -> Measured:
    clock = FakeClock()
    site = MemorySite(clock, uses=[SlotUse((100 + 5 * second) << 20) for second in range(seconds)])
    site.slot_logs = {Colour.GREEN: log}
    settings = SimpleNamespace(slots=SimpleNamespace(memory_bytes=512 << 20))
    release: Any = SimpleNamespace(
        site=SimpleNamespace(clock=clock, platform=site, settings=settings),
        facts=SimpleNamespace(candidate=SimpleNamespace(colour=Colour.GREEN), switchovers=[None] * switches),
        intent=SimpleNamespace(active=Colour.BLUE, policy=policy_of(kind)),
    )
    watch = GrowthWatch(release)
    for _ in range(4 * seconds):
        watch.look()
        clock.sleep(0.25)
    return watch.added_to(Measurement(Measured(), ())).measured


def test_what_grows_through_the_bake_is_measured() -> None:
    memory, errors = watched(20).growth or ()
    assert memory == "its memory grows by 300 MiB a minute, now 195 MiB; its limit is reached in 1 minutes"
    assert errors.startswith("its log has 9 lines with errors")


def test_nothing_is_looked_at_before_the_switch() -> None:
    assert watched(20, switches=0).growth is None


def test_a_bake_too_short_to_show_growth_says_nothing_about_it() -> None:
    assert watched(4, log="").growth is None
    assert watched(4).growth is not None


def test_a_rollback_is_not_held_up_by_growth() -> None:
    assert watched(20, kind="rollback").growth == ()


@pytest.mark.parametrize(
    ("growth", "budget", "statuses"),
    [
        (("its memory grows",), "inform", [CheckStatus.PASSED]),
        (("its memory grows",), "require", [CheckStatus.FAILED]),
        ((), "inform", []),
        (None, "inform", []),
        ((), "require", [CheckStatus.PASSED]),
        (None, "require", [CheckStatus.UNKNOWN]),
    ],
)
def test_growth_decides_only_if_the_budget_says_so(
    growth: tuple[str, ...] | None, budget: str, statuses: list[CheckStatus]
) -> None:
    checks = traffic_checks(Measured(growth=growth), Budget(growth=budget), has_previous=True)
    assert [check.standing for check in checks if check.name == "growth"] == statuses
