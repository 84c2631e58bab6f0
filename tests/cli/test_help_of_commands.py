"""The help of every command has an example that the command itself understands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress

import click
import pytest

from cakravia_verify.cli.main import main

CONTEXT = click.Context(main, info_name="cakravia")
# The shell ends the command there.
ENDS = ("|", ">", "#", "&&")


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not command.hidden:
        yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(CONTEXT):
            below = command.get_command(CONTEXT, name)
            assert below is not None
            yield from commands(below, (*path, name))


ALL = dict(commands(main))


def examples(command: click.Command) -> list[list[str]]:
    """Return the words of every example in the help, without `cakravia`."""
    found = []
    for line in (command.help or "").splitlines():
        _, mark, words = line.partition("cakravia ")
        # Examples are set in by two more than the text, and nothing but a pipe or sudo stands before them.
        if mark and line.startswith("  ") and not line.rstrip().endswith((".", ",", ":")):
            # The completion's own lines end within quotes of the shell.
            with suppress(ValueError):
                given = shlex.split(words, comments=True)
                end = next((place for place, word in enumerate(given) if word in ENDS), len(given))
                found.append(given[:end])
    return found


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_shows_an_example_of_the_command(path: tuple[str, ...]) -> None:
    assert any(tuple(words[: len(path)]) == path for words in examples(ALL[path])), ALL[path].help


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_fits_a_terminal_of_100_columns(path: tuple[str, ...]) -> None:
    context = click.Context(ALL[path], info_name=" ".join(("cakravia", *path)), terminal_width=80)
    lines = ALL[path].get_help(context).splitlines()
    assert [line for line in lines if len(line) > 120] == []
