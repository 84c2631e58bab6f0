"""Large answers to slow clients and parallel large uploads, through the proxy's container with its small memory."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest

from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline, poll

if TYPE_CHECKING:
    from docker import DockerClient

    from tests.platforms.docker.conftest import MakeSite
    from tests.platforms.docker.docker_stage import DockerSite

SLOW_CLIENTS = 20


def soon(seconds: float = 30.0) -> Deadline:
    return Deadline("the test's own patience", seconds)


@pytest.fixture(scope="module")
def site(make_site: MakeSite) -> DockerSite:
    made = make_site()
    opened = made.open()
    slot = opened.platform.start(
        Colour.BLUE, opened.platform.build("v1.0.0", deadline=soon(60)), release="r", deadline=soon()
    )
    poll(lambda: all(reading.is_healthy for reading in opened.readings(slot)), deadline=soon())
    opened.proxy.start(Colour.BLUE, deadline=soon())
    return made


def bytes_received(port: int, size: int) -> int:
    """Download with a small window and pauses. Return the number of bytes of the body."""
    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.settimeout(60)
        client.connect(("127.0.0.1", port))
        client.sendall(f"GET /api/download?bytes={size} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += client.recv(1 << 16)
        count = len(received.split(b"\r\n\r\n", 1)[1])
        for part in range(1 << 20):
            if part % 50 == 0:
                time.sleep(0.02)
            more = len(client.recv(1 << 16))
            if not more:
                return count
            count += more
        return count


def test_a_large_download_reaches_many_slow_clients_whole(site: DockerSite) -> None:
    size = 90_000_000
    with ThreadPoolExecutor(SLOW_CLIENTS) as pool:
        counts = list(pool.map(lambda _: bytes_received(site.users, size // SLOW_CLIENTS), range(SLOW_CLIENTS)))
        assert counts == [size // SLOW_CLIENTS] * SLOW_CLIENTS
    assert bytes_received(site.users, size) == size


def test_three_parallel_uploads_of_40_mb_arrive_whole(site: DockerSite, client: DockerClient) -> None:
    body = os.urandom(40_000_000)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: httpx.post(f"{site.url}/api/upload", content=body, timeout=60), range(3)))
    expected = hashlib.sha256(body).hexdigest()
    assert [answer.json()["sha256"] for answer in answers] == [expected] * 3
    state = client.containers.get(f"{site.name}-nginx").attrs["State"]
    assert not state["OOMKilled"]
