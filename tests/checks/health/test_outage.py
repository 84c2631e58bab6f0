"""An outage made on purpose: what readiness and liveness say, and that the dependency is always given back."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from cakravia_verify.checks.health.outage import NOTICE_SECONDS, OutageRecord, make_outage
from cakravia_verify.checks.model import Ground
from cakravia_verify.errors import CakraviaError
from cakravia_verify.health.probe import HttpProber
from cakravia_verify.settings.contract import ContractSettings
from cakravia_verify.slots import Colour
from cakravia_verify.testing.memory import running_slot
from tests.checks.world import World
from tests.health.unread import Unread


class Application:
    """An application whose endpoints in `ill` are ill while the file `away` exists."""

    def __init__(self, away: Path, *, ill: tuple[str, ...]) -> None:
        self._away, self._ill = away, ill

    def __call__(self, request: httpx.Request) -> httpx.Response:
        is_ill = self._away.exists() and request.url.path.endswith(self._ill)
        return httpx.Response(503 if is_ill else 200, json={})


def grounded(folder: Path, *ill: str, recovery: str = "rm") -> tuple[Ground, Path]:
    """Return a site with blue, and the file whose presence is the outage."""
    world, away = World(folder), folder / "away"
    world.set("contract", outage=("/usr/bin/touch", str(away)), recovery=(*f"/usr/bin/{recovery}".split(), str(away)))
    world.memory.running[Colour.BLUE] = running_slot(Colour.BLUE, "v1")
    ground = world.ground()
    transport = Unread(Application(away, ill=ill))
    ground.site.prober = HttpProber(ContractSettings(), timeout=1, transport=transport)
    return ground, away


def test_a_good_application_notices_and_lives_on(tmp_path: Path) -> None:
    ground, away = grounded(tmp_path, "/ready")
    assert make_outage(ground) == OutageRecord((), (), ())
    assert not away.exists()


def test_readiness_that_never_changes_is_found_in_time(tmp_path: Path) -> None:
    ground, away = grounded(tmp_path, "/health")
    began = ground.site.clock.monotonic()
    assert make_outage(ground).unnoticed == ("blue (v1)",)
    assert ground.site.clock.monotonic() - began < NOTICE_SECONDS + 5
    assert not away.exists()


def test_liveness_that_dies_with_the_dependency_is_found(tmp_path: Path) -> None:
    ground, _ = grounded(tmp_path, "/ready", "/live")
    (found,) = make_outage(ground).live
    assert "live: 503" in found


def test_a_recovery_that_mends_nothing_is_found(tmp_path: Path) -> None:
    ground, _ = grounded(tmp_path, "/ready", recovery="test -e")
    assert make_outage(ground).lost == ("blue (v1)",)


def test_a_recovery_that_fails_says_so(tmp_path: Path) -> None:
    ground, _ = grounded(tmp_path, "/ready", recovery="false")
    with pytest.raises(CakraviaError, match="failed"):
        make_outage(ground)


def test_a_site_that_is_ill_before_is_not_made_worse(tmp_path: Path) -> None:
    ground, away = grounded(tmp_path, "/ready")
    away.touch()
    with pytest.raises(CakraviaError, match="before the outage"):
        make_outage(ground)
