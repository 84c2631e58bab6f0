"""Nothing grows for ever between releases, and docs/OPERATIONS.md names every file there is."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cakravia_verify.platforms.process.slots import ProcessPlatform
from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Artifact, Colour
from cakravia_verify.system.log_files import LONGEST_LOG
from tests.platforms.process.conftest import deadline
from tests.platforms.process.growing_files import patterns, unnamed
from tests.ports import free_ports


@pytest.fixture
def site(settings: Settings, platform: ProcessPlatform, artifact: Artifact) -> Iterator[Site]:
    """Both slots run; the proxy has been told both ways of switching."""
    (port,) = free_ports(1)
    proxy = {"listen": f"127.0.0.1:{port}", "access_log": "file"}
    classic = open_site(settings.model_copy(update={"proxy": ProxySettings(**proxy, switch="reload")}))  # type: ignore[arg-type]
    site = open_site(settings.model_copy(update={"proxy": ProxySettings(**proxy)}))  # type: ignore[arg-type]
    for colour in Colour:
        platform.start(colour, artifact, release="r", deadline=deadline())
    classic.proxy.start(Colour.BLUE, deadline=deadline())
    site.proxy.refresh(deadline=deadline())
    site.proxy.point_at(Colour.GREEN, deadline=deadline())
    site.journal.append("site.up")
    site.lock.acquire("a test")
    yield site
    site.proxy.stop(deadline=deadline())


def test_every_file_below_the_state_folder_is_on_the_operations_page(site: Site) -> None:
    assert unnamed(site.settings.state) == []


def test_an_undocumented_state_file_is_noticed(site: Site) -> None:
    (site.settings.state / "nginx" / "surprise.log").touch()
    assert unnamed(site.settings.state) == ["nginx/surprise.log"]
    assert "nginx/access.log" in patterns()


def test_long_slot_logs_are_cut_and_writing_continues(site: Site) -> None:
    folder = site.settings.state / "slots" / "blue"
    for name in ("requests.log", "app.log"):
        (folder / name).touch()
        os.truncate(folder / name, LONGEST_LOG + 1)
    site.bound_logs()
    assert (folder / "requests.log").stat().st_size == 0
    assert (folder / "app.log").stat().st_size == 0
    assert (folder / "app.log.1").stat().st_size == LONGEST_LOG + 1


def test_exactly_one_older_log_is_kept(site: Site) -> None:
    folder = site.settings.state / "nginx"
    for _ in range(3):
        with (folder / "everyday.log").open("ab") as log:
            log.truncate(LONGEST_LOG + 1)
        site.bound_logs()
    assert sorted(path.name for path in folder.glob("everyday.log*") if path.stat().st_size) == ["everyday.log.1"]
