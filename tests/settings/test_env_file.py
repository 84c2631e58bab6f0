"""`[app] env_file`: the usual quoting rules, and every error by file and line, without a value."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cakravia_verify.errors import SettingsError
from cakravia_verify.settings.docker import DockerSettings
from cakravia_verify.settings.env_file import read_env_file
from cakravia_verify.settings.models import Settings

SHELL = {"HOME": "/home/shop", "TOKEN": "of the shell"}


def read(text: str, *, folder: Path) -> dict[str, str]:
    path = folder / ".env"
    path.write_bytes(text.encode())
    return read_env_file(path, shell=SHELL)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("NAME=plain", "plain"),
        ("NAME=", ""),
        ("NAME = spaced out  ", "spaced out"),
        ("export NAME=exported", "exported"),
        ("NAME=a value # and a comment", "a value"),
        ("NAME=a#b", "a#b"),
        ("NAME=postgres://u:p=w@db/x?a=1&b=2", "postgres://u:p=w@db/x?a=1&b=2"),
        ("NAME=pa$$word$1", "pa$$word$1"),
        ('NAME="with \\"quotes\\" and # no comment" # a comment', 'with "quotes" and # no comment'),
        ('NAME="two\\nlines"', "two\nlines"),
        ('NAME="really two\nlines"', "really two\nlines"),
        ("NAME='exactly ${HOME} \\n'", "exactly ${HOME} \\n"),
        ("NAME=${HOME}/data", "/home/shop/data"),
        ('NAME="${HOME}/data"', "/home/shop/data"),
        ("A=1\nNAME=${A}2", "12"),
        ("NAME=${ABSENT:-else}", "else"),
        ("TOKEN\nNAME=${TOKEN}", "of the shell"),
        ("NAME=windows\r\nB=2\r\n", "windows"),
        ("\ufeffNAME=after a mark", "after a mark"),
        ("NAME=first\nNAME=last", "last"),
        ("NAME=Grüße", "Grüße"),
    ],
)
def test_a_line_of_the_file_has_the_value_that_its_quotes_say(tmp_path: Path, line: str, value: str) -> None:
    assert read(line, folder=tmp_path)["NAME"] == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('A=1\n\nSECRET="no end', "line 3 is not a variable"),
        ("A=1\n'SECRET' 'x'\n", "line 2 is not a variable"),
        ("A=1\nB=2\nSECRET\n", "line 3 needs SECRET"),
        ("SECRET=${ABSENT}x", "line 1 needs ABSENT"),
        ("SECRET=a\0b", "line 1 is not a variable"),
    ],
)
def test_an_error_names_the_line_and_no_value(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        read(text, folder=tmp_path)
    assert "no end" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\.env cannot be read: No such file"):
        read_env_file(tmp_path / ".env", shell={})


def test_an_env_file_on_docker_is_refused_instead_of_ignored() -> None:
    docker = {"site": {"platform": "docker"}, "docker": DockerSettings(image="shop:1"), "app": {"env_file": ".env"}}
    with pytest.raises(ValueError, match=r"\[app\] env_file needs"):
        Settings.model_validate(docker)


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)
VALUES = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=20)


def single_quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def double_quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_every_value_between_single_quotes_comes_back_unchanged(variables: dict[str, str]) -> None:
    text = "".join(f"{name}={single_quoted(value)}\n" for name, value in variables.items())
    with tempfile.TemporaryDirectory() as folder:
        assert read(text, folder=Path(folder)) == variables


@given(st.dictionaries(NAMES, VALUES.filter(lambda value: "${" not in value), max_size=6))
def test_every_value_between_double_quotes_comes_back_unchanged(variables: dict[str, str]) -> None:
    text = "".join(f"{name}={double_quoted(value)}\n" for name, value in variables.items())
    with tempfile.TemporaryDirectory() as folder:
        assert read(text, folder=Path(folder)) == variables
