"""`cakravia recover --accept-history`: a damaged history becomes usable again, and no user is moved by that."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from cakravia_verify.cli.main import main
from cakravia_verify.history.releases import flaw_of, last_holding, unfinished
from cakravia_verify.recovery.accepted_history import accept_history
from cakravia_verify.recovery.repair import repair
from tests.memory_stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Green runs v2 and has the users; blue is warm with v1."""
    made = Stage(tmp_path)
    made.deploy("v1")
    made.deploy("v2")
    return made


def a_line_is_unreadable(lines: list[str]) -> list[str]:
    return [*lines[:3], "\x07 no entry", *lines[4:]]


def entries_are_missing(lines: list[str]) -> list[str]:
    return [*lines[:2], *lines[5:]]


def the_last_promotion_is_missing(lines: list[str]) -> list[str]:
    return [*lines[:-1], "[" * 10_000]


def a_start_says_nothing(lines: list[str]) -> list[str]:
    rows = [json.loads(line) for line in lines]
    started = next(row for row in rows if row["event"] == "release.started")
    started["slot"] = "purple"
    return [json.dumps(row) for row in rows]


DAMAGES = (a_line_is_unreadable, entries_are_missing, the_last_promotion_is_missing, a_start_says_nothing)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_history_is_usable_again_and_moves_no_user(
    stage: Stage, damage: Callable[[list[str]], list[str]]
) -> None:
    history = stage.settings.history
    history.write_text("\n".join(damage(history.read_text().splitlines())) + "\n")
    damaged = history.read_text()
    site = stage.opened()
    assert flaw_of(site.journal)
    site.journal.token = site.lock.acquire("recover").token
    assert stage.acts(lambda: list(accept_history(site))) == []
    site.lock.release()
    assert flaw_of(site.journal) == ""
    assert unfinished(site.journal.entries()) == ()
    last = last_holding(site.journal.entries())
    assert last is not None
    assert (last.intent.version, last.digest) == ("v2", "sha256:v2")
    assert stage.opened().observe().drift == ()
    assert list(repair(stage.opened())) == []
    (kept,) = history.parent.glob(f"{history.name}.damaged-*")
    assert kept.read_text() == damaged
    assert stage.deploy("v3") == "promoted"


def test_a_history_that_lacks_the_release_of_users_is_accepted(stage: Stage) -> None:
    history = stage.settings.history
    lines = history.read_text().splitlines()
    second = [number for number, line in enumerate(lines) if '"release.started"' in line][1]
    history.write_text("\n".join(lines[:second]) + "\n")
    assert "does not know release" in " ".join(stage.opened().observe().drift)
    lines = list(accept_history(stage.opened()))
    assert lines[-1] == "green (v2), which users are on, counts as promoted"
    assert stage.opened().observe().drift == ()


def test_a_whole_history_is_left_as_it_is(stage: Stage) -> None:
    before = stage.settings.history.read_bytes()
    assert list(accept_history(stage.opened())) == ["the history is whole; there is nothing to accept"]
    assert stage.settings.history.read_bytes() == before


def test_the_command_accepts_a_damaged_history(tmp_path: Path) -> None:
    (tmp_path / "cakravia.toml").write_text("")
    history = tmp_path / ".cakravia" / "deployment-history.log"
    history.parent.mkdir()
    history.write_text("no entry\n")
    ended = CliRunner().invoke(main, ["--site", str(tmp_path / "cakravia.toml"), "recover", "--accept-history"])
    assert (ended.exit_code, "written anew" in ended.output) == (0, True), ended.output
