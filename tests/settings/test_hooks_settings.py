"""A [[hooks]] table that cannot work is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.errors import SettingsError
from cakravia_verify.settings.hooks import HookKind, HookMoment, HookPlace
from cakravia_verify.settings.loading import load_settings


def loaded(tmp_path: Path, text: str, **environment: str):  # type: ignore[no-untyped-def]
    file = tmp_path / "cakravia.toml"
    file.write_text(text)
    return load_settings(file, environment=environment)


def test_a_hook_is_read_with_its_defaults(tmp_path: Path) -> None:
    (hook,) = loaded(tmp_path, '[[hooks]]\nat = "before-stage"\ncommand = ["a", "b c"]\n').hooks
    assert (hook.at, hook.kind, hook.where) == (HookMoment.BEFORE_STAGE, HookKind.COMMAND, HookPlace.CANDIDATE)
    assert (hook.timeout, hook.title) == (300.0, "a b c")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('at = "before-lunch"\ncommand = ["x"]', "line 2: hooks.0.at: 'before-lunch' is not one of before-stage"),
        ('at = "before-stage"\ncommand = []', "line 3: hooks.0.command"),
        ('at = "before-stage"\ncommand = "migrate"', "line 3: hooks.0.command"),
        ('at = "before-stage"', "hooks.0.command"),
        ('at = "before-stage"\ncommand = ["x"]\ntimeout = 0', "line 4: hooks.0.timeout"),
        ('at = "after-switch"\ncommand = ["x"]\nkind = "migration"', 'kind = "migration" needs at = "before-stage"'),
        ('at = "before-stage"\ncommand = ["x"]\nwhere = "here"', "'here' is not one of candidate, machine"),
        ('at = "before-stage"\ncommand = ["x"]\nwhen = "now"', "unknown key 'hooks.0.when'"),
    ],
)
def test_a_hook_that_cannot_work_is_refused(tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, f"[[hooks]]\n{text}\n")
    assert wanted in str(refused.value)


def test_facts_of_a_hook_are_no_settings_inside_of_it(tmp_path: Path) -> None:
    facts = {"CAKRAVIA_RELEASE": "20260101-v1", "CAKRAVIA_SITE": "shop", "CAKRAVIA_SLOT": "blue"}
    assert loaded(tmp_path, "", CAKRAVIA_HOOK="migrate", CAKRAVIA_RELEASE_BAKE="5", **facts).release.bake == 5
    with pytest.raises(SettingsError, match="CAKRAVIA_RELEASE"):
        loaded(tmp_path, "", **facts)
