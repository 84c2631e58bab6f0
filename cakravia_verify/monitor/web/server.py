"""The monitor's own port on this machine: live updates, metrics and actions. nginx passes the first and the last on.

Connections, bodies, heads and waits are bounded. Nothing here reads an address that a caller names, and no answer
permits another origin to read it.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final

from cakravia_verify.errors import UsageError
from cakravia_verify.monitor.database import Database
from cakravia_verify.monitor.web.access import is_token, may_read
from cakravia_verify.monitor.web.actions import action_of, carry_out
from cakravia_verify.monitor.web.doorbell import Doorbell
from cakravia_verify.settings.monitor import MonitorSettings
from cakravia_verify.slots import Address

MOST_CONNECTIONS: Final = 100
# Streams leave room for other requests.
MOST_STREAMS: Final = 80
MOST_BODY: Final = 4096
SOCKET_SECONDS: Final = 10.0
KEEP_ALIVE_SECONDS: Final = 15.0
# A stream is ended by then, and the browser opens a new one: a worker of nginx that is to end after a reload waits for
# its last connection.
STREAM_SECONDS: Final = 120.0
JSON, TEXT = "application/json", "text/plain; charset=utf-8"


@dataclass(frozen=True)
class WebParts:
    """What the server needs of the monitor. `metrics` returns the content type and the text of /metrics."""

    settings: MonitorSettings
    database: Database
    bell: Doorbell
    metrics: Callable[[], tuple[str, bytes]]
    on_action: Callable[[str], None]
    stream_seconds: float = STREAM_SECONDS


class WebServer(ThreadingHTTPServer):
    """Serves until `end`. Raises OSError when the address is taken."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: Address, parts: WebParts) -> None:
        self.parts = parts
        self.hosts = frozenset(f"{name}:{address.port}" for name in (address.host, "127.0.0.1", "localhost"))
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self.streams = threading.BoundedSemaphore(MOST_STREAMS)
        super().__init__((address.host, address.port), _Handler)

    def begin(self) -> None:
        threading.Thread(target=self.serve_forever, name="web", daemon=True).start()

    def end(self) -> None:
        self.parts.bell.end()
        self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no event."""


class _Handler(BaseHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"
    timeout = SOCKET_SECONDS
    server_version = "cakravia-monitor"
    sys_version = ""
    _guards: ClassVar[Mapping[str, str]] = {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }

    def do_GET(self) -> None:
        if not self._is_for_us():
            return
        if self.path == "/live":
            self._answer(HTTPStatus.OK, TEXT, b"ok\n")
        elif not self._is_known_reader():
            return
        elif self.path == "/events":
            self._stream()
        elif self.path == "/metrics":
            self._answer(HTTPStatus.OK, *self.server.parts.metrics())
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        # What is left of a body would be read as the next request.
        self.close_connection = True
        if not self._is_for_us() or not self._is_known_reader():
            return
        if self.path != "/act":
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such action")
        elif self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            self._refuse(HTTPStatus.FORBIDDEN, "another site's page may not act")
        elif not is_token(self.headers.get("X-Monitor-Token", ""), self.server.parts.settings.actions):
            self._refuse(HTTPStatus.FORBIDDEN, "this is not the token for actions")
        elif self.headers.get("Content-Type", "").partition(";")[0].strip() != JSON:
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON")
        elif (body := self._body()) is not None:
            self._act(body)

    def _act(self, body: bytes) -> None:
        parts = self.server.parts
        try:
            said = carry_out(parts.database, action_of(json.loads(body)), now=time.time())
        except UsageError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, error.message)
        except (ValueError, RecursionError):
            self._refuse(HTTPStatus.BAD_REQUEST, "the body is no JSON")
        except sqlite3.Error as error:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"it cannot be stored: {error}")
        else:
            parts.on_action(said)
            self._answer(HTTPStatus.OK, JSON, json.dumps({"text": said}).encode())

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "the body needs a length")
        elif len(length) > 6 or int(length) > MOST_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {MOST_BODY} bytes")
        else:
            return self.rfile.read(int(length))
        return None

    def _is_for_us(self) -> bool:
        """Refuse any other host: a name of a stranger that leads to this machine is no way in."""
        if self.headers.get_all("Host", []) and self.headers["Host"].lower() in self.server.hosts:
            return True
        self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this host is not served here")
        return False

    def _is_known_reader(self) -> bool:
        if may_read(self.headers.get("Authorization", ""), self.server.parts.settings.password):
            return True
        self.close_connection = True
        self.send_response(HTTPStatus.UNAUTHORIZED)
        self.send_header("WWW-Authenticate", 'Basic realm="monitor", charset="UTF-8"')
        self._finish(TEXT, b"the password is needed\n")
        return False

    def _stream(self) -> None:
        """Send a line for each ring of the bell, and a comment when nothing rings for long."""
        if not self.server.streams.acquire(blocking=False):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are open")
            return
        try:
            self.close_connection = True
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("X-Accel-Buffering", "no")
            self._end_headers()
            self._send_events()
        finally:
            self.server.streams.release()

    def _send_events(self) -> None:
        bell = self.server.parts.bell
        known, ends = bell.number, time.monotonic() + self.server.parts.stream_seconds
        self.wfile.write(b"retry: 1000\n\n")
        while not bell.is_over and (left := ends - time.monotonic()) > 0:
            number = bell.wait(known, seconds=min(KEEP_ALIVE_SECONDS, left))
            self.wfile.write(b": alive\n\n" if number == known else b"data: %d\n\n" % number)
            known = number

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self.close_connection = True
        self._answer(status, JSON, json.dumps({"text": text}).encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self._finish(kind, body)

    def _finish(self, kind: str, body: bytes) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self._end_headers()
        self.wfile.write(body)

    def _end_headers(self) -> None:
        for name, value in self._guards.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Keep callers' text out of the log."""
