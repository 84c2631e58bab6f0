"""`cakravia init` as a command: what it writes, what it refuses, and that it never overwrites."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from cakravia_verify.cli.main import main
from cakravia_verify.kinds import SUITES
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.setup.machine import machine_facts
from tests.setup.test_looking import SAMPLES

# Starts no part, but reads compose files with the docker program where that is.
pytestmark = pytest.mark.check

Init = Callable[..., tuple[int, str]]
TWO_SERVICES = "services:\n  shop: {build: ., ports: ['8000:8000']}\n  blog: {build: ., ports: ['9000:9000']}\n"
COMPOSE = "docker-compose.yml"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working directory. No Docker engine answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    return tmp_path


@pytest.fixture
def init(project: Path) -> Init:
    def run(*arguments: str, site: tuple[str, ...] = ()) -> tuple[int, str]:
        ended = CliRunner().invoke(main, [*site, "init", *arguments])
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.output
        return ended.exit_code, ended.output

    return run


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_init_writes_valid_settings_suites_and_ignore_rules(project: Path, init: Init) -> None:
    shutil.copytree(SAMPLES / "fastapi", project, dirs_exist_ok=True)
    (project / ".gitignore").write_text("*.pyc\nreports")
    status, output = init("--yes")
    assert status == 0, output
    assert "cakravia deploy v1.0.0" in output
    assert load_settings(project / "cakravia.toml", environment={}).contract.health == "/healthz"
    assert (project / ".gitignore").read_text() == "*.pyc\nreports\n# Cakravia Verify\n.cakravia/\n"
    for name in ("conftest.py", "pytest.ini", "deploy/test_deploy.py", "rollback/test_rollback.py"):
        assert (project / "suites" / name).read_text() == (SUITES / name).read_text()


def test_second_init_writes_nothing_and_a_changed_file_is_kept(project: Path, init: Init) -> None:
    shutil.copytree(SAMPLES / "express", project, dirs_exist_ok=True)
    assert init("--yes")[0] == 0
    assert "nothing was written" in init("--yes")[1]
    settings = project / "cakravia.toml"
    changed = settings.read_text() + "[release]\nbake = 3.0\n"
    settings.write_text(changed)
    status, output = init("--yes")
    assert (status, settings.read_text()) == (4, changed)
    assert "-bake = 3.0" in output
    assert "--replace" in output


def test_second_init_beside_the_running_site_plans_the_same_ports(project: Path, init: Init) -> None:
    """Its own proxy listens at the address that the first init chose."""
    shutil.copytree(SAMPLES / "express", project, dirs_exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        assert init("--yes", site=("--set", f"proxy.listen=127.0.0.1:{taken}"))[0] == 0
        facts = machine_facts(project / "cakravia.toml")
        assert facts.is_free(taken)
        assert not machine_facts(project / "none.toml").is_free(taken)


def test_replaced_file_is_kept_beside_the_new_one(project: Path, init: Init) -> None:
    shutil.copytree(SAMPLES / "express", project, dirs_exist_ok=True)
    (project / "cakravia.toml").write_text("# mine\n")
    assert init("--yes", "--replace")[0] == 0
    assert (project / "cakravia.toml.before-init").read_text() == "# mine\n"
    assert load_settings(project / "cakravia.toml", environment={}).app.command == ("node", "server.js")


def test_state_and_reports_stay_out_of_an_image_that_is_built_here(project: Path, init: Init) -> None:
    (project / "Dockerfile").write_text("FROM node:22\nEXPOSE 3000\n")
    (project / ".dockerignore").write_text("node_modules\n")
    assert init("--yes", "--platform", "docker")[0] == 0
    rules = (project / ".dockerignore").read_text().splitlines()
    assert rules[0] == "node_modules"
    assert {".cakravia/", "reports/"} <= set(rules)
    assert not (project / ".gitignore").exists()


def test_options_and_an_access_log_reach_the_settings(project: Path, init: Init) -> None:
    shutil.copytree(SAMPLES / "express", project, dirs_exist_ok=True)
    request = '9.9.9.9 - - [29/Nov/2026:10:00:00 +0000] "GET /item/7 HTTP/1.1" 200 5 "-" "-"\n'
    (project / "access.log").write_text(request * 3)
    status, output = init(
        "--yes", "--host", "shop.example.com", "--from-access-log", "access.log", site=("--set", "release.bake=3")
    )
    assert status == 0, output
    settings = load_settings(project / "cakravia.toml", environment={})
    assert (settings.site.host, settings.release.bake) == ("shop.example.com", 3.0)
    assert [table.path for table in settings.traffic.mix] == ["/item/7"]


@pytest.mark.parametrize(
    ("files", "arguments", "words"),
    [
        ({}, ("--yes",), "no file says how an application is started"),
        ({"package.json": '{"main": "a.js"}', "a.js": ""}, (), "there is no terminal to ask"),
        ({"Dockerfile": "FROM node\n"}, ("--yes",), "runs in a container, and no Docker engine answers"),
        ({"package.json": "{"}, ("--yes",), "package.json cannot be read"),
        ({COMPOSE: "services: [\n"}, ("--yes",), COMPOSE),
        ({COMPOSE: TWO_SERVICES}, ("--yes",), "any of these services: blog, shop"),
        ({COMPOSE: TWO_SERVICES}, ("--yes", "--service", "shpo"), "has no service shpo; it has: "),
        ({COMPOSE: "services: {web: {build: .}}"}, ("--yes", "--platform", "docker"), "which port service web listens"),
        ({"Dockerfile": "FROM a"}, ("--yes", "--platform", "docker"), "on which port Dockerfile listens"),
        ({"Procfile": "web: x\n", "suites": "a file"}, ("--yes",), "nothing was written"),
        ({"Procfile": "web: x\n"}, ("--yes", "--from-access-log", "gone.log"), "gone.log cannot be read"),
        ({"Procfile": "web: x\n"}, ("--yes", "--listen", "here"), "proxy.listen"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value if isinstance(value, str) else "",
)
def test_bad_input_ends_with_a_sentence_and_a_remedy_and_writes_nothing(
    files: dict[str, str], arguments: tuple[str, ...], words: str, project: Path, init: Init
) -> None:
    for name, text in files.items():
        (project / name).write_text(text)
    status, output = init(*arguments)
    assert status == 4, output
    assert words in output
    assert "\n  -> " in output
    assert names_in(project) == set(files)


def test_compose_file_with_variables_needs_the_compose_plugin(
    project: Path, init: Init, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / COMPOSE).write_text("services: {web: {image: 'shop:${TAG}', ports: ['80:80']}}")
    monkeypatch.setenv("PATH", "/nowhere")
    status, output = init("--yes", "--platform", "docker")
    assert (status, "install the compose plugin of Docker" in output) == (4, True), output
    assert names_in(project) == {COMPOSE}


def test_bare_pytest_of_the_project_runs_its_own_tests_only(project: Path, init: Init) -> None:
    (project / "Procfile").write_text("web: x\n")
    assert init("--yes")[0] == 0
    (project / "test_own.py").write_text("def test_own():\n    pass\n")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout


def test_operator_is_asked_three_questions_at_most(project: Path) -> None:
    """On a terminal: the service, the name, and whether to write. Enter takes what was found."""
    (project / COMPOSE).write_text(TWO_SERVICES)
    (project / "Dockerfile").write_text("FROM node:22\n")
    command = [sys.executable, "-m", "cakravia_verify.cli", "init", "--platform", "docker"]
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(terminal, b"\nblog\n\n")
    shown = b""
    with contextlib.suppress(OSError):  # the terminal of a process that has ended
        while part := os.read(terminal, 4096):
            shown += part
    os.close(terminal)
    assert process.wait(30) == 0, shown.decode()
    assert shown.count(b"?") == 3, shown.decode()
    settings = load_settings(project / "cakravia.toml", environment={})
    assert (settings.docker.service, settings.docker.port) == ("blog", 9000)
