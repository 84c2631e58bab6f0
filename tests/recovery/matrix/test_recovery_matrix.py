"""A release dies or is interrupted at every point; users lose nothing from then to the end of the next command.

Every run takes half of the points, with signals and kinds in turn. CAKRAVIA_TEST_MATRIX=full takes every point with
each of the four signals, for deploy and for rollback: about 250 cells, most of an hour on two busy cores.

    CAKRAVIA_TEST_MATRIX=full pytest tests/recovery/matrix -n auto --dist loadgroup
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable

import pytest
from _pytest.mark.structures import ParameterSet

from cakravia_verify.release.steps import STEPS
from tests.recovery.matrix.cells import Cell, Lanes, Told

SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
KINDS = ("deploy", "rollback")
NAMES = tuple(step.name for step in STEPS)
BOUNDARIES = (
    "traffic.begins",
    "traffic.done",
    *(f"{name}.begins" for name in NAMES),
    "gate",
    "verdict.begins",
    "verdict.done",
    "cleanup.done",
    "outcome",
)
MIDDLES = tuple(f"{name}.midway" for name in NAMES)
POINTS = (*BOUNDARIES, *MIDDLES)
# From here on a signal only waits: the session is being concluded.
HELD = ("verdict.begins",)
# From here on the verdict is on record, and what dies then is carried forward by the next command.
DECIDED = (
    "verdict.done",
    "promote.begins",
    "promote.midway",
    "cleanup.begins",
    "cleanup.midway",
    "cleanup.done",
    "outcome",
)
# Where a release dies for every pull request.
CHECKED = tuple(
    f"SIGKILL@{point}"
    for point in ("build.midway", "smoke.midway", "switch.midway", "bake.midway", "verdict.begins", "verdict.done")
)
BEING_UNDONE = ("SIGTERM@bake.begins,SIGKILL@unswitch.midway",)
WAYS_BACK = ("unswitch.midway", "switch.undone", "unstage.midway", "stage.undone", "restore.midway", "prepare.undone")
IS_FULL = os.environ.get("CAKRAVIA_TEST_MATRIX") == "full"
# What pipelines grant between SIGTERM and SIGKILL is 7.5 s. On a machine busy with other tests a release takes longer;
# here only something hung is caught.
GENEROUS = 30.0


def chosen_cells() -> list[Cell]:
    if IS_FULL:
        every = [Cell(kind, f"{name}@{point}") for kind in KINDS for name in SIGNALS for point in POINTS]
        back = [Cell(kind, f"SIGTERM@bake.begins,SIGKILL@{point}") for kind in KINDS for point in WAYS_BACK]
        return [*filter(is_possible, every), *back, *NEXT_RELEASE]
    cells = list(ON_THE_EDGE)
    for number, point in enumerate(point for point in POINTS if not point.startswith("verdict")):
        if number % 2 == number // 14 % 2:  # of every step its beginning or its middle
            continue
        turn = [KINDS[(number + number // 4) % 2], *KINDS]
        possible = (Cell(kind, f"{SIGNALS[number % 4]}@{point}") for kind in turn)
        cells.append(next(filter(is_possible, possible)))
    return [*cells, *(Cell("deploy", death) for death in BEING_UNDONE), NEXT_RELEASE[0]]


def is_possible(cell: Cell) -> bool:
    """A rollback builds nothing, so there is no middle of it."""
    return cell.kind == "deploy" or not cell.death.endswith("@build.midway")


# The last instant at which a dead release is undone, the first at which its verdict stands, and the first at which a
# signal only waits.
ON_THE_EDGE = tuple(
    Cell("deploy", death) for death in ("SIGKILL@verdict.begins", "SIGKILL@verdict.done", "SIGTERM@verdict.begins")
)
NEXT_RELEASE = (
    Cell("deploy", "SIGKILL@switch.midway", then="deploy"),
    Cell("deploy", "SIGKILL@stage.midway", then="deploy"),
    Cell("rollback", "SIGKILL@bake.midway", then="deploy"),
    Cell("deploy", "SIGTERM@bake.begins,SIGKILL@switch.undone", then="deploy"),
)
CELLS = chosen_cells()
KILLED = [cell for cell in CELLS if cell.signal == "SIGKILL"]
CAUGHT = [cell for cell in CELLS if cell.signal != "SIGKILL"]


# One of each signal, of each kind and of each end, beside those.
ALWAYS = (*CHECKED, *BEING_UNDONE, "SIGTERM@verdict.begins", "SIGINT@confirm.midway")


def each(cells: Iterable[Cell]) -> list[ParameterSet]:
    """Return cells as parameters of a test, each under its name and with the marks of its tier."""
    return [pytest.param(one, id=str(one), marks=_marks(one)) for one in cells]


def _marks(cell: Cell) -> list[pytest.MarkDecorator]:
    if cell.death in CHECKED:
        return [pytest.mark.check]
    return [] if IS_FULL or cell.death in ALWAYS else [pytest.mark.slow]


def is_decided(cell: Cell) -> bool:
    """Whether the point lies where the release is promoted, with or without the next command."""
    point = cell.death.partition("@")[2].partition(",")[0]
    return point in DECIDED or (point in HELD and cell.signal != "SIGKILL")


def has_struck(told: Told) -> bool:
    """Whether every signal was sent. A point that was never reached would prove nothing."""
    return told.strikes == tuple(told.cell.death.split(","))


@pytest.mark.parametrize("cell", each(CELLS))
def test_users_lose_nothing_from_the_signal_to_the_end_of_recovery(cell: Cell, lanes: Lanes) -> None:
    told = lanes.told(cell)
    assert has_struck(told), told.shown
    assert told.answered > 0
    assert told.suffered == ()


@pytest.mark.parametrize("cell", each(CELLS))
def test_next_command_ends_on_one_healthy_active_slot(cell: Cell, lanes: Lanes) -> None:
    told = lanes.told(cell)
    assert told.next.status == 0, told.shown
    assert told.state.active is not None
    assert told.state.served is told.state.active.colour
    assert told.state.drift == ()
    assert told.ill == ()
    assert told.strays == ()
    assert told.traffic_left == 0
    arrives = is_decided(cell) or cell.then == "deploy"
    assert told.after == told.state.active.version == (told.version if arrives else told.before), told.shown


@pytest.mark.parametrize("cell", each(CELLS))
def test_history_tells_what_became_of_the_release(cell: Cell, lanes: Lanes) -> None:
    told = lanes.told(cell)
    assert told.damage == ()
    assert told.unfinished == 0
    assert told.record is not None
    assert told.record.outcome == ("promoted" if is_decided(cell) else "rolled back"), told.shown
    assert told.record.intent.kind == cell.kind
    numbers = [entry["seq"] for entry in told.entries]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    ends = [entry for entry in told.entries if entry["event"] == "release.finished"]
    assert Counter(entry["release"] for entry in ends).most_common(1)[0][1] == 1


@pytest.mark.parametrize("cell", each(KILLED))
def test_killed_release_says_nothing_it_had_not_come_to(cell: Cell, lanes: Lanes) -> None:
    told = lanes.told(cell)
    assert told.ended.status == -9, told.shown
    assert (told.verdict != {}) is ("@outcome" in cell.death)


@pytest.mark.parametrize("cell", each(CAUGHT))
def test_interrupted_release_leaves_report_and_verdict(cell: Cell, lanes: Lanes) -> None:
    told = lanes.told(cell)
    print(f"{cell}: {told.way_out:.2f} s from the signal to the end")
    assert told.ended.status == (0 if is_decided(cell) else 2), told.shown
    assert told.verdict["exit_status"] == told.ended.status
    assert told.verdict["decision"] == ("PROMOTE" if is_decided(cell) else "INCONCLUSIVE")
    assert {"report.html", "verdict.json", "junit.xml"} <= told.report
    assert not told.ended.has_traceback, told.shown
    assert told.way_out < GENEROUS


def test_every_run_takes_many_points_each_signal_and_both_kinds() -> None:
    deaths = [cell.death.partition("@") for cell in CELLS if "," not in cell.death]
    assert len({point for _, _, point in deaths}) >= (len(POINTS) if IS_FULL else 12)
    assert min(Counter(name for name, _, _ in deaths)[name] for name in SIGNALS) >= 3
    assert min(Counter(cell.kind for cell in CELLS)[kind] for kind in KINDS) >= 4
