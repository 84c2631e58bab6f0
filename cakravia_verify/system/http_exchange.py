"""One HTTP/1.1 request over a connection of its own, with one time limit for the whole answer. It is never repeated."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import quote

import h11

from cakravia_verify.slots import Address

LONGEST_BODY: Final = 16 * 2**20
_PIECE: Final = 2**16
# A head of an answer that is longer is refused.
_LONGEST_HEAD: Final = 100 * 1024
# What a URL may have as it is. "%" is here, because a path may be quoted already.
_UNQUOTED: Final = "/?:@!$&'()*+,;=-._~%[]"
_NEEDS_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})


class Headers(Mapping[str, str]):
    """The headers of an answer. Names are in lower case and are found in any case; values of one name are joined."""

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            before = self._values.get(name.lower())
            self._values[name.lower()] = value if before is None else f"{before}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True)
class HttpRequest:
    """One request. `headers` are all that are sent, but for the length of the body."""

    method: str
    address: Address
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class HttpResponse:
    """The complete answer to one request. `body` is as it was sent, also if it is packed."""

    status: int
    headers: Headers
    body: bytes


class NoConnectionError(OSError):
    """There is no connection, and the request was not sent."""


Exchange: TypeAlias = Callable[[HttpRequest, float], HttpResponse]
ProtocolError: TypeAlias = h11.ProtocolError


def exchange(request: HttpRequest, timeout: float) -> HttpResponse:
    """Send the request once over a new connection, and return the complete answer.

    `timeout` limits the connect, and then the whole answer, in seconds, even if bytes keep arriving.

    Raises TimeoutError, NoConnectionError, another OSError, h11.ProtocolError, or ValueError if the path is no URL or
    the body too long.
    """
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
    wire = _on_the_wire(reader, request)
    with contextlib.closing(_connected(request.address, timeout)) as connection:
        ends = time.monotonic() + timeout
        # A server may answer before it has read all, and close. Its answer is read then.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(wire)
        return _answer(connection, reader, ends)


def _connected(address: Address, timeout: float) -> socket.socket:
    # A name as bytes is taken as it is. Python would import its tables of international names first.
    host = address.host.encode() if address.host.isascii() else address.host
    try:
        connection = socket.create_connection((host, address.port), timeout)  # type: ignore[arg-type]
    except (TimeoutError, ConnectionRefusedError):
        raise
    except OSError as error:
        raise NoConnectionError(str(error)) from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _on_the_wire(writer: h11.Connection, request: HttpRequest) -> bytes:
    """Return the bytes of the request. Raises ValueError or h11.LocalProtocolError."""
    headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in request.headers.items()]
    if request.body or request.method in _NEEDS_LENGTH:
        headers.append((b"Content-Length", str(len(request.body)).encode()))
    head = h11.Request(method=request.method, target=_target(request.path), headers=headers)
    parts = [writer.send(head), writer.send(h11.Data(data=request.body)) if request.body else b""]
    return b"".join([*filter(None, parts), writer.send(h11.EndOfMessage()) or b""])


def _target(path: str) -> str:
    """Return the path as a request line has it: quoted, and without a fragment. Raises ValueError."""
    if not path.isprintable():
        raise ValueError("the path has a character that no URL has")
    return quote(path.partition("#")[0], safe=_UNQUOTED) or "/"


def _answer(connection: socket.socket, reader: h11.Connection, ends: float) -> HttpResponse:
    head: h11.Response | None = None
    body = bytearray()
    while True:
        event = reader.next_event()
        if event is h11.NEED_DATA:
            connection.settimeout(_left(ends))
            reader.receive_data(connection.recv(_PIECE))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > LONGEST_BODY:
                raise ValueError(f"the answer is longer than {LONGEST_BODY >> 20} MiB")
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return HttpResponse(head.status_code, _headers_of(head), bytes(body))
        elif not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
            raise h11.RemoteProtocolError("the connection ended without an answer")
        _left(ends)


def _left(ends: float) -> float:
    """Return the seconds that are left. Raises TimeoutError when none are."""
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def _headers_of(head: h11.Response) -> Headers:
    return Headers([(name.decode("ascii"), _text(value)) for name, value in head.headers])


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
