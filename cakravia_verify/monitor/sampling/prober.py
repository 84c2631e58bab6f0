"""One request with the duration of each phase, judged by the code that judges a release's readings."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cakravia_verify.errors import SettingsError
from cakravia_verify.health.models import Reading
from cakravia_verify.health.probe import Answer, HttpProber
from cakravia_verify.monitor.store.samples import Phases, ProbeOutcome
from cakravia_verify.settings.contract import ContractSettings
from cakravia_verify.settings.headers import merged
from cakravia_verify.settings.models import SiteSettings
from cakravia_verify.slots import Address
from cakravia_verify.system.http_exchange import Headers

USER_AGENT: Final = "cakravia-monitor"
LONGEST_BODY: Final = 2**20


@dataclass(frozen=True, slots=True)
class ProbeTiming:
    """How one request went on the wire. `total` is in seconds."""

    outcome: ProbeOutcome
    total: float
    phases: Phases


class PhaseProber(HttpProber):
    """Asks each question once over a fresh connection, within `timeout` as a whole. No redirect is followed.

    `site` and `root` are those of HttpProber: a request has the headers of a user's request. `tls` is the context of an
    address that speaks TLS, and `server_name` the name that it is asked for.
    """

    def __init__(
        self,
        contract: ContractSettings,
        *,
        timeout: float,
        site: SiteSettings | None = None,
        root: Path = Path(),
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
    ) -> None:
        super().__init__(contract, timeout=timeout, site=site, root=root)
        self._seconds = timeout
        self._tls = tls
        self._server_name = server_name
        self._last = threading.local()

    def measure(self, address: Address, endpoint: str) -> tuple[Reading, ProbeTiming]:
        """Return the reading of an endpoint of the contract, and how long its phases took."""
        reading = self.read(address, endpoint)
        return reading, self._last.measured

    def measure_page(self, address: Address, path: str) -> tuple[Answer, ProbeTiming]:
        """Return the answer of any path, and how long its phases took."""
        answer = self.request(address, "GET", path)
        return answer, self._last.measured

    def request(
        self, address: Address, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        attempt = _Attempt(self._seconds)
        status, problem, content = None, "", b""
        got: dict[str, str] = {}
        try:
            sent = self._headers_of_a_user(headers or {})
            with (
                contextlib.closing(attempt.connect(address)) as plain,
                contextlib.closing(self._secured(attempt, plain, address)) as connection,
            ):
                host = self._server_name or str(address)
                connection.sendall(_head(method, path, host=host, headers=sent, length=len(body)) + body)
                status, got, content = attempt.receive(connection, method)
        except SettingsError as error:
            problem = error.message
        except (OSError, HTTPException, ValueError) as error:
            problem = attempt.explain(error)
        measured = attempt.measured(is_answered=not problem)
        self._last.measured = measured
        return Answer(None if problem else status, Headers([*got.items()]), content, problem, measured.total)

    def _secured(self, attempt: _Attempt, plain: socket.socket, address: Address) -> socket.socket:
        if self._tls is None:
            return plain
        with attempt.phase("tls", ProbeOutcome.TLS_FAILED):
            plain.settimeout(attempt.remaining())
            return self._tls.wrap_socket(plain, server_hostname=self._server_name or address.host)


class _Attempt:
    """The course of one request: its deadline, its phases, and where it failed."""

    def __init__(self, seconds: float) -> None:
        self._began = time.monotonic()
        self._ends = self._began + seconds
        self._took: dict[str, float] = {}
        self._failing = ProbeOutcome.BROKEN

    def remaining(self) -> float:
        """Return the seconds that are left. Raises TimeoutError when none are."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left

    @contextlib.contextmanager
    def phase(self, name: str, failing: ProbeOutcome) -> Iterator[None]:
        """Measure a phase. A failure inside is one of this kind."""
        before = time.monotonic()
        self._failing = failing
        yield
        self._took[name] = time.monotonic() - before
        self._failing = ProbeOutcome.BROKEN

    def connect(self, address: Address) -> socket.socket:
        family, place = self._resolved(address)
        with self.phase("connect", ProbeOutcome.REFUSED):
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.settimeout(self.remaining())
                connection.connect(place)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except BaseException:
                connection.close()
                raise
            return connection

    def _resolved(self, address: Address) -> tuple[int, tuple[str, int]]:
        with contextlib.suppress(ValueError):
            version = ip_address(address.host).version
            return socket.AF_INET6 if version == 6 else socket.AF_INET, (address.host, address.port)
        with self.phase("dns", ProbeOutcome.NAME_UNKNOWN):
            found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        family, _, _, _, place = found[0]
        return family, (str(place[0]), int(place[1]))

    def receive(self, connection: socket.socket, method: str) -> tuple[int, dict[str, str], bytes]:
        response = HTTPResponse(_Patient(connection, self), method=method)  # type: ignore[arg-type]
        with self.phase("first_byte", ProbeOutcome.BROKEN):
            response.begin()
        content = response.read(LONGEST_BODY + 1)
        if len(content) > LONGEST_BODY:
            raise ValueError(f"the answer is longer than {LONGEST_BODY >> 20} MiB")
        if response.length:
            raise HTTPException("the answer ended early")
        return response.status, dict(response.headers.items()), content

    def explain(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            self._failing = ProbeOutcome.NO_ANSWER
            return "no answer in time"
        if isinstance(error, ConnectionRefusedError):
            return "connection refused"
        if self._failing is ProbeOutcome.NAME_UNKNOWN:
            return "its name is not known"
        if self._failing is ProbeOutcome.TLS_FAILED:
            return f"no TLS: {getattr(error, 'verify_message', '') or error}"
        return f"{type(error).__name__}: {error}"

    def measured(self, *, is_answered: bool) -> ProbeTiming:
        outcome = ProbeOutcome.OK if is_answered else self._failing
        return ProbeTiming(outcome, time.monotonic() - self._began, Phases(**self._took))


class _Patient(io.RawIOBase):
    """A connection as http.client reads it. Every read waits for what is left of the whole time, and no longer."""

    def __init__(self, connection: socket.socket, attempt: _Attempt) -> None:
        self._connection = connection
        self._attempt = attempt

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._connection.settimeout(self._attempt.remaining())
        return self._connection.recv_into(buffer)


def _head(method: str, path: str, *, host: str, headers: Mapping[str, str], length: int) -> bytes:
    own = {"Host": host, "User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"}
    lines = merged(own, headers)
    if length:
        lines["Content-Length"] = str(length)
    rows = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{rows}\r\n".encode("latin-1")
