"""Other plugins in the same environment: they change no release, and a release changes no other run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.conftest import Environment, Project

NEIGHBOURS = (
    "pytest-xdist",
    "pytest-randomly",
    "pytest-random-order",
    "pytest-django",
    "pytest-asyncio",
    "pytest-rerunfailures",
    "pytest-timeout",
    "pytest-cov",
    "schemathesis",
    "hypothesis",
)
# What the project's own tests want. Each of these would break a release.
PYTEST_SETTINGS = """
[tool.pytest.ini_options]
addopts = "-n 2 -p randomly --reuse-db --ds=nowhere.settings --reruns 2 --timeout 1 --cov=shop --random-order"
asyncio_mode = "auto"
"""
OWN_OPTIONS = """
def pytest_addoption(parser):
    for name in ("--site", "--set", "--rate", "--users", "--release", "--reason", "--wait", "--duration"):
        parser.addoption(name, default="mine")
"""
OWN_TEST = """
def test_options_are_the_projects_own(request):
    assert request.config.getoption("--rate") == "7"
    assert request.config.getoption("--site") == "mine"
"""


@pytest.fixture(scope="module")
def project(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The shop beside all the plugins, with copied suites."""
    environment.install(*NEIGHBOURS)
    made = Project(tmp_path_factory.mktemp("neighbours") / "shop", environment)
    shutil.rmtree(made.folder / "suites")
    installed = environment.site_packages() / "cakravia_verify" / "suites"
    shutil.copytree(installed, made.folder / "suites", ignore=shutil.ignore_patterns("__pycache__"))
    yield made
    assert made.tear_down() == []


@pytest.mark.slow
def test_release_beside_other_plugins_needs_no_further_option(project: Project) -> None:
    ended = project.type("pytest", "suites/deploy", "--version", "v1.0.0")
    assert ended.status == 0, ended.output
    assert project.verdict_of("v1.0.0")["decision"] == "PROMOTE"


@pytest.mark.slow
def test_release_keeps_its_order_whatever_the_projects_tests_want(project: Project) -> None:
    """Without suites/pytest.ini, the project's own pytest settings govern the session."""
    settings = project.folder / "pyproject.toml"
    settings.write_text(PYTEST_SETTINGS)
    (project.folder / "suites" / "pytest.ini").rename(project.folder / "kept.ini")
    try:
        ended = project.type("pytest", "suites/deploy", "--version", "v1.1.0", PYTEST_ADDOPTS="-n 3")
    finally:
        settings.unlink()
        (project.folder / "kept.ini").rename(project.folder / "suites" / "pytest.ini")
    assert ended.status == 0, ended.output
    assert project.verdict_of("v1.1.0")["decision"] == "PROMOTE"


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    [("-n", "2"), ("--dist", "load"), ("--reruns", "2"), ("-p", "randomly"), ("--random-order",), ("--timeout", "9")],
    ids=" ".join,
)
def test_plugin_that_the_command_line_asks_for_is_refused(asked: tuple[str, ...], project: Project) -> None:
    ended = project.type("cakravia", "deploy", "v9.0.0", *asked)
    assert ended.status == 4, ended.output
    assert "cannot be used" in ended.output
    assert "run it without" in ended.output
    assert project.verdict_of("v9.0.0") == {}


@pytest.mark.slow
def test_ordinary_run_has_the_projects_own_options_and_all_its_plugins(project: Project, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(OWN_OPTIONS)
    (tmp_path / "test_own.py").write_text(OWN_TEST)
    ended = project.type("pytest", str(tmp_path), "--rate", "7", "-n", "2", "--rootdir", str(tmp_path))
    assert ended.status == 0, ended.output
    assert "2 workers" in ended.output or "created: 2/2" in ended.output


@pytest.mark.slow
def test_ordinary_help_shows_none_of_our_options(project: Project, tmp_path: Path) -> None:
    ended = project.type("pytest", str(tmp_path), "--help", "--rootdir", str(tmp_path))
    assert ended.status == 0
    assert "--redeploy" not in ended.output
    assert "--redeploy" in project.type("pytest", "suites/deploy", "--help").output
