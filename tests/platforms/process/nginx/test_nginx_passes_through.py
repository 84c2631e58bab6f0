"""What goes through the real nginx untouched: streams, WebSockets and large bodies, over a switch as well."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.clock import poll
from tests.platforms.process.nginx.conftest import deadline, free_port, kill_all

EXAMPLES = Path(__file__).parents[4] / "examples"
LARGE = 20_000_000


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNginx]:
    """Two reference applications behind one nginx; users are on blue."""
    folder = tmp_path_factory.mktemp("through")
    addresses = {colour: Address("127.0.0.1", free_port()) for colour in Colour}
    with contextlib.ExitStack() as stack:
        for colour, address in addresses.items():
            stack.callback(end, start(colour, address, folder))
        settings = ProxySettings(listen=f"127.0.0.1:{free_port()}")
        proxy = LocalNginx(settings, folder=folder / "nginx", upstreams=addresses)
        stack.callback(kill_all, folder / "nginx")
        for address in addresses.values():
            poll(lambda address=address: is_up(address), deadline=deadline(20), every=0.05)  # type: ignore[misc]
        proxy.start(Colour.BLUE, deadline=deadline())
        yield proxy


def start(colour: Colour, address: Address, folder: Path) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": str(address.port),
        "DEPLOYMENT_SLOT": str(colour),
        "APP_VERSION": "v1",
        "DATA_DIR": str(folder / "data"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    output = (folder / f"{colour}.log").open("wb")
    with output:
        return subprocess.Popen(
            [sys.executable, "-m", "reference_app"], cwd=EXAMPLES, env=environment, stdout=output, stderr=output
        )


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def is_up(address: Address) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{address.url}/api/health/ready", timeout=2).status_code == 200
    return False


@pytest.fixture
def on_blue(proxy: LocalNginx) -> LocalNginx:
    proxy.point_at(Colour.BLUE, deadline=deadline())
    return proxy


@pytest.fixture
def client(on_blue: LocalNginx) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=on_blue.address.url, timeout=30, trust_env=False) as client:
        yield client


def test_a_large_upload_arrives_whole(client: httpx.Client) -> None:
    body = os.urandom(LARGE)
    answer = client.post("/api/upload", content=body)
    assert answer.json() == {"bytes": LARGE, "sha256": hashlib.sha256(body).hexdigest()}


def test_an_upload_without_a_length_arrives_whole(client: httpx.Client) -> None:
    body = os.urandom(3_000_000)
    pieces = (body[at : at + 70_000] for at in range(0, len(body), 70_000))
    assert client.post("/api/upload", content=pieces).json()["sha256"] == hashlib.sha256(body).hexdigest()


def test_an_upload_larger_than_allowed_is_refused_by_the_proxy(on_blue: LocalNginx) -> None:
    connection = http.client.HTTPConnection(on_blue.address.host, on_blue.address.port, timeout=10)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/api/upload")
        connection.putheader("Content-Length", str(65 * 2**20))
        connection.endheaders()
        assert connection.getresponse().status == 413


@pytest.mark.parametrize("chunked", [0, 1])
def test_a_large_download_arrives_whole(client: httpx.Client, chunked: int) -> None:
    answer = client.get("/api/download", params={"bytes": LARGE, "chunked": chunked})
    assert len(answer.content) == LARGE
    assert answer.headers["X-Served-Slot"] == "blue"


def test_an_event_stream_arrives_event_by_event_and_survives_a_switch(
    client: httpx.Client, on_blue: LocalNginx
) -> None:
    slots: list[Any] = []
    with client.stream("GET", "/api/events", params={"seconds": 20, "every": 0.05}) as answer:
        for line in answer.iter_lines():
            if not line.startswith("data: "):
                continue
            slots.append("blue" if '"blue"' in line else line)
            if len(slots) == 2:
                on_blue.point_at(Colour.GREEN, deadline=deadline())
                assert httpx.get(f"{on_blue.address.url}/", trust_env=False).headers["X-Served-Slot"] == "green"
            if len(slots) == 6:
                break
    assert slots == ["blue"] * 6


def test_a_websocket_stays_on_its_slot_and_the_next_goes_to_the_other(on_blue: LocalNginx) -> None:
    url = f"ws://{on_blue.address}/api/ws"
    with connect(url, proxy=None) as socket:
        socket.send("before")
        assert socket.recv(timeout=10) == "before"
        on_blue.point_at(Colour.GREEN, deadline=deadline())
        socket.send(b"after")
        assert socket.recv(timeout=10) == b"after"
        assert socket.response is not None
        assert socket.response.headers["X-Served-Slot"] == "blue"
    with connect(url, proxy=None) as socket:
        assert socket.response is not None
        assert socket.response.headers["X-Served-Slot"] == "green"


def test_host_and_address_of_the_user_reach_the_application(client: httpx.Client) -> None:
    answer = client.get("/", headers={"Host": "shop.example"})
    assert answer.status_code == 200
    assert answer.headers["X-Deployment-Slot"] == "blue"
