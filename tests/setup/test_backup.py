"""Backups: what is in one, how many are kept, and that a restore loses nothing."""

from __future__ import annotations

import io
import stat
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from cakravia_verify.cli.main import main
from cakravia_verify.errors import UsageError
from cakravia_verify.history.journal import Journal
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.settings.models import Settings
from cakravia_verify.setup.backup import backups_of, make_backup, read_backup
from cakravia_verify.setup.restoring import plan_restore, restore

SECRET = "hunter2"
TEXT = """
[site]
name = "shop"
[proxy]
tls_listen = "127.0.0.1:8443"
tls_certificate = "tls/full.pem"
tls_key = "tls/key.pem"
[app]
command = ["x"]
env_file = ".env"
[release]
backups = 3
"""


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    """The files of a site that has released twice."""
    folder = tmp_path / "shop"
    files = {
        "cakravia.toml": TEXT,
        ".env": f"WORD={SECRET}",
        "tls/full.pem": "certificate",
        "tls/key.pem": SECRET,
        ".cakravia/nginx/nginx.conf": "events {}",
        ".cakravia/versions/1.environment": SECRET,
        "reports/r1/verdict.json": "{}",
        "reports/r1/report.html": "big",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "reports" / "latest").symlink_to("r1")
    settings = load_settings(folder / "cakravia.toml", environment={})
    Journal(settings.history).append("site.up")
    return settings


def made(site: Settings, *, wall: float = 1_700_000_000.0) -> Path:
    return make_backup(site, reason="a test", wall=wall)


def test_backup_has_settings_history_verdicts_and_the_proxys_configuration(site: Settings) -> None:
    found = read_backup(made(site))
    assert sorted(found.files) == [
        "history/deployment-history.log",
        "proxy/nginx/nginx.conf",
        "settings/cakravia.toml",
        "verdicts/r1/verdict.json",
    ]
    assert (found.site, found.reason) == ("shop", "a test")
    assert found.certificates[0].endswith("tls/full.pem")


def test_backup_has_no_secret_and_only_this_user_can_read_it(site: Settings) -> None:
    path = made(site)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as archive:
        contents = [archive.extractfile(each) for each in archive.getmembers()]
        assert not [each for each in contents if each and SECRET.encode() in each.read()]


def test_oldest_backups_beyond_the_setting_are_removed(site: Settings) -> None:
    paths = [made(site, wall=1_700_000_000.0 + number) for number in range(5)]
    assert backups_of(site) == tuple(paths[:1:-1])


@pytest.mark.parametrize("damage", ["cut", "changed", "garbage", "missing"])
def test_damaged_backup_is_refused(damage: str, site: Settings) -> None:
    path = made(site)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "garbage":
        path.write_bytes(b"no archive")
    elif damage == "missing":
        path.unlink()
    else:
        with tarfile.open(path) as archive:
            files = {each.name: archive.extractfile(each).read() for each in archive.getmembers()}  # type: ignore[union-attr]
        files["settings/cakravia.toml"] += b"# more"
        with tarfile.open(path, "w:gz") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(UsageError, match="backup"):
        read_backup(path)


def test_restore_brings_back_what_is_gone(site: Settings) -> None:
    path, history = made(site), site.history.read_bytes()
    for lost in (site.history, site.file, site.reports / "r1" / "verdict.json"):
        lost.unlink()
    list(restore(plan_restore(read_backup(path), site.root, site)))
    assert site.history.read_bytes() == history
    assert site.file.read_text() == TEXT
    assert (site.reports / "r1" / "verdict.json").read_text() == "{}"


def test_restore_keeps_a_history_that_is_newer_than_the_backup(site: Settings) -> None:
    path = made(site)
    Journal(site.history).append("site.down")
    newer = site.history.read_bytes()
    plan = plan_restore(read_backup(path), site.root, site)
    list(restore(plan))
    assert site.history.read_bytes() == newer
    assert "stays" in plan.kept[0]


def test_replaced_settings_are_kept_beside_the_restored_ones(site: Settings) -> None:
    path = made(site)
    site.file.write_text("# other")
    list(restore(plan_restore(read_backup(path), site.root, site)))
    assert site.file.with_name("cakravia.toml.before-restore").read_text() == "# other"


def test_backup_of_another_site_is_refused(site: Settings) -> None:
    other = site.model_copy(update={"site": site.site.model_copy(update={"name": "other"})})
    with pytest.raises(UsageError, match="is a backup of site shop"):
        plan_restore(read_backup(made(site)), site.root, other)


def test_file_of_a_backup_that_leaves_its_folder_is_refused(site: Settings) -> None:
    found = read_backup(made(site))
    found.files["settings/../../evil"] = b"x"
    with pytest.raises(UsageError, match="leaves its folder"):
        plan_restore(found, site.root, site)


def test_commands_make_list_and_restore_a_backup(site: Settings) -> None:
    def typed(*words: str) -> str:
        ended = CliRunner().invoke(main, ["--site", str(site.file), *words])
        assert ended.exit_code == 0, ended.output
        return ended.output

    path = typed("backup").strip()
    assert path in typed("backup", "--list")
    site.file.write_text(TEXT + "# changed\n")
    assert "replaced" in typed("restore", path, "--yes")
    assert site.file.read_text() == TEXT
    assert "nothing to restore" in typed("restore", path, "--yes")
