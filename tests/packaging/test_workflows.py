"""The workflows of this repository, and the action that other repositories use, hold what a runner needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from cakravia_verify.setup.pipeline import pipeline_text
from tests.packaging.workflow_runner import Runner
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
    for step in steps(file):
        if step.get("shell") == "python":
            compile(step["run"], file.name, "exec")
        else:
            subprocess.run(["bash", "-n", "-c", step.get("run", "")], check=True)


@pytest.mark.parametrize(
    ("schema", "files"),
    [("github-workflows", WORKFLOWS), ("github-actions", [ACTION]), ("gitlab-ci", []), ("github-workflows", [])],
    ids=["workflows", "action", "gitlab", "forgejo"],
)
def test_every_file_has_the_published_schema(schema: str, files: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema")
    written = tmp_path / "pipeline.yml"
    written.write_text(pipeline_text("gitlab" if schema == "gitlab-ci" else "forgejo"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, *(files or [written])], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_this_repository_uses_the_workflow_that_init_writes() -> None:
    assert (ROOT / ".github" / "workflows" / "deploy.yml").read_text() == pipeline_text("github")


class Deployments(BaseHTTPRequestHandler):
    """The API of deployments: `states` has the last state of each, and gets those that are set."""

    states: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        number = self.path.split("/")[5:6]
        known = [{"id": int(each)} for each in self.states]
        self._answer([{"state": self.states[number[0]]}] if number else known)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.states[self.path.split("/")[5]] = body["state"]
        self._answer(body)

    def _answer(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.mark.parametrize(("result", "state"), [("success", "success"), ("failure", "failure"), ("cancelled", "error")])
def test_a_deployment_that_is_still_open_gets_the_state_of_its_release(result: str, state: str) -> None:
    job = read(ROOT / ".github" / "workflows" / "deploy.yml")["jobs"]["status"]
    assert (job["if"], job["needs"]) == ("always() && needs.release.result != 'skipped'", "release")
    Deployments.states = {"1": "in_progress", "2": "success", "3": "waiting"}
    with ThreadingHTTPServer(("127.0.0.1", 0), Deployments) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {
            "GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}",
            "GITHUB_SERVER_URL": "https://git.example.com",
            "GITHUB_REPOSITORY": "shop/shop",
            "GITHUB_RUN_ID": "7",
            "GITHUB_SHA": "0" * 40,
            "GITHUB_TOKEN": "token",
            "RESULT": result,
        }
        script = job["steps"][0]["run"]
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert Deployments.states == {"1": state, "2": "success", "3": state}


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
    }
    inputs = {"version": "v1.0.0", "reason": "", "wait": "5"}
    runner = Runner(tmp_path / "runner", shop.folder, {"inputs": inputs}, environment)
    try:
        assert runner.run({"steps": steps(ACTION)}) == "success", runner.output
        assert shop.serving() == "v1.0.0"
    finally:
        assert shop.tear_down() == []
