"""The commands that run a suite, as far as they go without a site; and the completion of a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cakravia_verify.cli.sessions import folders_of
from cakravia_verify.kinds import SUITES


def cakravia(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [str(Path(sys.executable).with_name("cakravia")), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("deploy",), "cakravia deploy v1.2.0"),
        (("deploy", "--bake", "3", "v1"), "--bake stands before the version"),
        (("deploy", "v1", "--site", "nowhere.toml"), "there is no nowhere.toml"),
        (("--site", "nowhere.toml", "rollback"), "there is no nowhere.toml"),
        (("rollback", "--version", "../up"), "there is no cakravia.toml"),
        (("load", "--duration", "0"), "--duration 0: give seconds"),
        (("deploy", "v1", "--nonsense"), "cakravia deploy: error: unrecognized arguments: --nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_use_ends_with_status_4_and_a_sentence(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    status, output = cakravia(tmp_path, *arguments)
    assert (status, words in output) == (4, True), output
    assert "Traceback" not in output
    assert list(tmp_path.iterdir()) == []


def test_mistyped_subcommand_of_rollback_rolls_nothing_back(tmp_path: Path) -> None:
    status, output = cakravia(tmp_path, "rollback", "staus")
    assert (status, "No such command 'staus'" in output) == (2, True), output


def test_module_of_the_project_does_not_replace_one_of_python(tmp_path: Path) -> None:
    for name in ("secrets", "statistics", "queue", "pytest"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the project')\n")
    status, output = cakravia(tmp_path, "deploy", "v1")
    assert (status, "there is no cakravia.toml" in output) == (4, True), output


def test_own_checks_come_beside_our_suite_and_a_copy_replaces_it(tmp_path: Path) -> None:
    site, own = tmp_path / "cakravia.toml", tmp_path / "suites" / "deploy"
    assert folders_of("deploy", site=site) == [SUITES / "deploy"]
    own.mkdir(parents=True)
    assert folders_of("deploy", site=site) == [SUITES / "deploy", own]
    shutil.copy(SUITES / "deploy" / "test_deploy.py", own)
    assert folders_of("deploy", site=site) == [own]


@pytest.mark.parametrize(
    ("words", "completed"),
    [("cakravia wat", "watch"), ("cakravia logs gr", "green"), ("cakravia deploy", "deploy"), ("cakravia logs w", "")],
)
def test_shell_completes_commands_and_parts(words: str, completed: str, tmp_path: Path) -> None:
    asked = {"_CAKRAVIA_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    command = [str(Path(sys.executable).with_name("cakravia"))]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | asked, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ([f"plain,{completed}"] if completed else [])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_the_command(shell: str, tmp_path: Path) -> None:
    status, output = cakravia(tmp_path, "completion", shell)
    assert status == 0
    assert "_CAKRAVIA_COMPLETE" in output
