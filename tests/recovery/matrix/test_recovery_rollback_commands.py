"""`cakravia rollback status | validate | history` on a real site: what it says is so, and it changes nothing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.system.clock import Deadline
from tests.plugin.sessions.shop import Ended
from tests.recovery.matrix.cells import Lane


def validated(lane: Lane, *arguments: str) -> tuple[int, dict[str, Any]]:
    ended = lane.shop.cakravia("rollback", "validate", "--json", *arguments)
    told: dict[str, Any] = json.loads(ended.output)
    return ended.status, told


def closed(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {finding["name"]: finding for finding in told["findings"] if not finding["ok"]}


@pytest.fixture
def kept_files(lane: Lane) -> Iterator[Path]:
    """A file of the retained version that is not active, as it was afterwards."""
    site = lane.site()
    active = site.observe().active
    assert active is not None
    target = next(each for each in site.platform.retained() if each.version != active.version)
    file = next(Path(target.location).rglob("*.py"))
    content = file.read_bytes()
    yield file
    file.write_bytes(content)


def test_open_way_back_is_told_with_its_duration(lane: Lane) -> None:
    status, told = validated(lane)
    assert status == 0, told
    assert told["possible"]
    assert closed(told) == {}
    assert told["active"] == "v2.0.0"
    assert told["target"]["version"] == "v1.0.0"
    assert told["warm"]
    assert 0 < told["seconds"]["users_back"] <= told["seconds"]["whole"]
    assert "deploy" in told["seconds"]["basis"]


def test_asking_changes_nothing(lane: Lane) -> None:
    before = lane.shop.picture()
    for command in ("status", "validate", "history"):
        lane.shop.cakravia("rollback", command)
    assert lane.shop.picture() == before


def test_each_line_says_ok_or_not_with_a_remedy(lane: Lane, kept_files: Path) -> None:
    kept_files.write_text("raise SystemExit")
    ended = lane.shop.cakravia("rollback", "validate")
    assert ended.status == 1
    lines = ended.output.splitlines()
    assert [line for line in lines if line.startswith("ok ")]
    bad = next(number for number, line in enumerate(lines) if line.startswith("not"))
    assert "have changed" in lines[bad]
    assert lines[bad + 1].strip().startswith("-> deploy the version again")


def test_artifact_that_was_tampered_with_is_no_way_back(lane: Lane, kept_files: Path) -> None:
    kept_files.write_text("raise SystemExit")
    status, told = validated(lane)
    assert status == 1
    assert set(closed(told)) == {"its artifact is intact"}


def test_held_lock_is_told_with_its_holder(lane: Lane) -> None:
    lock = lane.site().lock
    lock.acquire("a test")
    try:
        status, told = validated(lane)
    finally:
        lock.release()
    assert status == 1
    assert "a test" in closed(told)["the site is free"]["seen"]


def test_unknown_version_is_nothing_to_go_back_to(lane: Lane) -> None:
    status, told = validated(lane, "--version", "v9.9.9")
    assert status == 4
    assert "not retained" in closed(told)["target"]["seen"]
    assert not told["possible"]


def test_name_that_is_no_version_is_a_usage_error(lane: Lane) -> None:
    ended = lane.shop.cakravia("rollback", "validate", "--version", "../../etc")
    assert ended.status == 4
    assert "is not a version" in ended.output
    assert not ended.has_traceback


def test_active_version_is_no_way_back(lane: Lane) -> None:
    status, told = validated(lane, "--version", "v2.0.0")
    assert status == 1
    assert "active already" in closed(told)["target"]["seen"]


def test_release_left_half_done_is_told_before_going_back(lane: Lane) -> None:
    killed = lane.release("deploy", "v1.0.0", death="SIGKILL@build.begins")
    assert killed.status == -9
    status, told = validated(lane)
    assert status == 1
    assert closed(told)["the history is whole"]["remedy"] == shlex.join(["cakravia", *lane.shop.site, "recover"])
    assert lane.shop.cakravia("recover").status == 0
    assert validated(lane)[0] == 0


def test_cold_slot_is_startable_and_takes_longer(lane: Lane) -> None:
    _, warm = validated(lane)
    lane.empty_the_idle_slot()
    status, cold = validated(lane)
    assert status == 0, cold
    assert not cold["warm"]
    assert cold["seconds"]["users_back"] > warm["seconds"]["users_back"]


def test_validated_rollback_succeeds_and_is_remembered(lane: Lane) -> None:
    """The slot is gone by now: it is rebuilt from the retained artifact."""
    went: Ended = lane.release("rollback", "v1.0.0")
    assert went.status == 0, went.output
    assert lane.shop.serving() == "v1.0.0"
    rows = [json.loads(line) for line in lane.shop.cakravia("rollback", "history", "--json").output.splitlines()]
    assert [row["kind"] for row in rows] == ["deploy", "rollback"]
    assert (rows[-1]["from_version"], rows[-1]["version"], rows[-1]["outcome"]) == ("v2.0.0", "v1.0.0", "promoted")
    status = json.loads(lane.shop.cakravia("rollback", "status", "--json").output)
    assert status["last"]["release"] == rows[-1]["release"]
    assert "v2.0.0 -> v1.0.0" in lane.shop.cakravia("rollback", "history").output


def test_estimate_comes_from_rollbacks_once_there_were_some(lane: Lane) -> None:
    site = lane.site()
    lane.empty_the_idle_slot()
    _, told = validated(lane, "--version", "v2.0.0")
    assert told["seconds"]["basis"] == "median of 1 cold rollback"
    assert site.observe().active is not None


def test_first_version_has_nothing_before_it(lane: Lane) -> None:
    status, told = validated(lane)
    assert status == 4
    assert "no version before" in closed(told)["target"]["seen"]
    assert "target         none" in lane.shop.cakravia("rollback", "status").output


def test_stopped_proxy_is_mended_first_by_the_rollback(lane: Lane) -> None:
    site = lane.site()
    active = site.observe().active
    assert active is not None
    site.proxy.stop(deadline=Deadline("the proxy stops", 5.0))
    try:
        _, told = validated(lane, "--version", "v2.0.0")
    finally:
        site.proxy.start(active.colour, deadline=Deadline("the proxy starts", 5.0))
    assert "users are served" not in closed(told)
    (users,) = (finding for finding in told["findings"] if finding["name"] == "users are served")
    assert users["seen"].startswith(f"will be repaired first, with users on {active}: ")
