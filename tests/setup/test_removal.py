"""Uninstall: everything of ours goes, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cakravia_verify.cli.main import main
from cakravia_verify.errors import UsageError
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.setup.migration import MOVED, Migration
from cakravia_verify.setup.removal import parts_of, refuse_while_users_come_through, remove_parts
from tests.setup.test_passing_on import PLAIN, set_up_of

pytestmark = pytest.mark.check


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that was set up, with checks and data of its own."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "Procfile": "web: x\n",
        ".gitignore": "*.pyc\n",
        "suites/deploy/test_shop.py": "own check",
        "reports/sales.csv": "not of ours",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    ended = CliRunner().invoke(main, ["init", "--yes", "--platform", "process"])
    assert ended.exit_code == 0, ended.output
    for name in (".cakravia/data/orders.db", ".cakravia/nginx/nginx.conf", "reports/20260101-000000-r1/verdict.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_everything_of_ours_goes_and_the_projects_own_files_stay(project: Path) -> None:
    settings = load_settings(project / "cakravia.toml", environment={})
    list(remove_parts(settings, parts_of(settings, serves=False, with_data=False)))
    own = {"Procfile", ".gitignore", "suites/deploy/test_shop.py", "reports/sales.csv"}
    assert names_in(project) == own | {".cakravia/data/orders.db"}
    assert (project / ".gitignore").read_text() == "*.pyc\n"


def test_data_goes_only_if_that_is_asked_for(project: Path) -> None:
    settings = load_settings(project / "cakravia.toml", environment={})
    list(remove_parts(settings, parts_of(settings, serves=False, with_data=True)))
    assert not (project / ".cakravia").exists()


def test_state_of_a_site_that_serves_users_stays(project: Path) -> None:
    settings = load_settings(project / "cakravia.toml", environment={})
    list(remove_parts(settings, parts_of(settings, serves=True, with_data=False)))
    assert {"cakravia.toml", ".cakravia/nginx/nginx.conf"} <= names_in(project)
    assert names_in(project / "reports") == {"sales.csv"}


def test_dry_run_of_the_command_removes_nothing(project: Path) -> None:
    before = names_in(project)
    ended = CliRunner().invoke(main, ["uninstall", "--dry-run"])
    assert ended.exit_code == 0, ended.output
    assert "stays  " in ended.output
    assert names_in(project) == before


def test_uninstall_is_refused_while_an_nginx_passes_users_on_to_the_site(project: Path) -> None:
    settings = load_settings(project / "cakravia.toml", environment={})
    (project / "old.conf").write_text(PLAIN)
    migration = Migration(settings)
    migration.begin(set_up_of(project / "old.conf"))
    migration.mark(MOVED)
    with pytest.raises(UsageError, match="passes the requests of users on"):
        refuse_while_users_come_through(settings)
