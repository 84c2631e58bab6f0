"""The preview of a release: it says what the release then does, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.proxy.protocol import ConfigurationState
from cakravia_verify.recovery.release_preview import ReleasePreview, preview_release
from cakravia_verify.settings.hooks import HookMoment, HookSettings
from tests.memory_stage import Stage


def words(preview: ReleasePreview) -> dict[str, str]:
    return {step.name: step.does for step in preview.steps}


def test_preview_names_the_steps_of_the_release_that_follows(site_with_v1: Stage) -> None:
    preview = preview_release(site_with_v1.site, "v2")
    begun = len(site_with_v1.journal.entries())
    site_with_v1.deploy("v2")
    later = site_with_v1.journal.entries()[begun:]
    assert [step.name for step in preview.steps] == [each.step for each in later if each.event == "step.intent"]


def test_preview_changes_nothing(site_with_v1: Stage) -> None:
    before = len(site_with_v1.journal.entries())
    assert site_with_v1.acts(lambda: preview_release(site_with_v1.site, "v2")) == []
    assert len(site_with_v1.journal.entries()) == before
    assert site_with_v1.site.lock.holder() is None


def test_preview_tells_the_slots_and_what_ends(site_with_v1: Stage) -> None:
    site_with_v1.deploy("v2")
    told = words(preview_release(site_with_v1.site, "v3"))
    assert told["stage"] == "starts v3 in blue; v1, which runs there, ends"
    assert told["switch"] == "sends users from green (v2) to blue"
    assert told["promote"].startswith("keeps green (v2) warm")


def test_preview_tells_what_a_reload_will_change_for_users(site_with_v1: Stage) -> None:
    assert words(preview_release(site_with_v1.site, "v2"))["prepare"].endswith("if it changed")
    before, after = (f"http {{ client_max_body_size {size}; }}" for size in ("1m", "9m"))
    site_with_v1.memory.configuration = ConfigurationState(wanted=after, written=before, loaded=before)
    told = words(preview_release(site_with_v1.site, "v2"))["prepare"]
    assert "reloads the proxy's configuration: everywhere: request bodies may have 9m, before 1m" in told


def test_first_release_has_no_version_before(stage: Stage) -> None:
    preview = preview_release(stage.site, "v1")
    assert words(preview)["drain"] == "no old slot"
    assert (preview.problems, preview.seconds, preview.basis) == ((), None, "")


def test_durations_are_medians_of_promoted_deploys(site_with_v1: Stage) -> None:
    site_with_v1.deploy("v2")
    preview = preview_release(site_with_v1.site, "v3")
    bake = next(step.seconds for step in preview.steps if step.name == "bake")
    assert bake is not None
    assert bake >= site_with_v1.settings.release.bake
    assert preview.basis == "median of 2 deploys"


def test_hooks_have_their_place_among_the_steps(quick_folder: Path) -> None:
    hook = HookSettings(at=HookMoment.BEFORE_SWITCH, command=("warm",), name="warm the cache")
    steps = preview_release(Stage(quick_folder, hooks=(hook,)).site, "v1").steps
    assert ("before-switch", "runs warm the cache") in [(step.name, step.does) for step in steps]


def test_active_version_and_a_held_lock_are_problems(site_with_v1: Stage) -> None:
    site_with_v1.site.lock.acquire("another release")
    try:
        problems = preview_release(site_with_v1.opened(), "v1").problems
    finally:
        site_with_v1.site.lock.release()
    assert any("v1 is active already" in each for each in problems)
    assert any("locked by" in each for each in problems)


def test_version_that_is_no_name_is_refused(stage: Stage) -> None:
    with pytest.raises(UsageError):
        preview_release(stage.site, "../up")
