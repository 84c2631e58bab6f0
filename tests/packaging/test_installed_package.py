"""The wheel and the sdist, installed into an empty environment and used for releases of a foreign project."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from cakravia_verify.kinds import SUITES
from tests.packaging.conftest import Environment, Project


def test_wheel_has_every_file_of_the_suites(distributions: dict[str, Path]) -> None:
    held = set(zipfile.ZipFile(distributions["wheel"]).namelist())
    files = [path.relative_to(SUITES) for path in SUITES.rglob("*") if path.suffix in (".py", ".ini")]
    assert files
    assert {f"cakravia_verify/suites/{file.as_posix()}" for file in files} <= held


def test_nothing_of_the_wheel_runs_at_every_start_of_the_interpreter(distributions: dict[str, Path]) -> None:
    assert not [name for name in zipfile.ZipFile(distributions["wheel"]).namelist() if name.endswith(".pth")]


def test_wheel_releases_a_foreign_project_and_rolls_back(project: Project) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        ended = project.type("cakravia", "deploy", version, "-q")
        assert ended.status == 0, ended.output
        verdict = project.verdict_of(version)
        assert (verdict["decision"], verdict["traffic"]["total"]["lost"]) == ("PROMOTE", 0)
    ended = project.type("cakravia", "rollback", "--reason", "it was better before")
    assert ended.status == 0, ended.output
    assert "v1.0.0 serves users" in project.cakravia("status").output


@pytest.mark.slow
def test_wheel_sets_a_project_up_that_has_nothing_of_ours(project: Project, tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: python3 shop.py\n")
    site = str(tmp_path / "cakravia.toml")
    ended = project.type("cakravia", "--site", site, "init", "--yes", "--platform", "process")
    assert ended.status == 0, ended.output
    assert (tmp_path / "suites" / "deploy" / "test_deploy.py").is_file()
    assert project.type("cakravia", "--site", site, "status").status == 0


def test_load_of_an_installed_package_ends_well(project: Project) -> None:
    ended = project.type("cakravia", "load", "--duration", "2", "--rate", "50")
    assert ended.status == 0, ended.output


def test_a_foreign_project_has_what_it_needs(project: Project) -> None:
    ended = project.type("cakravia", "check", "prerequisites", "config", "-q")
    assert ended.status == 0, ended.output


@pytest.mark.slow
def test_check_of_containers_on_processes_is_refused_in_one_sentence(project: Project) -> None:
    ended = project.type("cakravia", "check", "containers")
    assert ended.status == 4
    assert "on platform 'process'" in ended.output
    assert not ended.has_traceback


@pytest.mark.slow
def test_suites_that_were_copied_into_the_project_run_by_pytest(project: Project) -> None:
    installed = project.environment.site_packages() / "cakravia_verify" / "suites"
    shutil.copytree(installed, project.folder / "suites", ignore=shutil.ignore_patterns("__pycache__"))
    try:
        ended = project.type("pytest", "suites/deploy", "--version", "v1.2.0")
        assert ended.status == 0, ended.output
        assert project.verdict_of("v1.2.0")["decision"] == "PROMOTE"
    finally:
        shutil.rmtree(project.folder / "suites")


@pytest.mark.slow
def test_sdist_installs_the_same_files_as_the_wheel_and_releases(
    environment: Environment, distributions: dict[str, Path], project: Project
) -> None:
    package = environment.site_packages() / "cakravia_verify"
    before = {path.relative_to(package) for path in package.rglob("*") if path.suffix != ".pyc"}
    environment.install("--no-deps", "--force-reinstall", str(distributions["sdist"]))
    assert {path.relative_to(package) for path in package.rglob("*") if path.suffix != ".pyc"} == before
    ended = project.type("cakravia", "deploy", "v1.3.0")
    assert ended.status == 0, ended.output


def test_settings_without_a_command_say_what_to_write(project: Project) -> None:
    good = project.settings.read_text()
    project.settings.write_text(good.replace('command = ["{python}", "shop.py"]', ""))
    try:
        ended = project.type("cakravia", "deploy", "v9.0.0")
    finally:
        project.settings.write_text(good)
    assert ended.status == 4, ended.output
    assert "[app] command is missing" in ended.output
    assert 'command = ["node", "server.js"]' in ended.output
    assert not ended.has_traceback


@pytest.mark.slow
def test_docker_without_an_image_says_what_to_write(project: Project) -> None:
    ended = project.type("cakravia", "--set", "site.platform=docker", "deploy", "v9.0.0")
    assert ended.status == 4, ended.output
    assert 'image = "registry.example.com/shop:{version}"' in ended.output


@pytest.mark.slow
def test_demo_shows_a_rollback_and_removes_everything(project: Project, tmp_path: Path) -> None:
    ended = project.type("cakravia", "demo", TMPDIR=str(tmp_path))
    assert ended.status == 0, ended.output
    assert ended.output.count(" PROMOTE ") == 2
    assert ended.output.count(" ROLL BACK ") == 1
    assert list(tmp_path.iterdir()) == []


def test_no_file_of_the_package_names_the_reference_application(environment: Environment) -> None:
    package = environment.site_packages() / "cakravia_verify"
    texts = {path: path.read_text(errors="replace") for path in package.rglob("*") if path.is_file()}
    assert not [path for path, text in texts.items() if path.suffix != ".pyc" and "reference_app" in text]
