"""Restarts and trouble of slots, proxy and engine: users are never routed wrong, and the next release works."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest

from cakravia_verify.gate.model import Exit
from cakravia_verify.kinds import SUITES
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline, poll
from cakravia_verify.testing.throwaway_site import Ended
from tests.platforms.docker.docker_stage import DockerSite, base_of
from tests.platforms.docker.private_engine import THERE, PrivateEngine, missing
from tests.ports import free_ports

if TYPE_CHECKING:
    from docker import DockerClient

# The proxy may leave a slot out for some seconds after it came back, so one answer says little.
STEADY = 40
WAYS_BACK = ("recover", *(pytest.param(way, marks=pytest.mark.slow) for way in ("up", "deploy")))


@pytest.fixture(scope="module")
def engine(client: DockerClient) -> Iterator[PrivateEngine]:
    """An engine that may be restarted, with the bases that a Node server and a proxy need."""
    if reason := missing():
        pytest.skip(reason)
    engine = PrivateEngine()
    try:
        engine.connect_cable()
        engine.bound("800m")
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
    text = site.settings.read_text().replace("{users}", str(site.users)).replace('"127.0.0.1:', '"0.0.0.0:')
    text = text.replace("[slots]", f'[slots]\nhost = "{THERE}"').replace("blue =", f"blue = {blue} #")
    site.settings.write_text(text.replace("green =", f"green = {green} #"))
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
    return f"http://{THERE}:{site.users}/"


def wait_until_users_are_served(site: DockerSite) -> None:
    """By the slot that they are sent to, not by one that stands in: many times in a row."""
    chosen = site.open().proxy.observe().chosen

    def served() -> bool:
        try:
            answers = [httpx.get(url_of(site), timeout=2, trust_env=False) for _ in range(STEADY)]
            return all(answer.headers.get("X-Served-Slot") == chosen for answer in answers)
        except httpx.HTTPError:
            return False

    poll(served, deadline=Deadline("users are served again", 40))


def addresses(engine: PrivateEngine, site: DockerSite) -> list[str]:
    names = [f"{site.name}-{part}" for part in ("nginx", "app-blue", "app-green")]
    shown = engine.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", *names)
    return shown.stdout.decode().split()


@pytest.mark.parametrize("part", ["app-green", "nginx", pytest.param("app-blue", marks=pytest.mark.slow)])
def test_a_restarted_container_never_routes_users_wrong(shop: DockerSite, engine: PrivateEngine, part: str) -> None:
    with Witness(url_of(shop)) as witness:
        assert engine.docker("restart", f"{shop.name}-{part}").returncode == 0
        wait_until_users_are_served(shop)
        time.sleep(0.5)
    # While green was away, blue may have stood in, as itself.
    allowed = {("green", "green", "v1.1.0"), ("blue", "blue", "v1.0.0")}
    assert witness.answers
    assert set(witness.answers) <= (allowed if part == "app-green" else allowed - {("blue", "blue", "v1.0.0")})


def run_with(engine: PrivateEngine, site: DockerSite, options: tuple[str, ...]) -> None:
    if engine.options != options:
        engine.restart(*options)
        # An engine that no longer has live-restore stops what ran under it, and starts none of it again.
        assert site.cakravia("up").status == 0
    wait_until_users_are_served(site)


def identities(engine: PrivateEngine, site: DockerSite) -> list[str]:
    """Which processes run: a container that was restarted is another."""
    names = [f"{site.name}-{part}" for part in ("nginx", "app-blue", "app-green")]
    return engine.docker("inspect", "-f", "{{.Id}} {{.State.StartedAt}}", *names).stdout.decode().splitlines()


def cut_off(engine: PrivateEngine, site: DockerSite, *parts: str) -> None:
    for part in parts:
        assert engine.docker("network", "disconnect", "--force", site.name, f"{site.name}-{part}").returncode == 0


@pytest.mark.parametrize("part", ["app-green", "nginx"])
def test_a_container_cut_off_from_the_network_is_brought_back_by_recover(
    shop: DockerSite, engine: PrivateEngine, part: str
) -> None:
    before, there = identities(engine, shop), addresses(engine, shop)
    with Witness(url_of(shop)) as witness:
        cut_off(engine, shop, part)
        told = shop.cakravia("recover")
        assert told.status == 0, told.output
        assert f"{shop.name}-{part} had lost network {shop.name}" in told.output
        wait_until_users_are_served(shop)
    assert set(witness.answers) <= {("green", "green", "v1.1.0"), ("blue", "blue", "v1.0.0")}
    assert shop.open().observe().drift == ()
    assert (identities(engine, shop), addresses(engine, shop)) == (before, there)


OPTIONS = [pytest.param(("--live-restore",), id="live-restore"), pytest.param((), id="default")]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_restarted_engine_never_routes_users_wrong(
    shop: DockerSite, engine: PrivateEngine, options: tuple[str, ...]
) -> None:
    run_with(engine, shop, options)
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


def released_with(
    site: DockerSite, trouble: Callable[[], object], *, version: str, when: Callable[[], bool], bake: int = 1
) -> Ended:
    """How a release ended that the trouble came upon."""
    arguments = (*site.site, "--version", version, "--bake", str(bake))
    running = site.begin_pytest(str(SUITES / "deploy"), *arguments)
    poll(when, deadline=Deadline("the release comes to where trouble waits", 30))
    trouble()
    return running.wait()


@pytest.mark.parametrize(
    "options",
    [pytest.param((), id="default"), pytest.param(("--live-restore",), id="live-restore", marks=pytest.mark.slow)],
)
def test_an_engine_restart_during_a_release_leaves_users_on_a_healthy_slot(
    shop: DockerSite, engine: PrivateEngine, options: tuple[str, ...]
) -> None:
    run_with(engine, shop, options)
    before = shop.open().observe().slots
    assert before.active is not None
    restart = partial(engine.restart, *options)
    if options:
        is_staged = partial(runs, engine, shop, before.idle_colour, "v1.2.0")
        ended = released_with(shop, restart, version="v1.2.0", when=is_staged)
    else:
        ended = released_with(shop, restart, version="v1.2.0", when=partial(serves, shop, "v1.2.0"), bake=4)
    # With live-restore the candidate lived on; whether users noticed decides.
    assert ended.status in (Exit.ROLLED_BACK, *((Exit.PROMOTED,) if options else ())), ended.output
    assert "unclosed" not in ended.output
    after = shop.open().observe()
    assert after.drift == (), ended.output
    assert after.active is not None
    assert after.active.version == ("v1.2.0" if ended.status == Exit.PROMOTED else before.active.version)


@pytest.mark.slow
def test_the_release_after_an_engine_restart_during_one_is_promoted(shop: DockerSite) -> None:
    ended = shop.deploy("v1.3.0")
    assert ended.status == Exit.PROMOTED, ended.output


def runs(engine: PrivateEngine, site: DockerSite, colour: Colour, version: str) -> bool:
    name = f"{site.name}-app-{colour}"
    shown = engine.docker("inspect", "-f", '{{index .Config.Labels "cakravia.version"}} {{.State.Running}}', name)
    return shown.stdout.decode().split() == [version, "true"]


def serves(site: DockerSite, version: str) -> bool:
    try:
        answer = httpx.get(url_of(site), timeout=2, trust_env=False)
        return bool(answer.headers.get("X-Deployment-Version") == version)
    except httpx.HTTPError:
        return False


def everything(engine: PrivateEngine) -> tuple[set[str], set[str]]:
    """All containers and images of the engine, by their ids."""
    containers = engine.docker("ps", "--all", "--quiet").stdout.decode()
    return set(containers.split()), set(engine.docker("images", "--all", "--quiet").stdout.decode().split())


@pytest.mark.slow
def test_a_full_disk_fails_the_release_and_changes_nothing_else(shop: DockerSite, engine: PrivateEngine) -> None:
    before, there = shop.open().observe(), everything(engine)
    with engine.filled():
        ended = shop.deploy("v9.9.9")
    assert ended.status == Exit.ROLLED_BACK, ended.output
    assert "no space left on device" in ended.output
    assert "free space in the engine's data folder" in ended.output
    assert shop.verdict()["evidence"]["measured"]["lost"] == 0
    after = shop.open().observe()
    assert (after.slots, after.served, after.drift) == (before.slots, before.served, ())
    assert everything(engine) == there


def test_users_can_be_moved_on_a_full_disk(shop: DockerSite, engine: PrivateEngine) -> None:
    site = shop.open()
    chosen = site.proxy.observe().chosen
    with engine.filled():
        for colour in (chosen.other, chosen):
            site.proxy.point_at(colour, deadline=Deadline("users are moved", 10))
            assert httpx.get(url_of(shop), trust_env=False).headers["X-Served-Slot"] == colour


# Last: engine 20.10 leaves a dead container's address on the bridge when live-restore is switched off after this.
def remove_network(engine: PrivateEngine, site: DockerSite) -> None:
    cut_off(engine, site, "app-green", "app-blue", "nginx")
    assert engine.docker("network", "rm", site.name).returncode == 0


@pytest.mark.parametrize("way", WAYS_BACK)
def test_a_removed_network_is_in_the_status_and_created_again(
    shop: DockerSite, engine: PrivateEngine, way: str
) -> None:
    before, active = identities(engine, shop), shop.open().observe().active
    remove_network(engine, shop)
    told = shop.cakravia("status")
    assert told.status == 0, told.output
    assert f"drift: users get no answer from {active}" in told.output
    told = shop.deploy("v2.0.0") if way == "deploy" else shop.cakravia(way)
    assert told.status == 0, told.output
    assert f"had lost network {shop.name}" in told.output
    wait_until_users_are_served(shop)
    assert shop.open().observe().drift == ()
    assert way == "deploy" or identities(engine, shop) == before


@pytest.mark.slow
def test_recover_undoes_a_release_that_lost_its_network(shop: DockerSite, engine: PrivateEngine) -> None:
    before = shop.open().observe().active
    assert before is not None
    remove = partial(remove_network, engine, shop)
    ended = released_with(shop, remove, version="v3.0.0", when=partial(serves, shop, "v3.0.0"), bake=8)
    assert ended.status == Exit.NEEDS_A_PERSON, ended.output
    told = shop.cakravia("recover")
    assert told.status == 0, told.output
    wait_until_users_are_served(shop)
    after = shop.open().observe()
    assert (after.active and after.active.version, after.drift) == (before.version, ())
