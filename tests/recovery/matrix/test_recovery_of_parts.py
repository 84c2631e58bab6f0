"""A part of the site dies while a release runs: traffic, proxy, a slot, or everything at once as when a machine stops.

What users lose in each is told by the tests' names. Nothing else is lost, and nothing after the next command has ended.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest
from _pytest.mark.structures import ParameterSet

from cakravia_verify.release.steps import STEPS
from tests.recovery.matrix.cells import Cell, Lanes, Told

HARMLESS = (
    Cell("deploy", "traffic@prove.begins"),
    Cell("rollback", "traffic@bake.begins"),
    Cell("deploy", "candidate@smoke.begins"),
    Cell("deploy", "active@bake.begins"),
)
HARMFUL = (
    Cell("deploy", "candidate@bake.begins"),
    Cell("deploy", "active@prove.begins"),
    Cell("rollback", "proxy@prove.begins"),
    Cell("deploy", "proxy@bake.begins"),
)
MACHINE = (
    Cell("deploy", "machine@stage.done", then="up"),
    Cell("deploy", "machine@verdict.begins", then="up"),
    Cell("deploy", "machine@verdict.done", then="up"),
    Cell("rollback", "machine@switch.midway", then="deploy"),
)
# Whatever dies, at whichever step: what users lose depends on both, and is bounded all the same.
ANYWHERE = tuple(
    Cell("deploy", f"{part}@{step.name}.begins", then="up" if part == "machine" else "recover")
    for part in ("traffic", "proxy", "active", "candidate", "machine")
    for step in STEPS
    if os.environ.get("CAKRAVIA_TEST_MATRIX") == "full"
)
CELLS = tuple(dict.fromkeys((*HARMLESS, *HARMFUL, *MACHINE, *ANYWHERE)))
# One of each part that dies; the others make the same point at another step.
ALWAYS = (*HARMLESS[:3], HARMFUL[1], HARMFUL[2], MACHINE[1], MACHINE[2], *ANYWHERE)


def each(cells: Iterable[Cell]) -> list[ParameterSet]:
    return [pytest.param(one, id=str(one), marks=[] if one in ALWAYS else [pytest.mark.slow]) for one in cells]


def told_of(cell: Cell, lanes: Lanes) -> Told:
    told = lanes.told(cell)
    assert told.strikes == (cell.death,), told.shown
    return told


@pytest.mark.parametrize("cell", each(HARMLESS))
def test_users_lose_nothing_where_what_dies_does_not_serve_them(cell: Cell, lanes: Lanes) -> None:
    told = told_of(cell, lanes)
    assert told.answered > 0
    assert told.suffered == ()


@pytest.mark.parametrize("cell", each([*HARMFUL, *MACHINE]))
def test_users_lose_only_what_the_dead_part_had_and_are_served_again(cell: Cell, lanes: Lanes) -> None:
    told = told_of(cell, lanes)
    assert told.suffered, "what served users is dead and nobody noticed: was it killed?"
    last = max(row.started for row in told.suffered) / 1e6
    first = min(row.done or row.started for row in told.suffered) / 1e6
    kinds = sorted({row.outcome for row in told.suffered})
    print(f"{cell}: {len(told.suffered)} requests in {last - told.struck_at:.2f} s ({', '.join(kinds)})")
    assert first >= told.struck_at - 0.05
    assert last <= told.next.at


@pytest.mark.parametrize("cell", each(ANYWHERE or HARMLESS[:1]))
def test_users_lose_nothing_before_the_death_nor_after_the_next_command(cell: Cell, lanes: Lanes) -> None:
    told = told_of(cell, lanes)
    assert told.answered > 0
    assert all((row.done or row.started) / 1e6 >= told.struck_at - 0.05 for row in told.suffered)
    assert all(row.started / 1e6 <= told.next.at for row in told.suffered)
    assert told.suffered == () or not told.cell.death.startswith("traffic")


@pytest.mark.parametrize("cell", each(CELLS))
def test_site_is_whole_again_after_the_next_command(cell: Cell, lanes: Lanes) -> None:
    told = told_of(cell, lanes)
    assert told.next.status == 0, told.shown
    assert told.state.active is not None
    assert told.state.served is told.state.active.colour
    assert told.state.drift == ()
    assert told.ill == ()
    assert told.strays == ()
    assert told.traffic_left == 0
    assert told.after == told.state.active.version


@pytest.mark.parametrize("cell", each(CELLS))
def test_history_agrees_with_where_users_are(cell: Cell, lanes: Lanes) -> None:
    told = told_of(cell, lanes)
    assert told.damage == ()
    assert told.unfinished == 0
    assert told.record is not None
    assert told.record.outcome in ("promoted", "rolled back", "unproven"), told.shown
    arrived = told.record.holds_users or cell.then == "deploy"
    assert told.after == (told.version if arrived else told.before), told.shown


@pytest.mark.parametrize("cell", each([HARMFUL[0], HARMLESS[0], HARMLESS[2], *MACHINE[:2]]))
def test_release_whose_part_died_is_not_promoted(cell: Cell, lanes: Lanes) -> None:
    told = told_of(cell, lanes)
    assert told.record is not None
    assert told.record.outcome == "rolled back"
    assert told.verdict.get("decision") != "PROMOTE"


def test_verdict_on_record_is_carried_out_where_the_machine_died_right_after(lanes: Lanes) -> None:
    told = told_of(MACHINE[2], lanes)
    assert told.record is not None
    assert told.record.outcome == "promoted", told.shown
    assert "promoted" in told.next.output
    assert told.verdict == {}


def test_rollback_goes_on_without_the_traffic_that_died_and_says_that_it_proves_nothing(lanes: Lanes) -> None:
    told = told_of(HARMLESS[1], lanes)
    assert told.record is not None
    assert (told.ended.status, told.record.outcome) == (13, "unproven"), told.shown
    assert told.verdict["decision"] == "INCONCLUSIVE"
    assert told.after == told.version


@pytest.mark.slow
def test_death_of_a_slot_that_nobody_is_on_keeps_nobody_from_the_new_version(lanes: Lanes) -> None:
    told = told_of(HARMLESS[3], lanes)
    assert told.ended.status == 0, told.shown


@pytest.mark.parametrize("cell", each([HARMLESS[2], HARMFUL[0]]))
def test_death_of_the_candidate_rolls_back(cell: Cell, lanes: Lanes) -> None:
    told = told_of(cell, lanes)
    assert told.ended.status == 1, told.shown
