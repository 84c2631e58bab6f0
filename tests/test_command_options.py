"""Commands in texts have the options of the command line that printed them."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cakravia_verify.cli.main import main
from cakravia_verify.command_options import COMMAND, options_remembered, with_options
from cakravia_verify.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("start it: cakravia up", "start it: cakravia --site a.toml --set slots.blue=1 up"),
        (
            "release a first version: pytest suites/deploy --version v1.0.0",
            "release a first version: pytest suites/deploy --site a.toml --set slots.blue=1 --version v1.0.0",
        ),
        (
            "cakravia down, then cakravia up",
            "cakravia --site a.toml --set slots.blue=1 down, then cakravia --site a.toml --set slots.blue=1 up",
        ),
        ("Run `cakravia status`.", "Run `cakravia --site a.toml --set slots.blue=1 status`."),
        ("the container cakravia-app-blue; .cakravia up", "the container cakravia-app-blue; .cakravia up"),
        ("cakravia --site other.toml up", "cakravia --site other.toml up"),
    ],
)
def test_a_command_in_a_text_has_site_and_settings(text: str, expected: str) -> None:
    with options_remembered("a.toml", ["slots.blue=1"]):
        assert with_options(text) == expected
        assert with_options(with_options(text)) == expected
    assert with_options(text) == text


def test_a_remedy_works_when_pasted_whatever_the_names_are() -> None:
    with options_remembered("my site.toml", ['app.command=["a b"]']):
        error = UsageError("nothing runs", remedy="cakravia up")
    assert shlex.split(error.remedy) == ["cakravia", "--site", "my site.toml", "--set", 'app.command=["a b"]', "up"]


def test_the_usual_file_needs_no_option() -> None:
    with options_remembered("cakravia.toml", []):
        assert with_options("cakravia up") == "cakravia up"


def test_a_value_that_may_be_secret_is_in_no_text() -> None:
    with options_remembered("cakravia.toml", ["app.environment.KEY=open-sesame"]):
        assert "open-sesame" not in with_options("cakravia up")


def test_every_command_is_known() -> None:
    of_no_site = {"completion", "demo"}
    for name in set(main.list_commands(click.Context(main))) - of_no_site:
        assert COMMAND.search(f"type cakravia {name}"), name


def test_a_printed_remedy_names_the_site_it_was_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text('[site]\nname = "shop"\n')
    ended = CliRunner().invoke(main, ["--site", str(file), "--set", "slots.blue=3900", "down"])
    assert f"cakravia --site {file} --set slots.blue=3900 up" in ended.output
