"""The real nginx in front of two small servers that say who they are."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.proxy.nginx.site_facts import SiteFacts
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.clock import Deadline
from tests.ports import free_ports

DEBIAN_NGINX = Path("/usr/sbin/nginx")


def deadline(seconds: float = 15.0) -> Deadline:
    return Deadline("the test's own patience", seconds)


class Handler(BaseHTTPRequestHandler):
    """Answers with its slot's name; some paths misbehave."""

    protocol_version = "HTTP/1.1"
    server: Backend

    def do_GET(self) -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        self.server.headers.update(self.headers.keys())
        if self.path == "/breaks":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if self.path == "/slow":
            self.server.entered.set()
            self.server.may_go_on.wait(20)
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        status = 404 if self.path == "/nothing" else 200
        if self.path == "/tls-only":
            headers = (self.headers["X-Forwarded-Proto"], self.headers["X-Forwarded-Port"])
            status = 200 if headers == ("https", "443") else 301
        if self.path.startswith("/status/"):
            status = int(self.path.removeprefix("/status/"))
        told = {"slot": self.server.slot, "received": length, "headers": dict(self.headers.items())}
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Served-Slot", "purple")
        for wanted in self.headers.get_all("X-Answer-With", []):
            self.send_header(*wanted.split(": ", 1))
        if self.path.startswith("/cookies/"):
            self.send_header("Set-Cookie", "s=" + "x" * int(self.path.removeprefix("/cookies/")))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - the names are the protocol's

    def log_message(self, *arguments: object) -> None:
        pass


class Backend(ThreadingHTTPServer):
    """One slot."""

    daemon_threads = True
    request_queue_size = 128
    all_of_them: ClassVar[list[Backend]] = []

    def __init__(self, slot: str, *, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.slot = slot
        self.seen: list[str] = []
        self.headers: set[str] = set()
        self.entered = threading.Event()
        self.may_go_on = threading.Event()
        self.opened: list[socket.socket] = []
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.server_port)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    def process_request(self, request: Any, client_address: Any) -> None:
        self.opened.append(request)
        super().process_request(request, client_address)

    def end(self) -> None:
        self.may_go_on.set()
        self.shutdown()
        self.server_close()
        for connection in self.opened:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.thread.join()


@dataclass
class Answered:
    """One answer through the proxy."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def slot(self) -> str:
        return str(json.loads(self.body)["slot"])

    @property
    def served_slot(self) -> list[str] | None:
        return self.headers.get_all("X-Served-Slot")


@dataclass
class Front:
    """An nginx, its two slots and a way to ask it."""

    blue: Backend
    green: Backend
    folder: Path
    port: int
    binary: str
    facts: SiteFacts = field(default_factory=SiteFacts)
    made: list[LocalNginx] = field(default_factory=list)

    def nginx(self, **settings: Any) -> LocalNginx:
        """The proxy as a process would open it, under these settings."""
        listen = f"127.0.0.1:{self.port}"
        upstreams = {Colour.BLUE: self.blue.address, Colour.GREEN: self.green.address}
        proxy = LocalNginx(
            ProxySettings(**{"listen": listen, "nginx": self.binary, **settings}),
            folder=self.folder,
            upstreams=upstreams,
            facts=self.facts,
        )
        self.made.append(proxy)
        return proxy

    def ask(
        self, path: str = "/", *, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            return ask_over(connection, path, method=method, body=body, headers=headers)

    @property
    def master(self) -> int:
        return int((self.folder / "nginx.pid").read_text())


def ask_over(
    connection: http.client.HTTPConnection,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answered:
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    return Answered(answer.status, answer.headers, answer.read())


def free_port() -> int:
    """Return a port that no other test has, and no outgoing connection takes."""
    return free_ports(1)[0]


@pytest.fixture(params=["wheel", "debian"])
def front(request: pytest.FixtureRequest) -> Iterator[Front]:
    if request.param == "debian" and not DEBIAN_NGINX.exists():
        pytest.skip(f"there is no {DEBIAN_NGINX} here: apt-get install nginx-light")
    blue, green = Backend("blue"), Backend("green")
    # Short: nginx's title, by which a lost master is found, has no room for long paths everywhere.
    folder = Path(tempfile.mkdtemp(prefix="nginx-"))
    binary = str(DEBIAN_NGINX) if request.param == "debian" else ""
    front = Front(blue, green, folder / "proxy", free_port(), binary)
    yield front
    kill_all(front.folder)
    for backend in (blue, green):
        backend.end()
    shutil.rmtree(folder, ignore_errors=True)


def kill_all(folder: Path) -> None:
    """Every nginx process that has files in the folder is gone."""
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error, OSError):
            if process.info["name"] == "nginx" and any(
                # A file whose folder a test removed has a mark behind its path.
                link.readlink().is_relative_to(folder)
                for link in Path(f"/proc/{process.pid}/fd").iterdir()
            ):
                os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def running(front: Front) -> LocalNginx:
    """A proxy that sends users to blue."""
    proxy = front.nginx()
    proxy.start(Colour.BLUE, deadline=deadline())
    return proxy
