"""`cakravia migrate` and its undo on a real nginx with real users."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cakravia_verify.testing.throwaway_site import Ended, ThrowawaySite
from tests.ports import free_ports
from tests.setup.old_nginx import SHOP, OldSite, old_site

pytestmark = pytest.mark.real

SETTINGS = """
[site]
name = "shop"
[slots]
blue = $blue
green = $green
[proxy]
listen = "127.0.0.1:$users"
[app]
command = ["{python}", "shop.py"]
[contract]
health = "/health"
ready = ""
live = ""
status = ""
[release]
bake = 1.0
[traffic]
users = 10
rate = 80.0
round_trip = 0.0
[budget]
min_requests = 50
min_each = 1
min_rate_held = 0.5
p99 = 20.0
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawaySite]:
    """The site that users move to; it serves v1.0.0."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "shop.py").write_bytes(SHOP.read_bytes())
    made = ThrowawaySite(folder, SETTINGS)
    ended = made.cakravia("deploy", "v1.0.0")
    assert ended.status == 0, ended.output
    yield made
    assert made.tear_down() == []


@pytest.fixture
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OldSite]:
    users, application = free_ports(2)
    with old_site(tmp_path / "old", users=users, application=application, has_upstream_file=request.param) as made:
        yield made


def migrate(site: ThrowawaySite, old: OldSite, name: str, *more: str) -> Ended:
    conf = str(old.folder / name)
    return site.cakravia(
        "migrate", "--conf", conf, "--users", old.users, "--nginx", old.nginx, "--seconds", "1", "--yes", *more
    )


def counted(output: str) -> tuple[int, int, int]:
    """Return what the last line of a move counts: requests, lost, failed."""
    found = re.findall(r"(\d+) of ([\d,]+) requests lost, (\d+) failed", output)[-1]
    return int(found[1].replace(",", "")), int(found[0]), int(found[2])


@pytest.mark.parametrize(
    ("old", "name"),
    [(False, "nginx.conf"), pytest.param(True, "upstream.conf", marks=pytest.mark.slow)],
    ids=["process behind nginx", "the original's upstream.conf"],
    indirect=["old"],
)
def test_users_move_to_the_site_and_back_and_every_request_is_counted(
    site: ThrowawaySite, old: OldSite, name: str
) -> None:
    before = {path: path.read_text() for path in old.folder.glob("*.*") if path.suffix in (".conf", ".template")}
    assert old.header() is None
    moved = migrate(site, old, name)
    assert moved.status == 0, moved.output
    assert old.header() == "blue"
    requests, _, failed = counted(moved.output)
    assert (requests > 50, failed) == (True, 0), moved.output
    undone = site.cakravia("migrate", "undo", "--seconds", "1", "--yes")
    assert undone.status == 0, undone.output
    assert old.header() is None
    assert {path: path.read_text() for path in before} == before
    assert [each["event"] for each in site.history()][-2:] == ["migration.moved", "migration.undone"]


@pytest.mark.parametrize("old", [False], indirect=True)
def test_move_that_the_old_nginx_refuses_leaves_users_where_they_are(site: ThrowawaySite, old: OldSite) -> None:
    conf = old.folder / "nginx.conf"
    text = conf.read_text()
    ended = migrate(site, old, "nginx.conf", "--to", "no-such-host.invalid:80")
    assert ended.status == 1, ended.output
    assert "host not found in upstream" in ended.output
    assert conf.read_text() == text
    assert old.header() is None
    assert "undone" in site.cakravia("migrate", "status").output


@pytest.mark.parametrize("old", [False], indirect=True)
def test_dry_run_shows_the_difference_and_changes_nothing(site: ThrowawaySite, old: OldSite) -> None:
    text = (old.folder / "nginx.conf").read_text()
    ended = migrate(site, old, "nginx.conf", "--dry-run")
    assert ended.status == 0, ended.output
    assert f"+            proxy_pass http://127.0.0.1:{site.users};" in ended.output
    assert (old.folder / "nginx.conf").read_text() == text
