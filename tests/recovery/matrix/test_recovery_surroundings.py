"""What surrounds a release fails: its disk, its descriptors, its clock. It says so, and users are where they were."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cakravia_verify.history.releases import records
from cakravia_verify.testing.memory import FakeClock
from tests.memory_stage import Stage
from tests.plugin.sessions.shop import SUITES, Ended
from tests.recovery.matrix.cells import QUICK, Lane

IS_FULL = os.environ.get("CAKRAVIA_TEST_MATRIX") == "full"
OTHER = {"v1.0.0": "v2.0.0", "v2.0.0": "v1.0.0"}


def constrained(lane: Lane, shell: str, *, kind: str = "deploy", version: str) -> Ended:
    """A release begun by a shell that first makes its surroundings worse."""
    settings = [part for pair in QUICK.items() for part in ("--set", "=".join(pair))]
    session = [sys.executable, "-m", "pytest", str(SUITES / kind), *lane.shop.site, "--version", version, *settings]
    command = ["/bin/sh", "-c", f'{shell} && exec "$@"', "sh", *session, "-p", "no:cacheprovider"]
    return lane.shop.begin(command, environment={}).wait()


def require_unharmed(lane: Lane, before: str) -> None:
    """Users are where they were, and the next command finds or makes everything whole."""
    assert lane.shop.serving() == before
    recovered = lane.shop.cakravia("recover")
    assert recovered.status == 0, recovered.output
    site = lane.site()
    state = site.observe()
    assert state.active is not None
    assert (state.active.version, state.drift) == (before, ())
    assert [record for record in records(site.journal.entries()) if not record.is_finished] == []
    assert lane.shop.traffic_left() == 0
    suffered, answered = lane._suffered_since(0)
    assert answered > 0
    assert suffered == []


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [pytest.param(1, marks=pytest.mark.slow), 24])
def test_disk_that_takes_no_more_is_told_and_harms_nobody(lane: Lane, blocks: int) -> None:
    """No file of the release grows beyond the limit, as on a disk without space: at 1 block of 512 bytes nothing can be
    recorded, at 24 the release fails on its way."""
    before = lane.shop.serving()
    ended = constrained(lane, f"ulimit -f {blocks}", version=OTHER[before])
    assert ended.status not in (0, 12), ended.output
    assert not ended.has_traceback, ended.output
    assert "cannot be" in ended.output or "could not be" in ended.output or "no report can" in ended.output
    require_unharmed(lane, before)


def can_remount() -> bool:
    """Whether this user may have a mount namespace in which a folder is read-only."""
    if not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("part", ["", "/reports"])
@pytest.mark.skipif(not can_remount(), reason="needs the right to make a mount namespace")
def test_read_only_folder_is_told_and_harms_nobody(lane: Lane, part: str) -> None:
    before = lane.shop.serving()
    folder = str(lane.shop.reports if part else lane.shop.state)
    script = f'mount --bind "{folder}" "{folder}" && mount -o remount,ro,bind "{folder}"'
    ended = _in_namespace(lane, script, version=OTHER[before])
    assert ended.status == 4, ended.output
    assert "Read-only file system" in ended.output
    assert not ended.has_traceback, ended.output
    require_unharmed(lane, before)


def _in_namespace(lane: Lane, script: str, *, version: str) -> Ended:
    session = [sys.executable, "-m", "pytest", str(SUITES / "deploy"), *lane.shop.site, "--version", version]
    command = ["unshare", "-m", "sh", "-c", f'{script} && exec "$@"', "sh", *session, "-p", "no:cacheprovider"]
    return lane.shop.begin(command, environment={}).wait()


@pytest.mark.parametrize("descriptors", [16, 24, 40, 56] if IS_FULL else [24])
def test_release_without_file_descriptors_harms_nobody(lane: Lane, descriptors: int) -> None:
    before = lane.shop.serving()
    ended = constrained(lane, f"ulimit -n {descriptors}", version=OTHER[before])
    if ended.status == 0:
        assert lane.shop.serving() == OTHER[before]  # enough for this machine: then it is a release like any other
        before = lane.shop.serving()
    require_unharmed(lane, before)


@pytest.mark.slow
def test_longest_version_there_may_be_is_released(lane: Lane) -> None:
    version = "v" + "9" * 119 + "+build.1"
    assert len(version) == 128
    ended = lane.release("deploy", version)
    assert ended.status == 0, ended.output
    assert lane.shop.serving() == version
    back = lane.release("rollback", "v1.0.0")
    assert back.status == 0, back.output


@pytest.mark.parametrize(
    "version",
    [
        "../../etc/passwd",
        "",
        *(
            pytest.param(version, marks=pytest.mark.slow)
            for version in ("v1;reboot", "v1\nv2", "v" * 129, "$(id)", "v1 v2", "版本", "-", "{version}")
        ),
    ],
)
def test_hostile_version_is_refused_by_every_command_that_takes_one(lane: Lane, version: str) -> None:
    before = lane.shop.picture()
    for command in (("rollback", "validate"), ("rollback", "status")):
        ended = lane.shop.cakravia(*command, f"--version={version}")
        assert ended.status == (4 if version else ended.status), ended.output
        assert not ended.has_traceback, ended.output
    assert lane.shop.picture() == before


class JumpingClock(FakeClock):
    """The wall clock jumps a day back and two forward at every other look; time that passes is not touched."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def wall(self) -> float:
        self.looks += 1
        return super().wall() + (-86_400.0, 0.0, 172_800.0)[self.looks % 3]


def test_wall_clock_that_jumps_changes_neither_releases_nor_their_order(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.clock = stage.memory.clock = JumpingClock()
    stage.opened()
    for version in ("v1", "v2", "v3"):
        assert stage.deploy(version) == "promoted"
    assert stage.roll_back_to_previous() == "promoted"
    told = records(stage.site.journal.entries())
    assert [record.intent.version for record in told] == ["v1", "v2", "v3", "v2"]
    assert all(0 <= record.seconds < 60 for record in told)
    assert stage.site.journal.damage() == []
    assert stage.serving is not None
    assert stage.serving.version == "v2"


def test_release_that_died_before_the_clock_jumped_is_undone(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.deploy("v1")
    stage.clock = stage.memory.clock = JumpingClock()
    stage.opened()
    assert stage.die_at(12, lambda: stage.deploy("v2"))
    assert stage.recover() == ["rolled back"]
    assert stage.serving is not None
    assert stage.serving.version == "v1"
