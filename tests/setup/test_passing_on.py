"""The edit that makes an old nginx pass requests on, and the manifest that brings it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.settings.models import Settings
from cakravia_verify.setup.migration import MOVED, MOVING, Migration, OldSetUp, read_set_up, write_old_files
from cakravia_verify.setup.passing_on import groups_of, passed_on

TO = "127.0.0.1:8080"
PLAIN = """server {
    listen 80;
    # proxy_pass http://127.0.0.1:9;
    location / { proxy_pass http://127.0.0.1:3000; }
    location /api/ { proxy_pass http://127.0.0.1:3000/v1/; }
}
"""
GROUP = """upstream app {
    server app-blue:3000 max_fails=3;
    server app-green:3000 backup;
    keepalive 32;
}
"""


def set_up_of(*paths: Path, **options: tuple[str, ...]) -> OldSetUp:
    return read_set_up(paths, nginx=("nginx",), users="127.0.0.1:80", to=TO, **options)


def test_every_proxy_pass_of_the_application_leads_to_the_site_and_nothing_else_changes() -> None:
    edited = passed_on(PLAIN, old=frozenset({"127.0.0.1:3000"}), to=TO)
    assert edited == PLAIN.replace("127.0.0.1:3000", TO)


def test_upstream_of_two_slots_has_one_server_afterwards() -> None:
    edited = passed_on(GROUP, old=frozenset({"app-blue:3000"}), to="nginx:8080")
    assert groups_of(edited) == (("nginx:8080",),)
    assert "keepalive 32;" in edited


def test_other_applications_of_the_same_nginx_are_left_alone() -> None:
    text = PLAIN + "server { location / { proxy_pass http://127.0.0.1:4000; } }\n" + GROUP
    edited = passed_on(text, old=frozenset({"127.0.0.1:3000"}), to=TO)
    assert "http://127.0.0.1:4000;" in edited
    assert GROUP in edited


def test_target_in_a_variable_is_refused() -> None:
    with pytest.raises(UsageError, match="variable"):
        passed_on("location / { proxy_pass http://$app; }", old=frozenset({"a:1"}), to=TO)


def test_several_applications_need_a_name(tmp_path: Path) -> None:
    conf = tmp_path / "shop.conf"
    conf.write_text(PLAIN + "server { location / { proxy_pass http://127.0.0.1:4000; } }\n")
    with pytest.raises(UsageError, match=r"several places: 127\.0\.0\.1:3000, 127\.0\.0\.1:4000"):
        set_up_of(conf)
    assert "127.0.0.1:4000" in set_up_of(conf, old=("127.0.0.1:3000",)).files[0].after


@pytest.mark.parametrize("text", ["server { return 200; }", ""], ids=["no proxy", "empty"])
def test_file_without_an_application_is_refused(text: str, tmp_path: Path) -> None:
    conf = tmp_path / "shop.conf"
    conf.write_text(text)
    with pytest.raises(UsageError, match="passes no request to an application"):
        set_up_of(conf)


def test_templates_of_the_old_scripts_are_edited_with_their_upstream(tmp_path: Path) -> None:
    for name, slot in (
        ("upstream.conf", "blue"),
        ("upstream.blue.template", "blue"),
        ("upstream.green.template", "green"),
    ):
        (tmp_path / name).write_text(f"upstream app {{ server app-{slot}:3000; }}\n")
    found = set_up_of(tmp_path / "upstream.conf")
    assert [file.path.name for file in found.files] == [
        "upstream.conf",
        "upstream.blue.template",
        "upstream.green.template",
    ]
    assert all(file.after == f"upstream app {{ server {TO}; }}\n" for file in found.files)


def test_manifest_brings_every_file_back_whatever_state_it_was_left_in(tmp_path: Path) -> None:
    available, enabled = tmp_path / "available", tmp_path / "enabled"
    available.write_text(PLAIN)
    available.chmod(0o640)
    enabled.symlink_to(available)
    migration = Migration(Settings(root=tmp_path))
    migration.begin(set_up_of(enabled))
    assert migration.state == MOVING
    for back in (False, True, True, False, True):
        write_old_files(Migration(Settings(root=tmp_path)).set_up, back=back)
        assert available.read_text() == (PLAIN if back else PLAIN.replace("127.0.0.1:3000", TO))
    assert enabled.is_symlink()
    assert available.stat().st_mode & 0o777 == 0o640


def test_file_that_was_changed_since_is_not_overwritten(tmp_path: Path) -> None:
    conf = tmp_path / "shop.conf"
    conf.write_text(PLAIN)
    migration = Migration(Settings(root=tmp_path))
    migration.begin(set_up_of(conf))
    write_old_files(migration.set_up, back=False)
    conf.write_text(conf.read_text() + "# mine\n")
    with pytest.raises(UsageError, match="was changed since"):
        write_old_files(migration.set_up, back=True)
    assert conf.read_text().endswith("# mine\n")


def test_second_migration_before_an_undo_is_refused(tmp_path: Path) -> None:
    conf = tmp_path / "shop.conf"
    conf.write_text(PLAIN)
    migration = Migration(Settings(root=tmp_path))
    migration.begin(set_up_of(conf))
    migration.mark(MOVED)
    with pytest.raises(UsageError, match="moved already"):
        migration.begin(set_up_of(conf))


def test_file_keeps_its_inode_since_a_container_mounts_it(tmp_path: Path) -> None:
    conf = tmp_path / "shop.conf"
    conf.write_text(PLAIN)
    number = conf.stat().st_ino
    write_old_files(set_up_of(conf), back=False)
    assert conf.stat().st_ino == number
