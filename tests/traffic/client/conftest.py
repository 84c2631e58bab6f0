"""Servers that misbehave exactly as told, and a way to send to them without Locust."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import gevent
import pytest

from cakravia_verify.system.clock import Microseconds
from cakravia_verify.traffic.client.strict import StrictClient
from cakravia_verify.traffic.client.timer import now_us
from cakravia_verify.traffic.generator.generator import Generator
from cakravia_verify.traffic.plan.mix import MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.plan.schedule import Arrival
from cakravia_verify.traffic.records.rows import REQUESTS_FILE, Row, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class RawServer:
    """A TCP server on loopback; for each request calls `handle(socket, number, head, body)` until it returns False.

    `number` is the one in the request's id. What a handler does to the socket is what the client sees.
    """

    def __init__(
        self,
        handle: Callable[[socket.socket, int, bytes, bytes], bool],
        *,
        reads_body: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._handle = handle
        self._tls = tls
        self._reads_body = reads_body
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(accepted)
            thread = threading.Thread(target=self._serve, args=(accepted,), daemon=True)
            thread.start()

    def _serve(self, accepted: socket.socket) -> None:
        data = b""
        with contextlib.suppress(OSError, ValueError):
            if self._tls is not None:
                accepted = self._tls.wrap_socket(accepted, server_side=True)
            while True:
                while b"\r\n\r\n" not in data:
                    more = accepted.recv(65536)
                    if not more:
                        raise ValueError("closed by the client")
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                size = int(header(head, b"content-length") or 0)
                while self._reads_body and len(data) < size:
                    more = accepted.recv(65536)
                    if not more:
                        raise ValueError("closed by the client")
                    data += more
                number = int(header(head, b"x-request-id").rpartition(b"-")[2].partition(b"~")[0])
                body, data = (data[:size], data[size:]) if self._reads_body else (data, b"")
                if not self._handle(accepted, number, head, body):
                    break
        self._open.discard(accepted)
        accepted.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        for accepted in list(self._open):
            with contextlib.suppress(OSError):
                accepted.shutdown(socket.SHUT_RDWR)


def header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return b""


def reset(connection: socket.socket) -> None:
    """Closes with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Serve(Protocol):
    def __call__(
        self,
        handle: Callable[[socket.socket, int, bytes, bytes], bool],
        *,
        reads_body: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> RawServer: ...


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[RawServer] = []

    def start(
        handle: Callable[[socket.socket, int, bytes, bytes], bool],
        *,
        reads_body: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> RawServer:
        servers.append(RawServer(handle, reads_body=reads_body, tls=tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


class Sender:
    """One strict client, one request after the other; `rows` are what it recorded."""

    def __init__(self, folder: Path, url: str, *mix: MixEntry, **settings: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        plan = TrafficPlan(url=url, records=str(folder), run="t", mix=mix, **settings)  # type: ignore[arg-type]
        self.generator = Generator(plan)
        self._client = StrictClient(self.generator.run)

    def send(self, number: int, entry: int = 0) -> None:
        gevent.spawn(self._client.send, Arrival(number, now_us(), entry)).get()

    def send_all(self, count: int) -> None:
        """In one greenlet, without a pause between the requests."""

        def work() -> None:
            for number in range(count):
                self._client.send(Arrival(number, now_us(), 0))

        gevent.spawn(work).get()

    def finish(self) -> list[Row]:
        self._client.close()
        self.generator.close("asked")
        self.generator.timer.close()
        return read_rows(self.folder / REQUESTS_FILE)


class MakeSender(Protocol):
    def __call__(self, url: str, *mix: MixEntry, **settings: object) -> Sender: ...


@pytest.fixture
def sender(tmp_path: Path) -> MakeSender:
    made: list[Sender] = []

    def make(url: str, *mix: MixEntry, **settings: object) -> Sender:
        made.append(Sender(tmp_path / str(len(made)), url, *(mix or (MixEntry("page"),)), **settings))
        return made[-1]

    return make


class RunLoad(Protocol):
    def __call__(self, seconds: float, *, during: Callable[[], None] | None = None, **plan: object) -> Load: ...


class Load:
    """A whole run of a plan in this process: rows, and the summary that was written."""

    def __init__(self, rows: list[Row], summary: dict[str, object], begun: Microseconds) -> None:
        self.rows = rows
        self.summary = summary
        self.begun = begun


@pytest.fixture
def run_load(tmp_path: Path) -> RunLoad:
    def run(seconds: float, *, during: Callable[[], None] | None = None, **settings: object) -> Load:
        folder = tmp_path / "load"
        folder.mkdir()
        plan = TrafficPlan(records=str(folder), run="t", **settings)  # type: ignore[arg-type]
        generator = Generator(plan, more_users=lambda: users.append(gevent.spawn(generator.serve)))
        users = [gevent.spawn(generator.serve) for _ in range(plan.users)]
        gevent.sleep(0)
        begun = now_us()
        generator.begin()
        beside = gevent.spawn(during) if during else None
        gevent.sleep(seconds)
        if beside is not None:
            beside.get()
        generator.finish("asked", grace=plan.longest_timeout)
        gevent.joinall(users, timeout=5)
        generator.timer.close()
        return Load(read_rows(folder / REQUESTS_FILE), generator.summary("asked"), begun)

    return run
