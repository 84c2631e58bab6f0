"""`cakravia history` and `cakravia logs`: whatever was written can be read, and no number shows more than was asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cakravia_verify.cli.history import history_lines
from cakravia_verify.history.journal import Journal
from cakravia_verify.history.releases import records

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site whose history holds a release for a reason that is no text, as earlier versions wrote it."""
    (tmp_path / "cakravia.toml").write_text('[site]\nname = "shop"\n')
    journal = Journal(tmp_path / ".cakravia" / "deployment-history.log")
    journal.append(
        "release.started",
        release="r-1",
        kind="rollback",
        version="v1.2.0",
        slot="green",
        reason="caf\udce9 \x1b[2Jcleared",
    )
    return tmp_path


def cakravia(site: Path, *arguments: str, encoding: str = "utf-8:strict") -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "cakravia_verify.cli", *arguments]
    return subprocess.run(command, cwd=site, env=environment, capture_output=True, check=False)


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict", "latin-1:strict"])
@pytest.mark.parametrize("command", [("history",), ("history", "--json"), ("rollback", "history")], ids=" ".join)
def test_history_of_what_is_no_text_here_is_told(command: tuple[str, ...], encoding: str, site: Path) -> None:
    done = cakravia(site, *command, encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert b"caf" in done.stdout
    assert done.stderr == b""


@pytest.mark.parametrize("command", [("history",), ("rollback", "history")], ids=" ".join)
def test_what_was_written_acts_on_nobodys_terminal(command: tuple[str, ...], site: Path) -> None:
    done = cakravia(site, *command)
    assert b"[2Jcleared" in done.stdout
    assert b"\x1b" not in done.stdout


@pytest.mark.parametrize(
    "command", [("history", "--last"), ("rollback", "history", "--last"), ("logs", "blue", "--lines")], ids=" ".join
)
@pytest.mark.parametrize("number", ["0", "-1"])
def test_fewer_than_one_is_a_usage_error(command: tuple[str, ...], number: str, site: Path) -> None:
    done = cakravia(site, *command, number)
    assert done.returncode == 2
    assert b"is not in the range x>=1" in done.stderr


@pytest.mark.parametrize("width", [40, 60, 80])
def test_history_breaks_no_word_on_a_narrow_terminal(width: int, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "history.log")
    why = "users got 2 error answers since the switch; candidate keeps within budget through the bake: missing"
    for number in range(3):
        release = f"r-{number}"
        journal.append("release.started", release=release, kind="deploy", version=f"v1.{number}.0", slot="green")
        journal.append("release.finished", release=release, outcome="rolled back", why=why, seconds=7.4)
    lines = list(history_lines(records(journal.entries()), width=width))
    assert max(map(len, lines)) <= width
    assert why in " ".join(" ".join(lines).split())
