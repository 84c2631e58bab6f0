"""An engine behind tcp://, and switches by reload: ways that are not the usual ones go through whole releases too."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from cakravia_verify.gate.model import Exit
from cakravia_verify.slots import Colour
from tests.platforms.docker.docker_stage import DockerSite

if TYPE_CHECKING:
    from docker import DockerClient

    from tests.platforms.docker.conftest import MakeSite

ENGINE = "/var/run/docker.sock"
BY_RELOAD = ("--set", "proxy.switch=reload", "--set", "budget.lost=40")


class Forwarder:
    """A port of this machine behind which the engine answers; an end that says no more is told to the other."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, socket.socket(socket.AF_UNIX) as far, selectors.DefaultSelector() as ready:
            far.connect(ENGINE)
            ready.register(near, selectors.EVENT_READ, far)
            ready.register(far, selectors.EVENT_READ, near)
            with contextlib.suppress(OSError):
                while ready.get_map():
                    for key, _ in ready.select():
                        source, sink = key.fileobj, key.data
                        assert isinstance(source, socket.socket)
                        if piece := source.recv(65536):
                            sink.sendall(piece)
                        else:
                            ready.unregister(source)
                            sink.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def forwarder(client: DockerClient) -> Iterator[Forwarder]:
    forwarder = Forwarder()
    yield forwarder
    forwarder.close()


@pytest.fixture(scope="module")
def shop(make_site: MakeSite, forwarder: Forwarder) -> DockerSite:
    site = make_site(
        application="node_app", base="node", profile="generic", more="", docker=f'host = "{forwarder.host}"'
    )
    for version in ("v1.0.0", "v1.1.0"):
        ended = site.deploy(version)
        assert ended.status == 0, ended.output
    return site


@pytest.mark.slow
def test_a_release_over_tcp_is_promoted_and_loses_nothing(shop: DockerSite) -> None:
    verdict = shop.verdict()
    assert verdict["decision"] == "PROMOTE"
    assert verdict["evidence"]["measured"]["lost"] == 0


@pytest.mark.slow
def test_proxy_and_application_testify_over_tcp(shop: DockerSite) -> None:
    names = {each.name for each in (shop.folder / "reports" / "latest").resolve().iterdir()}
    assert {"access.log", "application-blue.log", "application-green.log"} <= names


@pytest.mark.slow
def test_slots_behind_tcp_are_probed_at_their_published_ports(shop: DockerSite) -> None:
    site = shop.open()
    slot = site.platform.observe(Colour.GREEN)
    assert slot is not None
    assert slot.address == site.settings.slot_address(Colour.GREEN)
    assert httpx.get(f"{slot.address.url}/api/health", trust_env=False).headers["X-Deployment-Version"] == "v1.1.0"


# The last tests: from here on the site switches by reload.


@pytest.fixture(scope="module")
def reloaded(shop: DockerSite) -> DockerSite:
    """v1.2.0 on blue, after a switch of the classic way; what that loses is counted, and allowed here."""
    ended = shop.deploy("v1.2.0", *BY_RELOAD)
    assert ended.status == Exit.PROMOTED, ended.output
    return shop


@pytest.mark.slow
def test_a_switch_by_reload_brings_users_to_the_candidate(reloaded: DockerSite, client: DockerClient) -> None:
    assert httpx.get(reloaded.url, trust_env=False).headers["X-Deployment-Version"] == "v1.2.0"
    shown = client.containers.get(f"{reloaded.name}-nginx").exec_run(["cat", "/srv/proxy/conf/upstream.conf"])
    assert b"# active: blue" in shown.output


@pytest.mark.slow
def test_the_requests_lost_by_a_reload_are_reported(reloaded: DockerSite) -> None:
    measured = reloaded.verdict()["evidence"]["measured"]
    assert measured["sent"] == measured["answered"] + measured["lost"] >= 50
    assert measured["fence_violations"] == 0
    assert [check for check in reloaded.verdict()["checks"] if "40" in check["threshold"]]


@pytest.mark.slow
def test_a_rollback_by_reload_and_a_release_by_flag_after_it_work(reloaded: DockerSite) -> None:
    back = reloaded.roll_back(*BY_RELOAD)
    assert back.status == Exit.PROMOTED, back.output
    ended = reloaded.deploy("v1.3.0")
    assert ended.status == Exit.PROMOTED, ended.output
    assert reloaded.open().observe().drift == ()
