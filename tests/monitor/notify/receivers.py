"""Real receivers on loopback: an HTTP server that can be told to fail, and a mail server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.ports import free_ports


@dataclass
class HttpReceiver:
    """Accepts POST requests. `status_of` decides on the answer to each, from the number of requests before it."""

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    accepted: list[dict[str, Any]] = field(default_factory=list)
    status_of: Callable[[int], int] = lambda _: 200


@contextmanager
def http_receiver() -> Iterator[HttpReceiver]:
    (port,) = free_ports(1)
    receiver = HttpReceiver(f"http://127.0.0.1:{port}/hooks/T0PSECRETPATH")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"path": self.path})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: dict[str, Any]) -> None:
            status = receiver.status_of(len(receiver.bodies))
            receiver.headers.append(dict(self.headers))
            receiver.bodies.append(body)
            if status == 200:
                receiver.accepted.append(body)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
