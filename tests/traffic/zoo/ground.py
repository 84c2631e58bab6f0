"""A real nginx in front of two real reference applications, and every kind of traffic there is."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.settings.names import Redirect
from cakravia_verify.settings.own_nginx import PathSettings
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.settings.skew import SkewSettings
from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.clock import SYSTEM_CLOCK, Deadline, poll
from cakravia_verify.traffic.plan.mix import CHECKSUM_HEADER, SEQUENCE, Body, MixEntry
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.run import TrafficRun
from tests.ports import free_ports

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
OPENSSL = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
    *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
)
UPSTREAM_IDLE = 0.6
"""Seconds that nginx keeps an idle connection to a slot: short, so that many of them end within a course."""
_CLOSE = (("Connection", "close"),)
_KEYED = (("Idempotency-Key", "{id}"),)

ZOO = (
    MixEntry("get", weight=10),
    MixEntry("get, fresh connection", weight=5, headers=_CLOSE),
    MixEntry("head", "HEAD", weight=3),
    MixEntry("not modified", path="/static/site.css", weight=3, headers=(("If-None-Match", "*"),), expected=(304,)),
    MixEntry(
        "range",
        path="/api/download?bytes=9000",
        weight=3,
        headers=(("Range", "bytes=100-4099"),),
        expected=(206,),
        verify=CHECKSUM_HEADER,
    ),
    MixEntry("gzip", path="/api/catalogue", weight=3, headers=(("Accept-Encoding", "gzip"),), verify=CHECKSUM_HEADER),
    MixEntry("post", "POST", "/api/orders", weight=8, headers=_KEYED, body=Body("order")),
    MixEntry("post, fresh connection", "POST", "/api/orders", weight=4, headers=_KEYED + _CLOSE, body=Body("order")),
    MixEntry("put", "PUT", "/api/orders/{id}", weight=4, body=Body("order")),
    MixEntry("delete", "DELETE", "/api/orders/{id}", weight=4, expected=(200, 204, 404)),
    MixEntry("echo", "POST", "/api/echo", weight=4, body=Body("random", size=2048), verify="echo"),
    MixEntry(
        "chunked upload", "POST", "/api/echo", weight=4, body=Body("random", size=9000, chunked=True), verify="echo"
    ),
    MixEntry("chunked download", path="/api/download?bytes=20000&chunked=1", weight=4, verify=CHECKSUM_HEADER),
    MixEntry("large upload", "POST", "/api/upload", weight=2, body=Body("random", size=1 << 20)),
    MixEntry("large download", path="/api/download?bytes=2000000", weight=2, verify=CHECKSUM_HEADER),
    MixEntry(
        "expect",
        "POST",
        "/api/upload",
        weight=3,
        headers=(("Expect", "100-continue"),),
        body=Body("random", size=1 << 16),
    ),
    MixEntry("slow", path="/api/slow?seconds=1", weight=4),
    MixEntry("long poll", path="/api/poll?seconds=1.5", weight=3),
    MixEntry(
        "events",
        path="/api/events?seconds=60&every=0.1",
        weight=3,
        stream="events",
        timeout=2.0,
        verify=SEQUENCE,
    ),
    MixEntry("websocket", path="/api/ws", weight=3, stream="websocket", timeout=2.0, every=0.1),
    MixEntry(
        "journey: order",
        "POST",
        "/api/orders",
        weight=3,
        headers=_KEYED,
        body=Body("order"),
        steps=(
            MixEntry("journey: look", path="/api/orders/{journey}", pause=0.05),
            MixEntry(
                "journey: change", "PUT", "/api/orders/{journey}", body=Body("text", text='{"item":"teh","quantity":2}')
            ),
            MixEntry("journey: cancel", "DELETE", "/api/orders/{journey}"),
        ),
    ),
)
STREAMS = ("events", "websocket")
BYSTANDERS = ("pipelining", "long idle", "HTTP/2")
SHORT = tuple(request.name for entry in ZOO if entry.name not in STREAMS for request in (entry, *entry.steps))


def patience(seconds: float = 20.0) -> Deadline:
    return Deadline("the test's own patience", seconds)


@dataclass
class Ground:
    """nginx at `url` (and `tls`), blue and green behind it. `instants` are CLOCK_MONOTONIC microseconds by name."""

    folder: Path
    proxy: LocalNginx
    addresses: dict[Colour, Address]
    tls: str = ""
    apps: dict[Colour, subprocess.Popen[bytes]] = field(default_factory=dict)
    instants: dict[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Ground:
        """Both slots run and are ready; users are on blue."""
        listen, tls, blue, green = free_ports(4)
        addresses = {Colour.BLUE: Address("127.0.0.1", blue), Colour.GREEN: Address("127.0.0.1", green)}
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        subprocess.run(
            [*OPENSSL, "-keyout", str(key), "-out", str(certificate)],
            check=True,
            capture_output=True,
        )
        settings = ProxySettings(
            listen=f"127.0.0.1:{listen}",
            workers=1,
            upstream_idle=UPSTREAM_IDLE,
            tls_listen=f"127.0.0.1:{tls}",
            tls_certificate=str(certificate),
            tls_key=str(key),
            # All other tests have the defaults. Here every request passes what names, compression, open pages and own
            # paths add.
            server_names=("127.0.0.1", "x"),
            strangers="close",
            redirects=(Redirect.model_validate({"from": "/old/*", "to": "/new/*"}),),
            gzip=True,
            skew=SkewSettings(header="x-deployment-id", query="dpl"),
            assets=("/_next/static/",),
            path=(PathSettings(path="/api/upload", max_body="1g"),),
        )
        ground = cls(folder, LocalNginx(settings, folder=folder / "nginx", upstreams=addresses), addresses)
        ground.tls = f"https://127.0.0.1:{tls}"
        try:
            for colour in Colour:
                ground.start(colour)
            for colour in Colour:
                ground.wait_until_ready(colour)
            ground.proxy.start(Colour.BLUE, deadline=patience())
            ground.proxy.set_failover(allowed=False)
        except BaseException:
            ground.close()
            raise
        return ground

    def start(self, colour: Colour) -> None:
        environment = os.environ | {
            "HOST": "127.0.0.1",
            "PORT": str(self.addresses[colour].port),
            "DEPLOYMENT_SLOT": str(colour),
            "APP_VERSION": {Colour.BLUE: "v1", Colour.GREEN: "v2"}[colour],
            "DATA_DIR": str(self.folder / "data"),
            "REQUEST_LOG": str(self.request_log(colour)),
            "PYTHONPATH": str(EXAMPLES),
        }
        with (self.folder / f"{colour}.out").open("ab") as out:
            self.apps[colour] = subprocess.Popen(
                [sys.executable, "-m", "reference_app"], env=environment, stdout=out, stderr=out
            )

    def request_log(self, colour: Colour) -> Path:
        return self.folder / f"{colour}.log"

    def wait_until_ready(self, colour: Colour) -> None:
        address = self.addresses[colour]

        def is_ready() -> bool:
            connection = http.client.HTTPConnection(address.host, address.port, timeout=2)
            with suppress(OSError), closing(connection):
                connection.request("GET", "/api/health/ready")
                answer = connection.getresponse()
                answer.read()
                return answer.status == 200
            return False

        poll(is_ready, deadline=patience())

    def switch(self, colour: Colour, name: str) -> None:
        flip = self.proxy.point_at(colour, deadline=patience())
        self.instants[name] = int(flip.decided_at)

    def drain(self, colour: Colour, name: str) -> int:
        """The slot was told to stop and has ended; its exit status."""
        self.instants[name] = now()
        self.apps[colour].send_signal(signal.SIGTERM)
        return self.apps[colour].wait(25)

    def kill(self, colour: Colour, name: str) -> None:
        self.instants[name] = now()
        self.apps[colour].kill()
        self.apps[colour].wait(5)
        self.instants["death"] = now()

    def traffic(self, *mix: MixEntry, **settings: object) -> TrafficRun:
        given = {"users": 60, "rate": 120.0, "round_trip": 0.01, "timeout": 8.0, "arrivals": "constant", **settings}
        plan = TrafficPlan(
            url=self.proxy.address.url,
            records=str(self.folder / "records"),
            run="z",
            mix=mix or ZOO,
            html_report=False,
            **given,  # type: ignore[arg-type]
        )
        return TrafficRun(plan, clock=SYSTEM_CLOCK)

    def bystanders(self) -> dict[str, Bystander]:
        """One of each kind, on its way."""
        kinds: dict[str, Bystander] = {
            "pipelining": Pipeliner(self),
            "long idle": Idler(self),
            "HTTP/2": Http2User(self),
        }
        for each in kinds.values():
            each.start()
        return kinds

    def close(self) -> None:
        for app in self.apps.values():
            app.kill()
            app.wait(5)
        self.proxy.stop(deadline=patience(5))


@dataclass(frozen=True)
class Sight:
    """One answer that a bystander had: when it wrote the request (CLOCK_MONOTONIC microseconds), who answered, and what
    was wrong with it; nothing, where it was right."""

    at: int
    slot: str
    problem: str


class Bystander(threading.Thread):
    """Traffic of a kind that the strict client does not make, beside it. `trouble` is what kept it from going on."""

    def __init__(self, ground: Ground) -> None:
        super().__init__(daemon=True)
        self.ground = ground
        self.over = threading.Event()
        self.sights: list[Sight] = []
        self.trouble: list[str] = []

    def run(self) -> None:
        try:
            self.work()
        except Exception as error:  # a thread's exception would be nobody's
            self.trouble.append(repr(error))

    def work(self) -> None:
        raise NotImplementedError

    def saw(self, at: int, slot: str, problem: str) -> None:
        self.sights.append(Sight(at, slot, problem))

    def finish(self) -> None:
        self.over.set()
        self.join(20)
        if self.is_alive():
            self.trouble.append("did not end")


class Pipeliner(Bystander):
    """Writes a slow request and two quick ones at once over one connection, again and again: the answers must come in
    order, each complete, whatever slot gives them."""

    def work(self) -> None:
        address = self.ground.proxy.address
        with socket.create_connection((address.host, address.port), timeout=10) as connection:
            file = connection.makefile("rb")
            while not self.over.is_set():
                asked = ("/api/slow?seconds=0.2", "/api/catalogue", "/api/slow?seconds=0.05")
                at = now()
                connection.sendall(b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in asked))
                for path in asked:
                    status, headers, body = _read_answer(file)
                    is_right = b"products" in body if "catalogue" in path else b"seconds" in body
                    problem = "" if status == 200 and is_right else f"{path}: {status} {body[:80]!r}"
                    self.saw(at, headers.get("x-served-slot", ""), problem)


class Idler(Bystander):
    """Comes back over the same connections after longer than nginx keeps idle connections to a slot."""

    IDLE = 2 * UPSTREAM_IDLE

    def work(self) -> None:
        address = self.ground.proxy.address
        connections = [http.client.HTTPConnection(address.host, address.port, timeout=10) for _ in range(5)]
        while True:
            for number, connection in enumerate(connections):
                before, at = connection.sock, now()
                connection.request("POST" if number % 2 else "GET", "/api/echo" if number % 2 else "/", body=b"")
                answer = connection.getresponse()
                answer.read()
                problem = "" if answer.status == 200 else str(answer.status)
                if before is not None and connection.sock is not before:
                    problem += " over another connection"
                self.saw(at, answer.headers.get("X-Served-Slot", ""), problem)
            if self.over.wait(self.IDLE):
                break
        for connection in connections:
            connection.close()


class Http2User(Bystander):
    """Many requests at once over one HTTP/2 connection in TLS."""

    def work(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        trust = ssl.create_default_context(cafile=str(self.ground.folder / "certificate.pem"))
        limits = httpx.Limits(max_connections=1)
        self.connections: set[int] = set()
        async with httpx.AsyncClient(
            http1=False, http2=True, verify=trust, limits=limits, base_url=self.ground.tls, timeout=10
        ) as client:
            await asyncio.gather(*(self._ask(client, number) for number in range(8)))

    async def _ask(self, client: httpx.AsyncClient, number: int) -> None:
        while not self.over.is_set():
            body, at = os.urandom(3000), now()
            answer = await (
                client.post("/api/echo", content=body) if number % 2 else client.get("/api/slow?seconds=0.1")
            )
            stream = answer.extensions["network_stream"]
            self.connections.add(stream.get_extra_info("socket").getsockname()[1])
            is_right = answer.status_code == 200 and answer.http_version == "HTTP/2"
            is_right = is_right and (number % 2 == 0 or answer.content == body)
            problem = "" if is_right else f"{answer.http_version} {answer.status_code}"
            self.saw(at, answer.headers.get("x-served-slot", ""), problem)
            await asyncio.sleep(0.01)


def now() -> int:
    """CLOCK_MONOTONIC in microseconds, as in the records."""
    return time.monotonic_ns() // 1000


def _read_answer(file: object) -> tuple[int, dict[str, str], bytes]:
    readline, read = file.readline, file.read  # type: ignore[attr-defined]
    status = int(readline().split()[1])
    headers: dict[str, str] = {}
    while line := readline().strip():
        name, _, value = line.partition(b":")
        headers[name.decode().lower()] = value.strip().decode()
    return status, headers, read(int(headers["content-length"]))
