"""The installed service: its files are what systemd and logrotate accept, and its sandbox is tight."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.monitor.installation import install, installation_of, uninstall
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.settings.models import Settings
from cakravia_verify.system.service_units import Scope


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    """A site in a folder whose name needs care in a unit file."""
    folder = tmp_path / "my site 50% $HOME"
    (folder / ".cakravia").mkdir(parents=True)
    (folder / "cakravia.toml").write_text('[site]\nname = "shop"\n')
    return folder / "cakravia.toml"


@pytest.fixture
def settings(site_file: Path) -> Settings:
    return load_settings(site_file, environment={})


def written(settings: Settings, site_file: Path, into: Path, scope: Scope = Scope.SYSTEM) -> Path:
    installation = installation_of(settings, scope, into=into)
    assert list(install(settings, site_file, installation, into=into))
    return installation.unit


def test_the_sandbox_exposes_at_most_two_of_ten(settings: Settings, site_file: Path, tmp_path: Path) -> None:
    unit = written(settings, site_file, tmp_path / "into")
    # A site outside of /tmp, as others are, has a /tmp of its own.
    unit.write_text(unit.read_text().replace("UMask=", "PrivateTmp=yes\nUMask="))
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(unit)], capture_output=True, text=True, check=False
    ).stdout
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)
    assert level, told
    assert float(level[1]) <= 2.0


@pytest.mark.parametrize("scope", Scope)
def test_systemd_accepts_the_unit(scope: Scope, settings: Settings, site_file: Path, tmp_path: Path) -> None:
    unit = written(settings, site_file, tmp_path / "into", scope)
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if str(unit) in line]
    assert ours == []
    assert done.returncode == 0, done.stderr


def test_logrotate_accepts_its_file(settings: Settings, site_file: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    written(settings, site_file, into)
    log = into / "var/log/cakravia-monitor.log"
    file = into / "etc/logrotate.d/cakravia-monitor"
    assert log.exists()
    file.write_text(file.read_text().replace("/var/log/", f"{into}/var/log/"))
    log.write_text("a line\n")
    state = tmp_path / "state"
    command = ["logrotate", "--force", "--state", str(state), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert log.read_text() == ""
    assert log.with_name(log.name + ".1").read_text() == "a line\n"


def test_a_service_of_a_user_needs_no_root(
    settings: Settings, site_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/ann/.config")
    unit = written(settings, site_file, tmp_path / "into", Scope.USER)
    assert unit == tmp_path / "into/home/ann/.config/systemd/user/cakravia-monitor.service"
    assert "User=" not in unit.read_text()
    assert "WantedBy=default.target" in unit.read_text()


def test_uninstalling_removes_the_files_and_keeps_what_was_recorded(
    settings: Settings, site_file: Path, tmp_path: Path
) -> None:
    into = tmp_path / "into"
    unit = written(settings, site_file, into)
    record = settings.state / "monitor" / "samples.db"
    record.write_bytes(b"samples")
    list(uninstall(settings, installation_of(settings, Scope.SYSTEM, into=into), into=into))
    assert not unit.exists()
    assert not (into / "etc/logrotate.d/cakravia-monitor").exists()
    assert record.read_bytes() == b"samples"


def test_the_service_of_another_site_is_not_replaced(settings: Settings, site_file: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    unit = written(settings, site_file, into)
    before = unit.read_text()
    with pytest.raises(UsageError, match="another site"):
        list(
            install(
                settings,
                tmp_path / "elsewhere" / "cakravia.toml",
                installation_of(settings, Scope.SYSTEM, into=into),
                into=into,
            )
        )
    assert unit.read_text() == before


def test_installing_twice_changes_nothing(settings: Settings, site_file: Path, tmp_path: Path) -> None:
    unit = written(settings, site_file, tmp_path / "into")
    before = unit.read_text()
    assert written(settings, site_file, tmp_path / "into").read_text() == before


def test_files_that_cannot_be_written_name_the_way_out(settings: Settings, site_file: Path, tmp_path: Path) -> None:
    (tmp_path / "into").write_text("a file where a folder should be")
    with pytest.raises(UsageError, match="cannot be written") as failure:
        written(settings, site_file, tmp_path / "into")
    assert "sudo" in failure.value.remedy
