"""The table of exit statuses in docs/OPERATIONS.md, held against every session that the other tests run.

tests/recovery compares it with the code's own names; here a status is compared with what it left behind.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.gate.model import Exit
from tests.plugin.sessions.lanes import Lanes, Scenario, each
from tests.plugin.sessions.test_session_bad_releases import HARMFUL, HARMLESS
from tests.plugin.sessions.test_session_good_runs import GOOD
from tests.plugin.sessions.test_session_sabotage import ALL
from tests.plugin.sessions.test_session_signals import INTERRUPTED

PAGE = Path(__file__).resolve().parents[3] / "docs" / "OPERATIONS.md"
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines()]
TABLE = {int(row[0]): row for row in ROWS if row[0].isdigit()}
# A later command has changed what these left behind, or somebody took what was to be looked at.
ENDED_THERE = [one for one in (*GOOD, *HARMLESS, *HARMFUL, *INTERRUPTED, *ALL) if not one.follow_up]
UNTOUCHED = ("the old version", "where they were")


@pytest.mark.parametrize("scenario", each(*(one for one in ENDED_THERE if not one.is_spoiling)))
def test_users_are_where_the_table_says(scenario: Scenario, lanes: Lanes) -> None:
    seen = lanes.seen(scenario)
    says = TABLE[seen.ended.status][2]
    if says in ("the new version", "the version gone back to"):
        assert seen.after[0] == seen.version
    else:
        assert says in UNTOUCHED
        assert seen.after == seen.before


@pytest.mark.parametrize("scenario", each(*ENDED_THERE))
def test_history_says_what_the_table_says(scenario: Scenario, lanes: Lanes) -> None:
    """A session that only lists or plans begins no release, and the history does not know of it."""
    seen = lanes.seen(scenario)
    has_begun = any(entry["event"] == "release.started" for entry in seen.history)
    says = TABLE[seen.ended.status][3].strip("`")
    assert seen.outcome == (says if has_begun and says != "nothing new" else "")
    assert not has_begun or says != "nothing new"


def test_every_status_but_that_of_a_held_lock_is_shown_by_a_session_here(lanes: Lanes) -> None:
    """The lock: test_second_release_is_told_who_holds_the_site."""
    shown = {
        Exit.PROMOTED: GOOD[0],
        Exit.ROLLED_BACK: HARMLESS[0],
        Exit.INTERRUPTED: next(one for one in INTERRUPTED if one.name == "sigint-bake"),
        Exit.USAGE_ERROR: next(one for one in ALL if one.name == "plugin-blocked"),
        Exit.INCONCLUSIVE: next(one for one in ALL if one.name == "deselected-by-k"),
        Exit.UNPROVEN: next(one for one in ALL if one.name == "back-connections-broken"),
        Exit.NEEDS_A_PERSON: next(one for one in ALL if one.name == "no-way-back"),
    }
    assert {status: lanes.seen(one).ended.status for status, one in shown.items()} == {each: each for each in shown}
    assert set(shown) | {Exit.LOCK_HELD} == set(Exit) == {Exit(number) for number in TABLE}
