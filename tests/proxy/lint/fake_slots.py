"""Two small servers in place of slots: they answer with their name, and each test can make them misbehave."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Exchange:
    """One request as a slot gets it, and the ways to answer it."""

    slot: FakeSlot
    connection: socket.socket
    method: str
    path: str
    version: str
    headers: dict[str, str]
    body: bytes
    idle: float
    is_open: bool = True

    def answer(self, status: int = 200, body: str | None = None, *, headers: tuple[str, ...] = ()) -> None:
        content = (self.slot.name if body is None else body).encode()
        head = [f"HTTP/1.1 {status} -", f"Content-Length: {len(content)}", *headers]
        self.send("\r\n".join(head) + "\r\n\r\n", content)
        # nginx speaks HTTP/1.0 if it may not keep the connection.
        self.is_open = self.headers.get("connection") != "close" and self.version != "HTTP/1.0"

    def send(self, text: str, content: bytes = b"") -> None:
        with contextlib.suppress(OSError):
            self.connection.sendall(text.encode() + content)

    def chunk(self, text: str) -> None:
        self.send(f"{len(text):x}\r\n{text}\r\n")

    def close(self) -> None:
        self.is_open = False

    def stream(self, kind: str = "text/event-stream") -> None:
        """Send the head of an answer without a length."""
        framing = "Connection: close" if self.version == "HTTP/1.0" else "Transfer-Encoding: chunked"
        self.send(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n")

    def part(self, text: str) -> None:
        """Send a part of such an answer."""
        self.send(text) if self.version == "HTTP/1.0" else self.chunk(text)


@dataclass
class FakeSlot:
    """A server on its own port. `act` answers a request; `seen` has each one that arrived."""

    name: str
    port: int
    host: str = "127.0.0.1"
    act: Callable[[Exchange], None] = Exchange.answer
    seen: list[Exchange] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    _listener: socket.socket | None = None
    _open: set[socket.socket] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        listener = socket.create_server((self.host, self.port), backlog=64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections and cut those that are open, as a process that is killed."""
        self.release.set()
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def count(self, method: str) -> int:
        return sum(each.method == method for each in self.seen)

    def wait_for(self, number: int) -> None:
        """Return when that many requests have arrived."""
        until = time.monotonic() + 10
        while len(self.seen) < number:
            assert time.monotonic() < until, f"{self.name} got {len(self.seen)} of {number} requests"
            time.sleep(0.01)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection:
            while self._one(connection):
                pass
        self._open.discard(connection)

    def _one(self, connection: socket.socket) -> bool:
        since = time.monotonic()
        head = b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(65_536)
            if not part:
                return False
            if not head:
                idle = time.monotonic() - since
            head += part
        text, _, body = head.partition(b"\r\n\r\n")
        first, *lines = text.decode("latin-1").split("\r\n")
        method, path, version = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65_536)
        exchange = Exchange(self, connection, method, path, version, headers, body, idle)
        self.seen.append(exchange)
        self.act(exchange)
        return exchange.is_open
