"""What comes before a release: what is settled first, and what a rollback goes back to."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.errors import NothingToDo
from cakravia_verify.proxy.protocol import ConfigurationState
from cakravia_verify.runs.preparation import Preparation, Request, prepare_run, reload_in_words
from cakravia_verify.slots import Colour
from tests.memory_stage import Stage


def opened(stage: Stage, *, version: str = "") -> Preparation:
    request = Request(kind="rollback", version=version)
    opening = prepare_run(request, stage.opened(), on_event=lambda _: None, waiting=lambda _: None)
    stage.site.lock.release()
    return opening


def promoted(tmp_path: Path, *versions: str) -> Stage:
    stage = Stage(tmp_path)
    for version in versions:
        stage.deploy(version)
    return stage


@pytest.mark.parametrize("named", ["", "v1"])
@pytest.mark.parametrize("failover", [True, False], ids=["stood-in-for", "without-an-answer"])
def test_a_rollback_from_a_version_that_died_goes_to_the_one_before_it(
    failover: bool, named: str, tmp_path: Path
) -> None:
    """Users are there already, but by no verdict: the next repair would take them forward again."""
    stage = promoted(tmp_path, "v1", "v2")
    assert stage.memory.chosen is Colour.GREEN
    del stage.memory.running[Colour.GREEN]
    stage.memory.failover = failover
    opening = opened(stage, version=named)
    assert (opening.intent.active_version, opening.intent.active) == ("v1", Colour.BLUE)
    assert (opening.intent.version, opening.intent.candidate) == ("v1", Colour.GREEN)
    assert opening.target is not None


def test_a_rollback_of_two_versions_that_died_goes_no_further_than_one(tmp_path: Path) -> None:
    stage = promoted(tmp_path, "v0", "v1", "v2")
    active = stage.site.observe().active
    assert active is not None
    del stage.memory.running[active.colour]
    assert opened(stage).intent.version == "v1"


def test_a_rollback_to_the_version_that_was_promoted_last_has_nothing_to_do(tmp_path: Path) -> None:
    stage = promoted(tmp_path, "v1", "v2")
    with pytest.raises(NothingToDo, match="v2 is active already"):
        opened(stage, version="v2")


def test_what_a_reload_changes_for_users_is_told_before_it(tmp_path: Path) -> None:
    stage = promoted(tmp_path, "v1")
    before = "http { server { location / { client_max_body_size 1m; } } }"
    stage.memory.configuration = ConfigurationState(wanted=before.replace("1m", "9m"), written=before, loaded=before)
    request = Request(kind="deploy", version="v2")
    opening = prepare_run(request, stage.opened(), on_event=lambda _: None, waiting=lambda _: None)
    assert any(
        "nginx will be reloaded: " in line and "9m, before 1m" in line
        for line in reload_in_words(stage.site, opening.state)
    )
