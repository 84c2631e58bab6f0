"""The workflows of this repository, and the action that other repositories use, hold what a runner needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.plugin.sessions.shop import Shop

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"


def read(file: Path) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def jobs(file: Path) -> list[dict[str, Any]]:
    return list(read(file)["jobs"].values())


def steps(file: Path) -> list[dict[str, Any]]:
    if file == ACTION:
        return list(read(file)["runs"]["steps"])
    return [step for job in jobs(file) for step in job["steps"]]


def scripts(file: Path) -> Iterator[str]:
    yield from (step["run"] for step in steps(file) if "run" in step)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_has_the_least_rights_and_every_job_an_end(file: Path) -> None:
    assert read(file)["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 90 for job in jobs(file))


@pytest.mark.parametrize("file", [*WORKFLOWS, ACTION], ids=lambda file: file.name)
def test_every_step_is_a_script_or_an_action_with_a_version(file: Path) -> None:
    for step in steps(file):
        assert ("run" in step) != ("uses" in step)
        assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])


@pytest.mark.parametrize("file", [*WORKFLOWS, ACTION], ids=lambda file: file.name)
def test_no_script_has_text_of_a_user_pasted_into_it(file: Path) -> None:
    """A version named `$(rm -rf .)` is a value of the environment, and no command."""
    assert not [script for script in scripts(file) if "${{" in script]


@pytest.mark.parametrize("file", [*WORKFLOWS, ACTION], ids=lambda file: file.name)
def test_every_script_is_valid_for_its_shell(file: Path) -> None:
    for script in scripts(file):
        subprocess.run(["bash", "-n", "-c", script], check=True)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_target_and_program_of_a_workflow_exists(file: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for script in scripts(file):
        for target in re.findall(r"^make (\w+)", script, re.MULTILINE):
            assert re.search(rf"^[\w ]*\b{target}\b[\w ]*:", makefile, re.MULTILINE), target
        for program in re.findall(r"^\.[\w/]+", script, re.MULTILINE):
            assert os.access(ROOT / program, os.X_OK), program


def test_the_report_is_kept_also_when_the_release_failed() -> None:
    (kept,) = (step for step in steps(ACTION) if "uses" in step)
    assert kept["if"] == "always()"
    assert kept["with"]["path"] == "reports/latest/"


@pytest.mark.slow
def test_the_scripts_of_the_action_release_and_gate(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    program = tmp_path / "bin" / "cakravia"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m cakravia_verify.cli "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(map(str, shop.python_path)),
        "VERSION": "v1.0.0",
        "REASON": "",
        "WAIT": "5",
    }
    try:
        for script in scripts(ACTION):
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
                cwd=shop.folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        assert shop.serving() == "v1.0.0"
    finally:
        assert shop.tear_down() == []
