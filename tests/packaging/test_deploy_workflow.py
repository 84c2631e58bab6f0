"""The workflow that `cakravia init --ci github` writes: its steps run on a loopback sshd and a real site."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cakravia_verify.setup.pipeline import pipeline_text
from cakravia_verify.system.clock import Deadline, poll
from cakravia_verify.testing.throwaway_site import ThrowawaySite
from tests.packaging.conftest import MORE, PROJECT, ROOT, run
from tests.packaging.workflow_runner import Runner
from tests.ssh_server import SshServer, ssh_server

WORKFLOW: dict[Any, Any] = yaml.safe_load(pipeline_text("github"))
REASON = """it's "quoted"; $(touch pwned) `touch pwned` \\ and more
a second line"""

CHANNEL = """
[[notify.channels]]
name = "file"
kind = "command"
command = ["sh", "-c", "(cat && echo) >> {file}"]
least = "info"
[policy]
file = "policies.toml"
"""
POLICY = """
[production]
required = ["{check}"]
[production.budget]
min_requests = 100
"""
OWN_CHECK = """
import httpx

def test_shop_is_open(candidate):
    assert httpx.get(f"{candidate.url}/").status_code == 200
"""


class Server:
    """The machine of the site, reached by ssh alone, and a repository whose commits are released to it."""

    def __init__(self, folder: Path, ssh: SshServer) -> None:
        self.folder = folder
        self.ssh = ssh
        self.site = ThrowawaySite(folder / "srv", "")
        self.site.settings.unlink()
        run("git", "init", "--quiet", str(self.site.folder))
        self.repository = folder / "repository"
        run("git", "init", "--quiet", "--initial-branch=main", str(self.repository))
        shutil.copy(PROJECT / "shop.py", self.repository)
        ports = {"$users": self.site.users, "$blue": self.site.blue, "$green": self.site.green}
        self.messages = folder / "messages"
        settings = (PROJECT / "cakravia.toml").read_text() + MORE + CHANNEL.format(file=self.messages)
        for name, port in ports.items():
            settings = settings.replace(name, str(port))
        (self.repository / "cakravia.toml").write_text(settings.replace("bake = 5.0", "bake = 1.0"))
        self.require("test_shop_is_open")
        own = self.repository / "suites" / "deploy" / "test_own.py"
        own.parent.mkdir(parents=True)
        own.write_text(OWN_CHECK)
        (self.repository / ".gitignore").write_text("reports/\n.cakravia/\n")
        self.jobs = 0

    def require(self, check: str) -> None:
        (self.repository / "policies.toml").write_text(POLICY.format(check=check))

    def commit(self, text: str, *, tag: str = "") -> str:
        with (self.repository / "shop.py").open("a") as program:
            program.write(f"# {text}\n")
        run("git", "add", ".", folder=self.repository)
        author = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        run("git", *author, "commit", "--quiet", "-m", text, folder=self.repository)
        if tag:
            run("git", "tag", tag, folder=self.repository)
        return run("git", "rev-parse", "HEAD", folder=self.repository).strip()

    def runner(self, *, known_hosts: str = "", **inputs: str) -> Runner:
        """Return a fresh runner with a checkout of the newest commit."""
        self.jobs += 1
        folder = self.folder / f"runner-{self.jobs}"
        workspace = folder / "workspace"
        run("git", "clone", "--quiet", str(self.repository), str(workspace))
        commit = run("git", "rev-parse", "HEAD", folder=workspace).strip()
        settings = {
            "SITE": f"ssh://{getpass.getuser()}@127.0.0.1:{self.ssh.port}",
            "SITE_FOLDER": str(self.site.folder),
            "SITE_KNOWN_HOSTS": known_hosts or self.ssh.known_hosts,
        }
        variables = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": "https://git.example.com",
            "GITHUB_REPOSITORY": "shop/shop",
            "GITHUB_RUN_ID": str(self.jobs),
            "RUNNER_NAME": f"runner {self.jobs}",
        }
        contexts: dict[str, dict[str, Any]] = {
            "vars": settings,
            "secrets": {"SITE_SSH_KEY": self.ssh.user.read_text()},
            "inputs": inputs,
            "github": {"ref_name": "main", "sha": commit, "event": {"head_commit": {"message": REASON}}},
        }
        return Runner(folder, workspace, contexts, variables)

    def release(self, **options: Any) -> tuple[str, Runner]:
        cancel = options.pop("cancel", None)
        runner = self.runner(**options)
        return runner.run(WORKFLOW["jobs"]["release"], cancel=cancel), runner

    def told(self, version: str) -> list[str]:
        """Return the topics of the messages about a version."""
        lines = self.messages.read_text().splitlines() if self.messages.exists() else []
        found = [json.loads(line) for line in lines if line]
        assert not [each for each in found if "https://git.example.com/shop/shop/actions/runs/" not in each["text"]]
        return [each["topic"] for each in found if version in each["title"]]

    def await_told(self, version: str, *topics: str) -> None:
        poll(lambda: self.told(version) == list(topics), deadline=Deadline(f"messages about {version}", 30.0))

    def serving(self) -> str:
        return str(json.loads(self.site.cakravia("status", "--json").output)["version"])

    def is_free(self) -> bool:
        return json.loads(self.site.cakravia("status", "--json").output)["lock"] is None

    def is_baking(self) -> bool:
        return any(entry.get("step") == "bake" for entry in self.site.history()[self.before :])

    before = 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("deploy")
    program = folder / "home" / ".local" / "bin" / "cakravia"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m cakravia_verify.cli "$@"\n')
    program.chmod(0o755)
    environment = {"HOME": str(folder / "home"), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    with ssh_server(folder / "ssh", environment=environment) as ssh:
        server = Server(folder, ssh)
        yield server
        assert server.site.tear_down() == []


@pytest.fixture(scope="module")
def first(server: Server) -> tuple[str, str, Runner]:
    """The first push: its commit, the result of its job, and the runner."""
    commit = server.commit("first")
    return commit, *server.release()


def test_a_push_is_built_once_released_and_gated_on_its_digest(server: Server, first: tuple[str, str, Runner]) -> None:
    commit, result, runner = first
    assert result == "success", runner.output
    version = f"main-{commit[:12]}"
    assert server.serving() == version
    verdict = json.loads((runner.workspace / "report" / "verdict.json").read_text())
    assert (verdict["decision"], verdict["version"], verdict["evidence"]["measured"]["lost"]) == ("PROMOTE", version, 0)
    assert verdict["digest"] == runner.variables["DIGEST"]
    assert "test_shop_is_open" in verdict["evidence"]["required"]
    told = "\n".join(verdict["findings"])
    assert "held to the policy production of policies.toml (sha256:" in told
    assert "[budget] min_requests = 50, the policy says 100" in told
    assert verdict["reason"] == REASON.splitlines()[0]
    assert (version in runner.summary, "PROMOTE" in runner.summary) == (True, True), runner.summary
    assert "\r" not in runner.output
    assert not (runner.folder / "temp" / "site").exists()
    assert not list(server.folder.rglob("pwned"))
    server.await_told(version, "release-begun", "release-verdict")


def test_a_host_key_that_is_not_pinned_is_not_talked_to(server: Server) -> None:
    runner = server.runner(
        known_hosts=f"[127.0.0.1]:{server.ssh.port} {server.ssh.user.with_suffix('.pub').read_text()}"
    )
    job = WORKFLOW["jobs"]["release"]
    steps = [step for step in job["steps"] if step.get("name") == "Connect"]
    assert runner.run(dict(job, steps=steps)) == "failure"
    assert "Host key verification failed" in runner.output


@pytest.mark.parametrize("name", ["v1; reboot", "v1\nPATH=/tmp", "--upload-pack=x", "../v1"])
def test_a_name_that_is_no_version_ends_the_job_before_the_site_is_reached(server: Server, name: str) -> None:
    runner = server.runner(deployment_version=name)
    job = WORKFLOW["jobs"]["release"]
    assert runner.run(dict(job, steps=job["steps"][:2])) == "failure"
    assert runner.results == {"Choose the version": 4}


@pytest.mark.slow
@pytest.mark.usefixtures("first")
def test_a_cancelled_job_leaves_users_served_a_verdict_and_a_free_lock(server: Server) -> None:
    active = server.serving()
    server.commit("second", tag="v2.0.0")
    server.before = len(server.site.history())
    result, runner = server.release(deployment_version="v2.0.0", cancel=("Release", server.is_baking))
    assert result == "cancelled"
    assert server.serving() == active
    assert server.is_free()
    verdict = json.loads((runner.workspace / "report" / "verdict.json").read_text())
    assert (verdict["version"], verdict["outcome"], verdict["exit_status"]) == ("v2.0.0", "rolled back", 2)
    assert "v2.0.0" in runner.summary
    page = (runner.workspace / "report" / "report.html").read_text()
    assert f'/report.html">{active}</a>' in page
    server.await_told("v2.0.0", "release-begun", "release-rolled-back")
    holder = next(entry for entry in server.site.history()[server.before :] if entry["event"] == "release.started")
    assert holder["release"] == verdict["release"]


@pytest.mark.slow
@pytest.mark.usefixtures("first")
def test_a_job_whose_release_was_killed_recovers_the_site(server: Server) -> None:
    active = server.serving()
    server.commit("third", tag="v3.0.0")
    server.before = len(server.site.history())

    def is_killed() -> bool:
        if not server.is_baking():
            return False
        os.kill(json.loads((server.site.state / "lock").read_text())["pid"], signal.SIGKILL)
        return True

    result, _ = server.release(deployment_version="v3.0.0", cancel=("Release", is_killed))
    assert result == "cancelled"
    assert (server.serving(), server.is_free()) == (active, True)
    assert [entry["outcome"] for entry in server.site.history() if entry["event"] == "release.finished"][
        -1
    ] == "rolled back"


@pytest.mark.slow
@pytest.mark.usefixtures("first")
def test_a_rollback_by_hand_is_one_job_with_its_reason(server: Server) -> None:
    before = server.serving()
    server.commit("fourth", tag="v4.0.0")
    result, runner = server.release(deployment_version="v4.0.0")
    assert (result, server.serving()) == ("success", "v4.0.0"), runner.output
    result, runner = server.release(action="rollback", reason="checkout is slow")
    assert (result, server.serving()) == ("success", before), runner.output
    assert server.site.verdict()["reason"] == "checkout is slow"
    assert "Build once" not in runner.results


@pytest.mark.slow
def test_the_scripts_of_the_gitlab_pipeline_release_too(server: Server) -> None:
    server.commit("fifth", tag="v5.0.0")
    runner = server.runner()
    job = yaml.safe_load(pipeline_text("gitlab"))["release"]
    variables = runner.variables | {
        **{name: str(value) for name, value in runner.contexts["vars"].items()},
        "SITE_SSH_KEY": server.ssh.user.read_text(),
        "TOOLS": str(runner.folder / "tools"),
        "ACTION": "deploy",
        "WANTED": "v5.0.0",
        "BRANCH": "main",
        "COMMIT": "0" * 40,
        "CI_COMMIT_TITLE": "fifth",
        "CI_JOB_URL": "https://git.example.com/-/jobs/1",
    }
    for name in ("script", "after_script"):
        script = "\n".join(job[name])
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],
            cwd=runner.workspace,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert server.serving() == "v5.0.0"
    assert (runner.workspace / "report" / "junit.xml").is_file()
    assert not (runner.folder / "tools").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("first")
def test_a_release_without_a_test_that_the_policy_requires_is_inconclusive(server: Server) -> None:
    before = server.serving()
    server.require("test_that_is_not_there")
    server.commit("sixth", tag="v6.0.0")
    result, _ = server.release(deployment_version="v6.0.0")
    assert (result, server.serving()) == ("failure", before)
    verdict = server.site.verdict()
    assert (verdict["version"], verdict["decision"]) == ("v6.0.0", "INCONCLUSIVE")
    assert verdict["evidence"]["required"]["test_that_is_not_there"] != "passed"
    server.require("test_shop_is_open")
