"""What hooks of others get of a release."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.plugin.snapshot import snapshot_of
from cakravia_verify.release.machine import Release, ReleaseFacts
from cakravia_verify.site.site import Site
from tests.memory_stage import Stage


def test_a_hook_could_change_the_release_it_was_asked_about(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    release = stage.release("v1")
    release.start()
    release.advance("bake")
    snapshot: Any = snapshot_of(release)
    for field in fields(snapshot):
        assert not isinstance(getattr(snapshot, field.name), Release | ReleaseFacts | Site | list | dict)
        with pytest.raises(FrozenInstanceError):
            setattr(snapshot, field.name, None)
    assert snapshot.steps_done[-1] == "bake"
    assert snapshot.bake_rounds == release.facts.bake_rounds > 0


def test_a_snapshot_stays_as_it_was_when_the_release_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    release = stage.release("v1")
    release.start()
    release.advance("prove")
    before = snapshot_of(release)
    release.advance("confirm")
    assert before.switchovers == ()
    assert len(snapshot_of(release).switchovers) == 1
