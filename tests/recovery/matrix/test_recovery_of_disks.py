"""A disk fills up, or descriptors run out, in the middle of a release: what cannot be recorded is not promoted, users
are on a healthy slot all the while, and once there is room again the next command makes everything whole.

The disks are real and small: a tmpfs for the site's state and one for its reports, with a limit on bytes and on files.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.sessions.shop import Shop
from tests.recovery.matrix.cells import Cell, Lane, Told
from tests.recovery.matrix.filling import fill, make_room

IS_FULL = os.environ.get("CAKRAVIA_TEST_MATRIX") == "full"
# Where a release may still end with 0: its verdict is on record, and its report is on another disk.
DECIDED = ("verdict.done", "promote.begins", "cleanup.begins")
POINTS = ("traffic.begins", "build.begins", "stage.begins", "switch.begins", "drain.begins", "bake.begins", "gate")
EVERY = tuple(
    Cell(kind, f"{what}@{point}")
    for what in ("full-state", "full-reports", "descriptors")
    for kind, points in (("deploy", (*POINTS, *DECIDED)), ("rollback", ("prove.begins", "bake.begins")))
    for point in points
)
FEW = (
    Cell("deploy", "full-state@bake.begins"),
    Cell("deploy", "descriptors@bake.begins"),
    Cell("rollback", "full-reports@prove.begins"),
)
CELLS = EVERY if IS_FULL else FEW
# The gate gives back the descriptors that the session set aside: enough for a verdict on what was measured already.
RESERVED = (Cell("deploy", "descriptors@gate"),)


def is_mounted(folder: Path, *, size: str, files: int) -> bool:
    folder.mkdir(parents=True)
    options = f"size={size},nr_inodes={files},mode=700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    return mounted.returncode == 0


@pytest.fixture(scope="module")
def lane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lane]:
    """A site on two small disks. Its users read only: what an application makes of a full disk is its own affair."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("needs the right to mount a small disk")
    folder = tmp_path_factory.mktemp("disks")
    shop = Shop(folder / "site")
    settings = shop.settings.read_text()
    before, _, after = settings.partition('[[traffic.mix]]\nname = "order"')
    shop.settings.write_text(f"{before}[[traffic.mix]]{after.partition('[[traffic.mix]]')[2]}")
    with contextlib.ExitStack() as stack:
        for disk, size, files in ((shop.state, "24m", 2000), (shop.reports, "24m", 500)):
            if not is_mounted(disk, size=size, files=files):
                pytest.skip("may not mount a small disk here")
            stack.callback(subprocess.run, ["umount", "-l", str(disk)], check=False)
        made = Lane(folder, shop=shop)
        yield made
        assert made.close() == []


@pytest.fixture(scope="module")
def played(lane: Lane) -> dict[Cell, Told]:
    return {}


@pytest.fixture(params=CELLS, ids=str)
def told(request: pytest.FixtureRequest, lane: Lane, played: dict[Cell, Told]) -> Told:
    """What the release left, and the command that came once there was room again."""
    cell: Cell = request.param
    if cell not in played:
        # Nobody prunes reports, and the disk is small.
        for report in [each for each in lane.shop.reports.iterdir() if each.is_dir() and not each.is_symlink()]:
            shutil.rmtree(report)
        played[cell] = lane.play(cell, meanwhile=lambda: make_room(lane.shop.state, lane.shop.reports))
    assert played[cell].strikes == (cell.death,), played[cell].shown
    return played[cell]


def test_users_lose_nothing(told: Told) -> None:
    assert told.answered > 0
    assert told.suffered == (), told.shown


def test_release_says_so_in_words(told: Told) -> None:
    words = {"full": ("is full", "No space left"), "desc": ("Too many open files", "file descriptors")}
    if told.cell in RESERVED:
        assert told.ended.status == 0, told.shown
        return
    assert any(word in told.ended.output or word in str(told.verdict) for word in words[told.cell.death[:4]]), (
        told.shown
    )
    assert not told.ended.has_traceback, told.shown


def test_release_promotes_only_what_it_could_record(told: Told) -> None:
    decided = told.cell.death.partition("@")[2] in DECIDED or told.cell in RESERVED
    assert (told.ended.status == 0) is (told.verdict.get("decision") == "PROMOTE"), told.shown
    assert told.ended.status in ((0, 11) if decided else (1, 10, 11, 13)), told.shown
    assert told.verdict.get("exit_status", told.ended.status) == told.ended.status
    is_there = decided or told.ended.status == 13
    assert told.after == (told.version if is_there else told.before), told.shown


def test_site_is_whole_once_there_is_room_again(told: Told) -> None:
    assert told.next.status == 0, told.shown
    assert told.state.active is not None
    assert told.state.drift == ()
    assert told.ill == ()
    assert told.strays == ()
    assert told.traffic_left == 0
    assert told.damage == ()
    assert told.unfinished == 0
    assert told.record is not None
    outcomes = ("promoted", "unproven") if told.after == told.version else ("rolled back",)
    assert told.record.outcome in outcomes
    assert told.record.outcome != "unproven" or told.cell.kind == "rollback"


@pytest.mark.parametrize("told", [each for each in CELLS if each.kind == "rollback"], ids=str, indirect=True)
def test_rollback_stands_where_its_records_have_no_room_but_the_history_has(told: Told) -> None:
    assert told.record is not None
    is_recorded = told.cell.death.startswith("full-reports")
    assert (told.record.outcome == "unproven") is is_recorded, told.shown
    assert (told.ended.status == 13) is is_recorded, told.shown


def test_a_rollback_needs_no_room_on_disks_that_were_full_before_it(lane: Lane) -> None:
    shop = lane.shop
    make_room(shop.state, shop.reports)
    deployed = shop.deploy("v90.0.0")
    assert deployed.status == 0, deployed.output
    for disk in (shop.state, shop.reports):
        fill(disk)
    ended = shop.roll_back("--reason", "a test")
    make_room(shop.state, shop.reports)
    assert ended.status in (0, 13), ended.output
    assert shop.serving() != "v90.0.0"
    written = re.search(r"takes no report; it is written to (\S+)", ended.output)
    assert written, ended.output
    assert list(Path(written[1]).glob("*/verdict.json"))
    shutil.rmtree(written[1])
