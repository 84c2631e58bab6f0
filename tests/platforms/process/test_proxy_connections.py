"""What is in flight on a slot: requests that came through the proxy, and no connection of anybody else."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.platforms.process.slots import ProcessPlatform
from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.slots import Colour, Slot
from cakravia_verify.system.clock import poll
from tests.platforms.process.conftest import deadline
from tests.ports import free_ports

Ask = Callable[[Slot, str], str]


@pytest.fixture
def proxy(settings: Settings, started: Slot) -> Iterator[LocalNginx]:
    """nginx, with users on blue."""
    front = ProxySettings(listen=f"127.0.0.1:{free_ports(1)[0]}", upstream_idle=0.3)
    upstreams = {colour: settings.slot_address(colour) for colour in Colour}
    nginx = LocalNginx(front, folder=settings.state / "nginx", upstreams=upstreams)
    nginx.start(Colour.BLUE, deadline=deadline(30))
    yield nginx
    nginx.stop(deadline=deadline(30))


def monitor(slot: Slot) -> socket.socket:
    """A client that asked the slot directly, and keeps its connection."""
    kept = socket.create_connection((slot.address.host, slot.address.port))
    kept.sendall(b"GET / HTTP/1.1\r\nHost: slot\r\n\r\n")
    assert kept.recv(100).startswith(b"HTTP/1.1 200")
    return kept


def test_a_monitor_with_a_kept_connection_is_not_in_flight(
    started: Slot, platform: ProcessPlatform, proxy: LocalNginx
) -> None:
    with monitor(started), socket.create_connection((started.address.host, started.address.port)):
        assert platform.connections(Colour.BLUE) == 0


def test_a_slow_request_through_the_proxy_is_in_flight_until_its_answer(
    started: Slot, platform: ProcessPlatform, proxy: LocalNginx
) -> None:
    answers: list[bytes] = []

    def ask_slowly() -> None:
        with urllib.request.urlopen(f"{proxy.address.url}/slow", timeout=20) as answer:  # noqa: S310
            answers.append(answer.read())

    asking = threading.Thread(target=ask_slowly)
    with monitor(started):
        asking.start()
        poll(lambda: platform.connections(Colour.BLUE) == 1, deadline=deadline(), every=0.01)
        assert not answers
        assert platform.connections(Colour.GREEN) == 0
        asking.join()
        poll(lambda: platform.connections(Colour.BLUE) == 0, deadline=deadline(), every=0.01)
    assert answers == [b"slow"]


def test_without_a_proxy_nothing_is_in_flight(started: Slot, platform: ProcessPlatform, settings: Settings) -> None:
    with monitor(started):
        assert platform.connections(Colour.BLUE) == 0
    assert not Path(settings.state / "nginx").exists()
