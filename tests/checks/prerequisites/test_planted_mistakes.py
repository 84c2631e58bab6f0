"""Every planted mistake is found, and the named remedy makes it disappear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cakravia_verify.checks.model import Grade, Ground, SiteCheck, carry_out
from cakravia_verify.checks.prerequisites.registry import PREREQUISITES
from tests.checks.mistakes import PREREQUISITE_MISTAKES, Mistake
from tests.checks.world import World


@pytest.fixture(params=PREREQUISITE_MISTAKES, ids=lambda mistake: mistake.name)
def mistake(request: pytest.FixtureRequest) -> Mistake:
    found: Mistake = request.param
    return found


@pytest.fixture
def world(mistake: Mistake, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, platform=mistake.platform)
    yield made
    made.end_others()


def test_a_planted_mistake_is_found_and_its_remedy_mends_it(mistake: Mistake, world: World) -> None:
    assert world.findings(mistake.check) == []
    mistake.plant(world)
    found = [finding for _, finding in world.findings(mistake.check)]
    named = [each for each in found if mistake.found in each.found and mistake.remedy in each.remedy]
    assert named, found
    mistake.mend(world)
    assert world.findings(mistake.check) == []


@pytest.mark.parametrize("platform", ["process", "docker"])
def test_a_sound_site_has_no_finding(platform: str, tmp_path: Path) -> None:
    assert World(tmp_path, platform=platform).findings() == []


def test_every_prerequisite_finds_a_planted_mistake() -> None:
    assert {mistake.check for mistake in PREREQUISITE_MISTAKES} == {check.name for check in PREREQUISITES}
    assert len(PREREQUISITE_MISTAKES) >= 40


def test_a_check_that_breaks_proves_nothing_and_stops_no_other(tmp_path: Path) -> None:
    def broken(ground: Ground) -> Iterator[object]:
        raise ZeroDivisionError

    check = SiteCheck("broken", "It works", broken)  # type: ignore[arg-type]
    (finding,) = carry_out(check, World(tmp_path).ground()).findings
    assert (finding.grade, finding.is_bad) == (Grade.UNKNOWN, True)
