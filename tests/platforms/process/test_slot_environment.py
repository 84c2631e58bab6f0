"""What a slot was given stays with the site: later starts from other shells give it the same."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.platforms.process.slots import ProcessPlatform
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Artifact, Colour, Slot
from tests.platforms.process.conftest import deadline
from tests.platforms.process.test_process_platform import with_app

Ask = Callable[[Slot, str], str]
OTHER_SHELL = {"PATH": os.environ["PATH"]}


def shell(**variables: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **variables}


def secretive(settings: Settings) -> Settings:
    return with_app(settings, pass_environment=("PATH", "TZ", "SESSION_SECRET"))


def told(slot: Slot, ask: Ask) -> str:
    return str(json.loads(ask(slot, "/")).get("SESSION_SECRET"))


def start(platform: ProcessPlatform, artifact: Artifact, *, colour: Colour = Colour.BLUE) -> Slot:
    return platform.start(colour, artifact, release="r1", deadline=deadline())


@pytest.fixture
def released(settings: Settings, platform: ProcessPlatform) -> Artifact:
    """v1, started and promoted with a secret of the releaser's shell, and taken down."""
    first = ProcessPlatform(secretive(settings), environment=shell(SESSION_SECRET="s3cr3t"))
    artifact = first.build("v1", deadline=deadline())
    start(first, artifact)
    first.prune(keep=(), retain=5, promoted={artifact.digest})
    first.stop(Colour.BLUE, deadline=deadline())
    return artifact


def test_a_version_started_from_another_shell_gets_the_secret_of_its_release(
    settings: Settings, released: Artifact, ask: Ask
) -> None:
    for environment in (OTHER_SHELL, shell(SESSION_SECRET="another")):
        later = ProcessPlatform(secretive(settings), environment=environment)
        later.require_startable(released)
        for colour in Colour:
            assert told(start(later, released, colour=colour), ask) == "s3cr3t"


def test_only_the_releasing_user_can_read_what_is_kept(settings: Settings, released: Artifact) -> None:
    kept = [path for path in settings.state.rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()]
    assert kept
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}


def test_a_new_release_of_the_same_artifact_takes_up_changed_values(
    settings: Settings, released: Artifact, ask: Ask
) -> None:
    again = ProcessPlatform(secretive(settings), environment=shell(SESSION_SECRET="rotated"))
    assert told(start(again, again.build("v1", deadline=deadline())), ask) == "rotated"


def test_a_failed_release_of_the_same_artifact_changes_nothing_that_is_kept(
    settings: Settings, released: Artifact, ask: Ask
) -> None:
    again = ProcessPlatform(secretive(settings), environment=shell(SESSION_SECRET="wrong"))
    start(again, again.build("v1", deadline=deadline()), colour=Colour.GREEN)
    assert told(start(again, released), ask) == "s3cr3t"
    again.stop(Colour.GREEN, deadline=deadline())
    assert told(start(ProcessPlatform(secretive(settings), environment=OTHER_SHELL), released), ask) == "s3cr3t"


def test_a_missing_variable_is_refused_by_name_before_the_release(settings: Settings) -> None:
    lacking = ProcessPlatform(secretive(settings), environment=OTHER_SHELL)
    with pytest.raises(UsageError, match="SESSION_SECRET"):
        lacking.prefetch("v1", deadline=deadline())


def test_a_version_of_which_nothing_is_kept_is_refused_by_the_name_it_lacks(
    settings: Settings, released: Artifact
) -> None:
    for path in [*settings.state.rglob("*.environment"), *settings.state.rglob("slots/*/environment")]:
        path.unlink()
    lacking = ProcessPlatform(secretive(settings), environment=OTHER_SHELL)
    for act in (lambda: lacking.require_startable(released), lambda: start(lacking, released)):
        with pytest.raises(UsageError, match="SESSION_SECRET"):
            act()
    assert lacking.observe(Colour.BLUE) is None


def test_what_a_removed_version_was_given_is_removed_with_it(settings: Settings, released: Artifact) -> None:
    later = ProcessPlatform(secretive(settings), environment=shell(SESSION_SECRET="another"))
    (settings.root / "source" / "new.txt").write_text("new")
    newer = later.build("v2", deadline=deadline())
    start(later, newer)
    later.prune(keep=(), retain=1, promoted={released.digest, newer.digest})
    assert not [path for path in settings.state.rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()]


def test_an_env_file_reaches_the_slot_and_settings_win_over_it(
    settings: Settings, platform: ProcessPlatform, ask: Ask
) -> None:
    (settings.root / ".env").write_text("SESSION_SECRET='a \"quoted\" # secret'\nPORT=1\nBOTH=file\nFROM=${TZ:-none}\n")
    filed = ProcessPlatform(with_app(settings, env_file=".env", environment={"BOTH": "settings"}))
    slot = start(filed, filed.build("v1", deadline=deadline()))
    seen = json.loads(ask(slot, "/"))
    assert (seen["SESSION_SECRET"], seen["BOTH"]) == ('a "quoted" # secret', "settings")
    assert seen["PORT"] == str(settings.slots.blue)
    assert Path(seen["cwd"]).is_relative_to(settings.state / "versions")
