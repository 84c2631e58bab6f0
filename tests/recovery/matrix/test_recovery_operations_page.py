"""docs/OPERATIONS.md says what the code does: its tables are compared with the enums and lists that decide."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from cakravia_verify.cli.main import main
from cakravia_verify.gate.model import Exit
from cakravia_verify.history import releases
from cakravia_verify.plugin.signals import INTERRUPTING

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
STATUSES = {int(row[0]): row for row in ROWS if row[0].isdigit()}
OUTCOMES = {
    Exit.PROMOTED: releases.PROMOTED,
    Exit.ROLLED_BACK: releases.ROLLED_BACK,
    Exit.INTERRUPTED: releases.ROLLED_BACK,
    Exit.INCONCLUSIVE: releases.ROLLED_BACK,
    Exit.NEEDS_A_PERSON: releases.STUCK,
    Exit.UNPROVEN: releases.UNPROVEN,
}


def test_every_exit_status_has_its_row_and_no_other() -> None:
    assert set(STATUSES) == {int(status) for status in Exit}


@pytest.mark.parametrize("status", list(Exit), ids=lambda status: status.name)
def test_row_of_an_exit_status_says_what_the_history_says(status: Exit) -> None:
    says = STATUSES[status][3]
    assert says == (f"`{OUTCOMES[status]}`" if status in OUTCOMES else "nothing new")


def test_every_signal_that_is_caught_is_named_and_no_other() -> None:
    row = next(row for row in ROWS if "SIGINT" in row[0])
    assert set(re.findall(r"SIG[A-Z]+", row[0])) == {number.name for number in INTERRUPTING}
    assert f"exit {int(Exit.INTERRUPTED)}" in row[2]


def test_every_exit_status_named_elsewhere_exists() -> None:
    named = {int(number) for number in re.findall(r"exit (?:status )?(?:of )?(\d+)", PAGE)}
    assert named <= {int(status) for status in Exit}


def test_every_command_named_exists() -> None:
    named = set(re.findall(r"cakravia ((?:rollback )?[a-z]+)", PAGE))
    assert named
    for words in named:
        command: click.Command | None = main
        for word in words.split():
            assert isinstance(command, click.Group), words
            command = command.get_command(click.Context(command), word)
        assert command is not None, f"cakravia {words} is no command"


def test_every_entry_of_the_history_that_is_named_is_written() -> None:
    named = set(re.findall(r"`((?:release|step|undo)\.[a-z]+)`", PAGE))
    assert {"release.verdict", "release.finished", "undo.intent"} <= named
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "cakravia_verify").rglob("*.py"))
    assert [name for name in sorted(named) if f'"{name}"' not in code] == []
