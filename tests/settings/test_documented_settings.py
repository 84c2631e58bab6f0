"""cakravia.toml and cakravia.docker.toml are the reference of every setting there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.settings.companions import CompanionSettings
from cakravia_verify.settings.hooks import FACTS, HookMoment, HookSettings, variable_of
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.section import Section

ROOT = Path(__file__).parents[2]
FILES = ("cakravia.toml", "cakravia.docker.toml")
# The reference application has its own answer to these; the comment beside each tells the default.
OWN_ANSWERS = {
    ("app", "command"),
    ("app", "directory"),
    ("app", "source"),
    ("release", "smoke"),
    ("traffic", "profile"),
}


def keys() -> list[tuple[str, str, Any]]:
    found = []
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, Section):
            found += [
                (section, key, each.get_default(call_default_factory=True)) for key, each in model.model_fields.items()
            ]
    return found


@pytest.mark.parametrize(("section", "key"), [(section, key) for section, key, _ in keys()])
def test_every_setting_is_in_a_reference_file_with_a_comment(section: str, key: str) -> None:
    texts = [(ROOT / name).read_text() for name in FILES]
    spelled = re.compile(rf"^(# ?)?{key}\s*=|\[\[{section}\.{key}\]\]|^\[{section}\.{key}\]", re.MULTILINE)
    assert any(spelled.search(text) for text in texts), f"[{section}] {key} is documented nowhere"


def test_the_reference_file_shows_the_defaults() -> None:
    table = tomllib.loads((ROOT / "cakravia.toml").read_text())
    for section, key, default in keys():
        if key in table.get(section, {}) and (section, key) not in OWN_ANSWERS:
            shown = table[section][key]
            if isinstance(default, Section):
                default = default.model_dump(mode="json")
            assert shown == (list(default) if isinstance(default, tuple) else default), f"[{section}] {key}"


@pytest.mark.parametrize("name", FILES)
def test_the_reference_files_load(name: str) -> None:
    assert load_settings(ROOT / name, environment={}).site.name


@pytest.mark.parametrize("key", list(HookSettings.model_fields))
def test_every_key_of_a_hook_stands_in_the_reference_file_with_its_default(key: str) -> None:
    table = (ROOT / "cakravia.toml").read_text().partition("# [[hooks]]\n")[2]
    shown = re.search(rf"^# {key} = (.*?)(?:  +#.*)?$", table, re.MULTILINE)
    assert shown, f"[[hooks]] {key} is documented nowhere"
    field = HookSettings.model_fields[key]
    if not field.is_required():
        default = field.get_default(call_default_factory=True)
        assert tomllib.loads(f"value = {shown[1]}")["value"] == default


@pytest.mark.parametrize("key", list(CompanionSettings.model_fields))
def test_every_key_of_a_companion_stands_in_the_reference_file_with_its_default(key: str) -> None:
    table = (ROOT / "cakravia.toml").read_text().partition("# [[companions]]\n")[2]
    shown = re.search(rf"^# {key} = (.*?)(?:  +#.*)?$", table, re.MULTILINE)
    assert shown, f"[[companions]] {key} is documented nowhere"
    field = CompanionSettings.model_fields[key]
    if not field.is_required() and key != "command":  # a companion has a command or a service
        default = field.get_default(call_default_factory=True)
        assert tomllib.loads(f"value = {shown[1]}")["value"] == default


def test_every_moment_and_every_fact_of_a_hook_is_in_the_docs() -> None:
    page = (ROOT / "docs" / "HOOKS.md").read_text()
    assert set(re.findall(r"^\| `([a-z]+-[a-z]+)` \|", page, re.MULTILINE)) == set(HookMoment)
    assert dict(re.findall(r"^\| `(CAKRAVIA_\w+)` \| `(\w+)` \|", page, re.MULTILINE)) == {
        variable_of(fact): fact for fact in FACTS
    }
