"""A copy of a site never has a folder or a port of the live site."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.settings.models import Settings
from cakravia_verify.testing.site_copy import CopiedVersion, SiteCopy, require_apart

LIVE = """
[site]
name = "shop"
[app]
command = ["{python}", "shop.py"]
environment = { DATABASE_URL = "postgres://live", COLOUR = "red" }
[slots]
blue = 3100
green = 3101
[proxy]
listen = "127.0.0.1:8100"
[failover]
environment = { DATABASE_URL = "postgres://copy" }
[[hooks]]
at = "before-switch"
command = ["migrate-the-live-database"]
[[companions]]
name = "worker"
command = ["work"]
"""
# What could lead a copy to the live site: each is tried on the command line and in the environment.
TO_THE_LIVE_SITE: tuple[tuple[str, str], ...] = (
    ("slots.blue", "3100"),
    ("slots.green", "3101"),
    ("proxy.listen", "127.0.0.1:8100"),
    ("proxy.detour.blue", "3100"),
    ("site.state", ".cakravia"),
    ("site.reports", "reports"),
    ("app.source", "."),
    ("app.build", '["make", "deploy"]'),
)


@pytest.fixture
def live(tmp_path: Path) -> Settings:
    file = tmp_path / "live" / "cakravia.toml"
    file.parent.mkdir()
    file.write_text(LIVE)
    return load_settings(file, environment={})


def copy_of(live: Settings, tmp_path: Path, *, pairs: Sequence[tuple[str, Any]] = ()) -> SiteCopy:
    version = CopiedVersion("v1", tmp_path / "kept" / "app", ["{python}", "shop.py"])
    return SiteCopy(live, version, folder=tmp_path / "copy", pairs=pairs)


def shares_nothing(live: Settings, copy: Settings, folder: Path) -> None:
    require_apart(live, copy)
    assert copy.state.is_relative_to(folder)
    assert copy.reports.is_relative_to(folder)
    assert (copy.hooks, copy.companions, copy.app.build) == ((), (), ())
    assert not {3100, 3101, 8100} & {copy.slots.blue, copy.slots.green, copy.proxy.address.port}


def test_a_copy_has_ports_and_folders_of_its_own_and_no_hooks(live: Settings, tmp_path: Path) -> None:
    copy = copy_of(live, tmp_path)
    shares_nothing(live, copy.settings, tmp_path / "copy")
    shares_nothing(live, copy.detoured, tmp_path / "copy")
    assert copy.settings.site.name == "shop"
    assert copy.settings.app.source == str(tmp_path / "kept" / "app")


@pytest.mark.parametrize(("key", "value"), TO_THE_LIVE_SITE)
def test_no_option_of_the_command_line_leads_a_copy_to_the_live_site(
    live: Settings, tmp_path: Path, key: str, value: str
) -> None:
    shares_nothing(live, copy_of(live, tmp_path, pairs=[(key, value)]).settings, tmp_path / "copy")


@pytest.mark.parametrize(("key", "value"), [each for each in TO_THE_LIVE_SITE if each[0].count(".") == 1])
def test_no_variable_leads_a_copy_to_the_live_site(
    live: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    monkeypatch.setenv(f"CAKRAVIA_{key.replace('.', '_').upper()}", value)
    shares_nothing(live, copy_of(live, tmp_path).settings, tmp_path / "copy")


def test_settings_of_the_site_and_of_the_command_line_reach_the_copy(live: Settings, tmp_path: Path) -> None:
    copy = copy_of(live, tmp_path, pairs=[("health.timeout", "7"), ("proxy.skew.header", "x-id")])
    assert (copy.settings.health.timeout, copy.settings.proxy.skew.header) == (7.0, "x-id")


def test_the_application_of_a_copy_gets_the_variables_for_copies(live: Settings, tmp_path: Path) -> None:
    environment = copy_of(live, tmp_path).settings.app.environment
    assert environment["DATABASE_URL"] == "postgres://copy"
    assert environment["COLOUR"] == "red"
    assert environment["DATA_DIR"] == str(tmp_path / "copy" / "data")


@pytest.mark.parametrize("text", ['a "quoted" word', "back\\slash", "new\nline", "é", "", "$HOME", "{python}"])
def test_a_variable_with_any_text_reaches_the_copy_unchanged(live: Settings, tmp_path: Path, text: str) -> None:
    app = live.app.model_copy(update={"environment": {"TEXT": text}})
    copy = copy_of(live.model_copy(update={"app": app}), tmp_path)
    assert copy.settings.app.environment["TEXT"] == text


@pytest.mark.parametrize("shared", ["state", "reports", "port", "hooks"])
def test_a_copy_that_shares_something_with_the_live_site_is_refused(
    live: Settings, tmp_path: Path, shared: str
) -> None:
    own = copy_of(live, tmp_path).settings
    changes: dict[str, Any] = {
        "state": {"site": own.site.model_copy(update={"state": str(live.state / "inner")})},
        "reports": {"site": own.site.model_copy(update={"reports": str(live.reports)})},
        "port": {"slots": own.slots.model_copy(update={"green": live.slots.blue})},
        "hooks": {"hooks": live.hooks},
    }
    with pytest.raises(UsageError, match="share"):
        require_apart(live, own.model_copy(update=changes[shared]))
