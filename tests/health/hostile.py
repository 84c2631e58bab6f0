"""A server on loopback that sends whatever bytes a test gives it, and every shape of a hostile answer."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from hypothesis import strategies as st

from cakravia_verify.slots import Address

MIB = 2**20


@dataclass(frozen=True)
class HostileAnswer:
    """What is sent: `first`, then `again` for as long as the client takes it, each after `pause` seconds.

    `hangs`: the connection stays open without a further byte. `resets`: it ends with a reset.
    """

    first: bytes
    again: bytes = b""
    pause: float = 0.0
    hangs: bool = False
    resets: bool = False


class HostileServer:
    """Sends `answer` to every client that connects, as long as it is set."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listener.getsockname()[1])
        self.answer = HostileAnswer(b"")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                client.settimeout(2)
                client.recv(65_536)
                self._send(client, self.answer)

    def _send(self, client: socket.socket, answer: HostileAnswer) -> None:
        client.sendall(answer.first)
        while answer.again and not self._over.wait(answer.pause):
            client.sendall(answer.again)
        if answer.hangs:
            while client.recv(1024):
                pass
        if answer.resets:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@contextlib.contextmanager
def hostile_server() -> Iterator[HostileServer]:
    with HostileServer() as server:
        yield server


def _bomb(size: int, *, layers: int = 1) -> bytes:
    packed = b"\0" * size
    for _ in range(layers):
        packed = gzip.compress(packed, 9)
    return packed


BOMB, BOMB_OF_BOMBS = _bomb(64 * MIB), _bomb(64 * MIB, layers=2)
STATUS_LINES = st.one_of(
    st.builds(
        lambda version, code, reason: b"HTTP/%s %d %s\r\n" % (version, code, reason),
        st.sampled_from([b"1.1", b"1.0", b"0.9", b"2", b"9.9", b"1.1.1"]),
        st.integers(0, 1100),
        st.sampled_from([b"", b"OK", b"\xff\xfe", b"A" * 300]),
    ),
    st.binary(max_size=40).map(lambda text: text + b"\r\n"),
)
HEADERS = st.lists(
    st.one_of(
        st.sampled_from([
            b"Content-Length: 5\r\n",
            b"Content-Length: 7\r\n",
            b"Content-Length: -1\r\n",
            b"Content-Length: 5, 7\r\n",
            b"Content-Length: 99999999999999999999999\r\n",
            b"Content-Length: 0x10\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: gzip, chunked\r\n",
            b"Transfer-Encoding: nonsense\r\n",
            b"Content-Encoding: gzip\r\n",
            b"Content-Encoding: gzip, gzip, gzip\r\n",
            b"Content-Encoding: br\r\n",
            b"Content-Type: application/json; charset=utf-16\r\n",
            b"Content-Type: application/json; charset=\xff\xff\r\n",
            b"Content-Type: application/health+json\r\n",
            b"Location: http://127.0.0.1:1/\r\n",
            b"Location: //[::1\r\n",
            b"Set-Cookie: a=b; Domain=.example\r\n",
            b"X-Deployment-Slot: \x00\x1b[31m\r\n",
            b"Connection: keep-alive\r\n",
            b": no name\r\n",
            b" folded: line\r\n",
            b"no colon\r\n",
        ]),
        st.builds(
            lambda name, value: name + b": " + value + b"\r\n",
            st.from_regex(rb"\A[A-Za-z-]{1,20}\Z"),
            st.binary(max_size=60),
        ),
    ),
    max_size=6,
).map(b"".join)  # fmt: skip
JSON_BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.one_of(
    st.binary(max_size=200),
    JSON_BODIES.map(lambda value: repr(value).encode("utf-8", "surrogatepass")),
    st.sampled_from([
        b'{"status":' * 5_000,
        b"[" * 100_000,
        b'{"status": ' + b"9" * 6_000 + b"}",
        b'{"status": "healthy", "status": "down"}',
        b'{"status": NaN}',
        '{"status": "healthy"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"status": "healthy"}',
        b'{"status": "\xff\xfe"}',
        b'{"checks": {"a": ' + b'{"a":' * 400 + b"1" + b"}" * 401,
        b"<" * 20_000,
        b"<title>" * 3_000,
        b"<!--" * 5_000,
        b"ffffffffffffffff\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5;ext=" + b"x" * 70_000,
        b"-5\r\nhello\r\n",
        BOMB,
        BOMB_OF_BOMBS,
        gzip.compress(b'{"status": "healthy"}'),
        zlib.compress(b'{"status": "down"}'),
        gzip.compress(b'{"status": "healthy"}')[:-6],
    ]),
)  # fmt: skip


@st.composite
def answers(draw: st.DrawFn) -> HostileAnswer:
    """Any answer that ends by itself: malformed, truncated, packed, nested, redirecting."""
    head = draw(STATUS_LINES) + draw(HEADERS)
    whole = head + draw(st.sampled_from([b"\r\n", b"\n", b"", b"\r\n\r\n"])) + draw(BODIES)
    if draw(st.booleans()):
        whole = whole[: draw(st.integers(0, min(len(whole), 400)))]
    return HostileAnswer(whole, resets=draw(st.booleans()))


OK = b"HTTP/1.1 200 OK\r\n"
# Answers that never end.
ENDLESS = {
    "a body byte by byte": HostileAnswer(OK + b"\r\n", again=b"x", pause=0.02),
    "chunks byte by byte": HostileAnswer(OK + b"Transfer-Encoding: chunked\r\n\r\n", again=b"1\r\nx\r\n", pause=0.02),
    "a body as fast as it goes": HostileAnswer(OK + b"\r\n", again=b"x" * 65_536),
    "an endless header": HostileAnswer(OK + b"X-Long: ", again=b"x" * 1024),
    "endless headers, slowly": HostileAnswer(OK, again=b"X-A: b\r\n", pause=0.02),
    "endless interim answers": HostileAnswer(b"", again=b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "an endless status line": HostileAnswer(b"HTTP/1.1 200 ", again=b"O", pause=0.01),
    "a head without an end": HostileAnswer(OK, hangs=True),
    "a body without its end": HostileAnswer(OK + b"Content-Length: 100\r\n\r\nhalf", hangs=True),
    "nothing at all": HostileAnswer(b"", hangs=True),
    "an endless bomb": HostileAnswer(OK + b"Content-Encoding: gzip\r\n\r\n" + BOMB[:-8], again=BOMB),
}
