"""One site on one engine, and runners with state folders of their own: one lease, one history."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from cakravia_verify.errors import LockHeld, SiteLost
from cakravia_verify.gate.model import Exit
from cakravia_verify.history.journal import Journal
from cakravia_verify.history.releases import PROMOTED, ROLLED_BACK, records
from cakravia_verify.kinds import SUITES
from cakravia_verify.platforms.docker.lease import EXPIRY
from cakravia_verify.system.clock import Deadline, poll
from cakravia_verify.system.users import who_acts
from cakravia_verify.testing.throwaway_site import REPOSITORY
from tests.platforms.docker.docker_stage import DockerSite

if TYPE_CHECKING:
    from docker import DockerClient

    from tests.platforms.docker.conftest import MakeSite

RUN = "https://ci.example/jobs/7"
HOLDER = """
import sys
from pathlib import Path
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
site = open_site(load_settings(Path(sys.argv[1]), environment={}))
site.journal.token = site.lock.acquire("deploy v9.0.0").token
site.journal.append("a step of the holder")
print("held", flush=True)
sys.stdin.read()
"""

# Everything in this file happens to one site, in this order.


@pytest.fixture(scope="module")
def shop(make_site: MakeSite) -> DockerSite:
    """v1.0.0 serves on blue."""
    site = make_site(application="node_app", base="node", profile="generic", more="")
    ended = site.deploy("v1.0.0")
    assert ended.status == 0, ended.output
    return site


def twin_of(shop: DockerSite, folder: Path) -> DockerSite:
    """The same site, released from a folder that knows nothing of it."""
    twin = DockerSite(folder)
    twin.name, twin.users = shop.name, shop.users
    twin.settings.write_text(shop.settings.read_text())
    return twin


@pytest.fixture(scope="module")
def twin(shop: DockerSite, tmp_path_factory: pytest.TempPathFactory) -> DockerSite:
    return twin_of(shop, tmp_path_factory.mktemp("twin"))


@pytest.fixture(scope="module")
def baking(shop: DockerSite) -> Iterator[subprocess.Popen[bytes]]:
    """A release of v1.1.0 whose users are on it, without a verdict yet."""
    release = shop.begin_pytest(
        *(str(SUITES / "deploy"), *shop.site, "--version", "v1.1.0", "--bake", "120"),
        environment={"CI_JOB_URL": RUN, "GITHUB_RUN_ID": ""},
    )
    try:
        poll(lambda: version_at(shop) == "v1.1.0", deadline=Deadline("users are on v1.1.0", 60), every=0.1)
        yield release.process
    finally:
        release.process.kill()


def version_at(site: DockerSite) -> str | None:
    try:
        version: str | None = httpx.get(site.url, timeout=2, trust_env=False).headers.get("X-Deployment-Version")
    except httpx.HTTPError:
        return None
    return version


@contextmanager
def versions_seen(site: DockerSite) -> Iterator[list[str]]:
    """Asks for the front page all the time; the list has each change of the version that answered."""
    seen: list[str] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.02):
            version = version_at(site)
            if version is not None and seen[-1:] != [version]:
                seen.append(version)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def test_a_second_runner_is_refused_and_told_who_holds_the_site(
    twin: DockerSite, baking: subprocess.Popen[bytes]
) -> None:
    ended = twin.deploy("v1.2.0")
    assert ended.status == Exit.LOCK_HELD, ended.output
    for told in (f"process {baking.pid} on {socket.gethostname()}", "deploy v1.1.0", RUN, "--wait"):
        assert told in ended.output
    assert f"held by {who_acts()}, process {baking.pid}" in twin.cakravia("status").output
    assert twin.cakravia("recover").status == Exit.LOCK_HELD
    assert version_at(twin) == "v1.1.0"


def test_a_killed_runner_is_taken_over_and_its_release_undone_by_the_other(
    shop: DockerSite, twin: DockerSite, baking: subprocess.Popen[bytes]
) -> None:
    baking.send_signal(signal.SIGKILL)
    baking.wait()
    with versions_seen(shop) as seen:
        ended = twin.deploy("v1.2.0")
    assert ended.status == 0, ended.output
    assert f"process {baking.pid} on {socket.gethostname()}" in ended.output
    assert "this state folder had no history" in ended.output
    # The same configuration, whatever folder the release comes from: a reload of an older nginx may lose requests.
    assert "configuration reloaded" not in ended.output
    assert seen == ["v1.1.0", "v1.0.0", "v1.2.0"]
    outcomes = [(record.intent.version, record.outcome) for record in records(twin.open().journal.entries())]
    assert outcomes == [("v1.0.0", PROMOTED), ("v1.1.0", ROLLED_BACK), ("v1.2.0", PROMOTED)]
    assert twin.verdict()["evidence"]["measured"]["lost"] == 0


def test_a_folder_that_lags_behind_is_told_and_brought_up_to_date(shop: DockerSite, twin: DockerSite) -> None:
    before = twin.open().journal.entries()
    assert "drift: the history in this state folder lags behind" in shop.cakravia("status").output
    ended = shop.cakravia("recover")
    assert ended.status == 0, ended.output
    assert "the history in this state folder lagged" in ended.output
    assert list(shop.open().journal.entries())[: len(before)] == list(before)
    assert shop.open().observe().drift == ()


@pytest.mark.slow
def test_a_rollback_from_a_new_folder_starts_a_version_that_it_never_built(shop: DockerSite, tmp_path: Path) -> None:
    fresh = twin_of(shop, tmp_path / "fresh")
    assert "v1.0.0" in {artifact.version for artifact in fresh.open().platform.retained()}
    ended = fresh.roll_back()
    assert ended.status == 0, ended.output
    assert version_at(shop) == "v1.0.0"


def test_the_token_grows_across_state_folders(shop: DockerSite, twin: DockerSite) -> None:
    tokens = []
    for site in (shop.open(), twin.open(), shop.open()):
        tokens.append(site.lock.acquire("a test").token)
        site.lock.release()
    assert tokens == [tokens[0], tokens[0] + 1, tokens[0] + 2]


def test_a_runner_whose_lease_was_removed_writes_and_does_nothing_more(shop: DockerSite, client: DockerClient) -> None:
    site = shop.open()
    site.journal.token = site.lock.acquire("a test").token
    client.containers.get(f"{shop.name}-lease").remove(force=True)
    with pytest.raises(SiteLost, match="taken over, or removed"):
        site.journal.append("a step")
    count = len(site.journal.entries())
    with pytest.raises(SiteLost):
        site.journal.append("another step")
    assert len(site.journal.entries()) == count
    site.lock.release()


def test_an_entry_that_only_a_lost_runner_has_is_kept_beside_the_history(shop: DockerSite, twin: DockerSite) -> None:
    other = twin.open()
    other.journal.token = other.lock.acquire("a test").token
    other.journal.append("of the new holder")
    other.lock.release()
    site = shop.open()
    site.lock.acquire("a test")
    site.lock.release()
    assert "had other entries than the site's" in site.lock.notices[0]
    (kept,) = shop.folder.rglob("deployment-history.log.displaced-*")
    assert [entry.event for entry in Journal(kept).entries()][-1] == "a step"
    assert [entry.event for entry in site.journal.entries()][-1] == "of the new holder"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a second machine needs root and unshare")
def test_a_runner_on_another_machine_is_given_time_before_it_counts_as_dead(shop: DockerSite, twin: DockerSite) -> None:
    elsewhere = ["unshare", "--pid", "--uts", "--mount", "--fork", "--kill-child", "--mount-proc"]
    command = 'hostname elsewhere && exec "$@"'
    with subprocess.Popen(
        [*elsewhere, "sh", "-c", command, "sh", sys.executable, "-c", HOLDER, str(shop.settings)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        site = twin.open()
        with pytest.raises(LockHeld, match=r"on elsewhere, since .*: deploy v9.0.0"):
            site.lock.acquire("a test")
        holder.kill()
        holder.wait()
    with pytest.raises(LockHeld, match=f"is given {EXPIRY} s"):
        site.lock.acquire("a test")
    site.lock.acquire("a test", wait=Deadline("the lease ends", EXPIRY + 20))
    assert site.lock.taken_over is not None
    assert site.lock.taken_over.host == "elsewhere"
    assert [entry.event for entry in site.journal.entries()][-1] == "a step of the holder"
    site.lock.release()
