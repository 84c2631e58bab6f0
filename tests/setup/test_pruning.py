"""What prune removes, and what always stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cakravia_verify.setup.pruning import DAY, PruneRules, removable, remove
from tests.memory_stage import Stage


def report(stage: Stage, name: str, *, days: float, size: int = 1000) -> Path:
    folder = stage.settings.reports / name
    folder.mkdir(parents=True)
    (folder / "verdict.json").write_bytes(b"x" * size)
    at = stage.clock.wall() - days * DAY
    os.utime(folder, (at, at))
    return folder


def names(stage: Stage, rules: PruneRules) -> list[str]:
    return [each.what for each in removable(stage.site, rules)]


@pytest.fixture
def site(stage: Stage) -> Stage:
    """Three releases, of which the first two can be gone back to; the report of the last one is very old."""
    for version in ("v1", "v2", "v3"):
        stage.deploy(version)
    for name, days in (
        ("r1", 300.0),
        ("r2", 100.0),
        ("r3", 400.0),
        ("old-load", 10.0),
    ):
        report(stage, name, days=days)
    (stage.settings.reports / "latest").symlink_to("r2")
    return stage


def test_old_reports_go_and_those_of_the_active_version_and_the_newest_stay(site: Stage) -> None:
    assert names(site, PruneRules(days=90)) == ["report r1"]


def test_reports_beyond_a_size_go_oldest_first(site: Stage) -> None:
    assert names(site, PruneRules(days=0, size=1500)) == ["report r1"]
    assert names(site, PruneRules(days=0, size=500)) == ["report old-load", "report r1"]


def test_nothing_goes_before_it_is_removed(site: Stage) -> None:
    found = removable(site.site, PruneRules())
    assert (site.settings.reports / "r1").is_dir()
    assert list(remove(site.site, found)) == ["removed report r1"]
    assert not (site.settings.reports / "r1").exists()
    assert names(site, PruneRules()) == []


def test_logs_that_were_set_aside_go(site: Stage) -> None:
    log = site.settings.state / "nginx" / "error.log.1"
    log.parent.mkdir(parents=True)
    log.write_text("old")
    assert "nginx/error.log.1" in names(site, PruneRules(days=0))


def test_versions_that_run_or_can_be_gone_back_to_stay(site: Stage) -> None:
    site.deploy("v4")
    list(remove(site.site, removable(site.site, PruneRules(days=0))))
    assert {"v3", "v4"} <= {artifact.version for artifact in site.memory.retained()}
    assert site.roll_back_to_previous() == "promoted"


def test_site_without_reports_has_nothing_to_remove(stage: Stage) -> None:
    assert names(stage, PruneRules()) == []
