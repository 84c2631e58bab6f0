"""What a release does for pages that are open in browsers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.history.releases import PROMOTED, ROLLED_BACK
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.settings.skew import SkewSettings
from cakravia_verify.slots import Colour
from tests.memory_stage import Stage

NAMED = SkewSettings(header="x-deployment-id")


def stage_with(folder: Path, *, keep_warm: bool = True, **proxy: Any) -> Stage:
    stage = Stage(folder, keep_warm=keep_warm)
    stage.settings = stage.settings.model_copy(update={"proxy": ProxySettings(**proxy)})
    stage.opened()
    return stage


def page_of(version: str) -> dict[str, tuple[str, bytes]]:
    return {
        "/": ("text/html", f"<script src=/assets/{version}.js></script>".encode()),
        f"/assets/{version}.js": ("text/javascript", version.encode()),
        "/assets/logo.js": ("text/javascript", version.encode()),
    }


def test_both_versions_pages_find_their_files_after_the_switch_and_a_rollback(tmp_path: Path) -> None:
    stage = stage_with(tmp_path, assets=("/assets/",))
    stage.memory.served = {version: page_of(version) for version in ("v1", "v2", "v3")}
    assert [stage.deploy(version) for version in ("v1", "v2", "v3")] == [PROMOTED] * 3
    # v1 was replaced in its slot by v3, and its file is still there.
    assert stage.memory.kept_files == {
        Colour.BLUE: {"/assets/v1.js": b"v1", "/assets/v2.js": b"v2"},
        Colour.GREEN: {"/assets/v1.js": b"v1", "/assets/v3.js": b"v3"},
    }
    assert stage.roll_back_to_previous() == PROMOTED
    assert stage.memory.kept_files[Colour.GREEN] == {"/assets/v1.js": b"v1", "/assets/v3.js": b"v3"}


def test_a_rejected_candidates_files_stay_for_the_pages_that_it_served(tmp_path: Path) -> None:
    stage = stage_with(tmp_path, assets=("/assets/",))
    stage.memory.served = {version: page_of(version) for version in ("v1", "v2")}
    stage.deploy("v1")
    release = stage.release("v2")
    release.advance("confirm")
    release.roll_back("a test")
    assert stage.memory.kept_files[Colour.BLUE] == {"/assets/v2.js": b"v2"}


def test_the_old_version_is_pinned_before_users_leave_it(tmp_path: Path) -> None:
    stage = stage_with(tmp_path, skew=NAMED)
    stage.deploy("v1")
    pins: list[dict[Colour, str]] = []
    stage.memory.before = lambda what: pins.append(dict(stage.memory.pins)) if what == "point_at" else None
    stage.deploy("v2")
    assert pins == [{Colour.BLUE: "v1"}]


def test_a_pin_ends_before_another_version_starts_in_its_slot(tmp_path: Path) -> None:
    stage = stage_with(tmp_path, skew=NAMED)
    stage.deploy("v1")
    stage.deploy("v2")
    pins: list[dict[Colour, str]] = []
    stage.memory.before = lambda what: pins.append(dict(stage.memory.pins)) if what == "start" else None
    stage.deploy("v3")
    assert pins == [{}]
    assert stage.memory.pins == {Colour.GREEN: "v2"}


@pytest.mark.parametrize("after_rollback", [False, True])
def test_users_go_back_to_a_version_they_were_rolled_back_from_only_if_told(
    tmp_path: Path, after_rollback: bool
) -> None:
    stage = stage_with(tmp_path, skew=SkewSettings(query="dpl", after_rollback=after_rollback))
    stage.deploy("v1")
    stage.deploy("v2")
    assert stage.roll_back_to_previous() == PROMOTED
    assert stage.memory.pins.get(Colour.GREEN) == ("v2" if after_rollback else None)


def test_a_slot_that_is_stopped_after_the_promotion_is_not_pinned(tmp_path: Path) -> None:
    stage = stage_with(tmp_path, keep_warm=False, skew=NAMED)
    stage.deploy("v1")
    stage.deploy("v2")
    assert stage.memory.pins == {}


def test_a_pinned_slot_that_becomes_ill_is_left(tmp_path: Path) -> None:
    stage = stage_with(tmp_path, skew=NAMED)
    stage.deploy("v1")
    release = stage.release("v2")
    release.start()
    release.advance("drain")
    assert stage.memory.pins == {Colour.BLUE: "v1"}
    stage.memory.sick.add("v1")
    release.advance("bake")
    assert stage.memory.pins == {}
    assert "blue (v1) is not healthy" in next(each.note for each in release.events if each.step == "bake" and each.note)


def test_requests_of_open_pages_do_not_keep_the_old_slot_from_draining(tmp_path: Path) -> None:
    stage = stage_with(tmp_path, skew=NAMED)
    stage.deploy("v1")
    stage.memory.open_connections[Colour.BLUE] = 2
    release = stage.release("v2")
    release.advance("drain")
    assert release.facts.left_in_flight == 0
    assert "2 open on the old slot" in release.events[-1].note


def test_a_release_that_fails_leaves_no_pin_of_its_candidate(tmp_path: Path) -> None:
    stage = stage_with(tmp_path, skew=NAMED)
    stage.deploy("v1")
    stage.memory.sick.add("v2")
    assert stage.deploy("v2") == ROLLED_BACK
    assert stage.memory.pins == {}
