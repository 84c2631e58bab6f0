"""Restarts and trouble of slots, proxy and engine: users are never routed wrong, and the next release works."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from cakravia_verify.deadline import Deadline, poll
from cakravia_verify.slots import Colour
from tests.docker.docker_stage import DockerSite, base_of, free_ports, unavailable
from tests.docker.private_engine import THERE, PrivateEngine, missing

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient


@pytest.fixture(scope="module")
def engine(client: DockerClient) -> Iterator[PrivateEngine]:
    """An engine that may be restarted, with the bases that a Node server and a proxy need."""
    if reason := missing():
        unavailable(reason)
    engine = PrivateEngine()
    try:
        engine.connect_cable()
        engine.start("--live-restore")
        for base in ("nginx", "node"):
            engine.copy_image(base_of(base))
        yield engine
    finally:
        engine.remove()


@pytest.fixture(scope="module")
def shop(engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> DockerSite:
    """v1.1.0 of a Node server on green, v1.0.0 warm on blue; slots are asked at published ports."""
    site = DockerSite(
        tmp_path_factory.mktemp("site"),
        application="node_app",
        base="node",
        profile="generic",
        more="",
        docker=f'host = "{engine.host}"\npublish_slots = true\nprobe = "published"\nusers = "{THERE}:{{users}}"',
    )
    blue, green = free_ports(2)
    text = site.file.read_text().replace("{users}", str(site.port)).replace('"127.0.0.1:', '"0.0.0.0:')
    text = text.replace("[slots]", f'[slots]\nhost = "{THERE}"').replace("blue =", f"blue = {blue} #")
    site.file.write_text(text.replace("green =", f"green = {green} #"))
    for version in ("v1.0.0", "v1.1.0"):
        ended = site.deploy(version)
        assert ended.status == 0, ended.output
    return site


class Witness:
    """Asks for the front page all the time and notes who answered; a refused connection is nobody's answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[tuple[str, str, str]] = []
        self._stop = threading.Event()

    def __enter__(self) -> Witness:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            try:
                answer = httpx.get(self.url, timeout=2, trust_env=False)
            except httpx.HTTPError:
                continue
            if answer.status_code == 200:
                headers = answer.headers
                names = ("X-Served-Slot", "X-Deployment-Slot", "X-Deployment-Version")
                slot, own, version = (headers[name] for name in names)
                self.answers.append((slot, own, version))


def url_of(site: DockerSite) -> str:
    return f"http://{THERE}:{site.port}/"


def wait_until_users_are_served(site: DockerSite) -> None:
    """By the slot that they are sent to, not by one that stands in."""

    def served() -> bool:
        try:
            served_by: str = httpx.get(url_of(site), timeout=2, trust_env=False).headers.get("X-Served-Slot", "")
            return served_by == "green"
        except httpx.HTTPError:
            return False

    poll(served, deadline=Deadline("users are served again", 40))


def addresses(engine: PrivateEngine, site: DockerSite) -> list[str]:
    names = [f"{site.name}-{part}" for part in ("nginx", "app-blue", "app-green")]
    shown = engine.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", *names)
    return shown.stdout.decode().split()


@pytest.mark.parametrize("part", ["app-green", "app-blue", "nginx"])
def test_a_restarted_container_never_routes_users_wrong(shop: DockerSite, engine: PrivateEngine, part: str) -> None:
    with Witness(url_of(shop)) as witness:
        assert engine.docker("restart", f"{shop.name}-{part}").returncode == 0
        wait_until_users_are_served(shop)
        time.sleep(0.5)
    # While green was away, blue may have stood in, as itself.
    allowed = {("green", "green", "v1.1.0"), ("blue", "blue", "v1.0.0")}
    assert witness.answers
    assert set(witness.answers) <= (allowed if part == "app-green" else allowed - {("blue", "blue", "v1.0.0")})


@pytest.mark.parametrize("options", [("--live-restore",), ()], ids=["live-restore", "default"])
def test_a_restarted_engine_never_routes_users_wrong(
    shop: DockerSite, engine: PrivateEngine, options: tuple[str, ...]
) -> None:
    engine.restart(*options)
    # An engine that no longer has live-restore stops what ran under it, and starts none of it again.
    assert shop.cakravia("up").status == 0
    wait_until_users_are_served(shop)
    before = addresses(engine, shop)
    with Witness(url_of(shop)) as witness:
        engine.restart(*options)
        wait_until_users_are_served(shop)
        time.sleep(0.5)
    assert addresses(engine, shop) == before
    assert witness.answers
    # Containers come up one by one: blue may stand in until green does, as itself.
    assert set(witness.answers) <= {("green", "green", "v1.1.0"), ("blue", "blue", "v1.0.0")}
    assert witness.answers[-1] == ("green", "green", "v1.1.0")
    assert shop.open().observe().drift == ()


def test_an_engine_restarted_in_the_middle_of_a_release_leaves_a_site_that_the_next_release_can_use(
    shop: DockerSite, engine: PrivateEngine
) -> None:
    engine.restart("--live-restore")
    assert shop.cakravia("up").status == 0
    wait_until_users_are_served(shop)
    command = [sys.executable, "-m", "pytest", "suites/deploy", "--site", str(shop.file), "-p", "no:cacheprovider"]
    release = subprocess.Popen(
        [*command, "--version", "v1.2.0", "--bake", "4"], cwd=shop_root(), stdout=subprocess.PIPE, text=True
    )
    poll(lambda: running(engine, f"{shop.name}-app-blue", "v1.2.0"), deadline=Deadline("the candidate runs", 30))
    engine.restart("--live-restore")
    output, _ = release.communicate(timeout=100)
    assert "INTERNALERROR" not in output
    state = shop.open().observe()
    assert state.drift == (), output
    assert state.active is not None
    ended = shop.deploy("v1.3.0")
    assert ended.status == 0, ended.output


def shop_root() -> Path:
    from tests.docker.docker_stage import REPOSITORY

    return REPOSITORY


def running(engine: PrivateEngine, name: str, version: str) -> bool:
    shown = engine.docker("inspect", "-f", '{{index .Config.Labels "cakravia.version"}} {{.State.Running}}', name)
    return shown.stdout.decode().split() == [version, "true"]


def test_a_disk_that_fills_up_while_building_is_named_and_users_are_unharmed(
    shop: DockerSite, engine: PrivateEngine, tmp_path: Path
) -> None:
    engine.stop()
    full = PrivateEngine(folder=tmp_path / "e", name=engine.name)
    full.folder.mkdir()
    (full.folder / "data").mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(full.folder / "data")], check=True, capture_output=True
    )
    try:
        full.start()
        full.copy_image(base_of("nginx"))
        context = tmp_path / "large"
        context.mkdir()
        (context / "Dockerfile").write_text(
            "ARG BASE\nFROM ${BASE}\nRUN head -c 800000000 /dev/zero >/large\nUSER 1000\n"
        )
        site = shop.open(
            ("docker.host", full.host),
            ("docker.context", str(context)),
            ("docker.build_args", {"BASE": base_of("nginx")}),
            ("site.state", str(tmp_path / "s")),
        )
        with pytest.raises(Exception, match=r"(?i)no space left on device") as raised:
            site.platform.build("v9.9.9", deadline=Deadline("the build ends", 60))
        assert "free space" in str(raised.value)
    finally:
        full.stop()
        subprocess.run(["umount", str(full.folder / "data")], check=False, capture_output=True)
        engine.start("--live-restore")
    assert shop.open().platform.observe(Colour.GREEN) is not None
