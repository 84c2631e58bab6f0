"""docs/VERDICT.md lists what was tried against the gate: every session of ours, and none that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.plugin.sessions.test_session_bad_input import MISTAKES
from tests.plugin.sessions.test_session_bad_releases import HARMFUL, HARMLESS
from tests.plugin.sessions.test_session_good_runs import GOOD
from tests.plugin.sessions.test_session_killed import EXITED
from tests.plugin.sessions.test_session_measured import TRIED as MEASURED
from tests.plugin.sessions.test_session_sabotage import ALL
from tests.plugin.sessions.test_session_signals import AGAIN, INTERRUPTED

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "VERDICT.md").read_text()
SECTION = PAGE.partition("## What was tried against it")[2].partition("\n## ")[0]
LISTED = {
    name
    for line in SECTION.splitlines()
    if line.startswith("| ")
    for name in re.findall("`([^`]+)`", line.split("|")[2])
}
TRIED = {scenario.name for scenario in (*HARMLESS, *HARMFUL, *MEASURED, *ALL, *INTERRUPTED, AGAIN, EXITED)}


def test_everything_tried_against_the_gate_is_listed() -> None:
    untold = TRIED - LISTED
    assert not untold


def test_nothing_is_listed_that_was_not_tried() -> None:
    invented = LISTED - TRIED - {mistake.name for mistake in MISTAKES}
    assert not invented


def test_corpus_is_as_large_as_was_asked() -> None:
    assert len(TRIED) >= 30
    assert len(GOOD) >= 10
