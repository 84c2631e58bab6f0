"""HTTP/1.1 on the wire (RFC 9112): requests as bytes, responses read strictly. No sockets here."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from cakravia_verify.traffic.plan.mix import (
    CHECKSUM_HEADER,
    ECHO,
    JOURNEY_ID,
    ORDINARY_AGENT,
    ORDINARY_EVERY,
    OUR_AGENT,
    REQUEST_ID,
)

if TYPE_CHECKING:
    from cakravia_verify.traffic.plan.mix import MixEntry

_VARIANTS = 16
_VARIANT_BYTES = 4 << 20
_CHUNK = 4096
_CRLF = b"\r\n"
_JOURNEY = JOURNEY_ID.encode()


class Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class RequestTemplate:
    """A mix entry turned into bytes once, so that each request only fills in its id.

    `render()` gives head, body and the body's SHA-256 (empty where nothing verifies it). The body is kept apart
    from the head only where it has to wait for `100 Continue`; else both go out in one write.
    """

    def __init__(self, entry: MixEntry, *, host: str, request_id_header: str, seed: int) -> None:
        self.entry = entry
        self._waits = entry.expects_continue
        self._digests = entry.verify == ECHO
        lines = [f"{entry.method} {entry.path} HTTP/1.1", f"Host: {host}", f"{request_id_header}: {REQUEST_ID}"]
        given = {name.lower() for name, _ in entry.headers}
        lines += [f"{name}: {value}" for name, value in entry.headers]
        lines += [f"{name}: {value}" for name, value in _DEFAULTS if name.lower() not in given]
        agent = -1 if "user-agent" in given else lines.index(f"User-Agent: {OUR_AGENT}")
        body = entry.body
        kind = body.content_type or _CONTENT_TYPES.get(body.kind, "")
        if kind and "content-type" not in given:
            lines.append(f"Content-Type: {kind}")
        if body.kind != "none" and body.chunked:
            lines.append("Transfer-Encoding: chunked")
        self._head = self._ordinary_head = _pieces("\r\n".join(lines) + "\r\n")
        if agent >= 0:
            lines[agent] = f"User-Agent: {ORDINARY_AGENT}"
            self._ordinary_head = _pieces("\r\n".join(lines) + "\r\n")
        self._text: tuple[bytes, ...] | None = None
        self._bodies: list[tuple[bytes, bytes, str]] = []
        if body.kind in ("text", "order"):
            self._text = _pieces(body.text if body.kind == "text" else body.text or _ORDER)
        elif body.kind == "random":
            self._bodies = self._random_bodies(body.size, seed)
        elif entry.method in ("POST", "PUT", "PATCH"):
            self._text = (b"",)
        texts = [entry.path, body.text, *(value for _, value in entry.headers)]
        self._names_journey = any(JOURNEY_ID in text for text in texts)

    def _random_bodies(self, size: int, seed: int) -> list[tuple[bytes, bytes, str]]:
        """A few bodies made beforehand: enough that a stale answer shows, few enough to stay small in memory."""
        source = random.Random(f"{seed} {self.entry.name}")  # noqa: S311 - a seeded load, not a secret
        bodies = []
        for _ in range(max(1, min(_VARIANTS, _VARIANT_BYTES // max(1, size)))):
            data = source.randbytes(size)
            checksum = hashlib.sha256(data).hexdigest()
            framing = b"%s: %s\r\n" % (CHECKSUM_HEADER.encode(), checksum.encode())
            framing += _CRLF if self.entry.body.chunked else b"Content-Length: %d\r\n\r\n" % size
            bodies.append((framing, _chunked(data) if self.entry.body.chunked else data, checksum))
        return bodies

    def render(self, ident: bytes, number: int, *, journey: bytes = b"") -> tuple[bytes, bytes, str]:
        head = ident.join(self._head if number % ORDINARY_EVERY else self._ordinary_head)
        if self._names_journey:
            head = head.replace(_JOURNEY, journey or ident)
        if self._bodies:
            framing, data, checksum = self._bodies[number % len(self._bodies)]
            head += framing
        elif self._text is not None:
            data = ident.join(self._text)
            if self._names_journey:
                data = data.replace(_JOURNEY, journey or ident)
            checksum = hashlib.sha256(data).hexdigest() if self._digests else ""
            if self.entry.body.chunked:
                head += _CRLF
                data = _chunked(data)
            else:
                head += b"Content-Length: %d\r\n\r\n" % len(data)
        else:
            return head + _CRLF, b"", ""
        return (head, data, checksum) if self._waits else (head + data, b"", checksum)


class TextSearch:
    """Whether a text stands in a body that comes in pieces, however they are cut; a digest sees every piece as well."""

    __slots__ = ("_digest", "_rest", "_text", "found", "text")

    def __init__(self, text: str, digest: Digest | None) -> None:
        self.text = text
        self._text = text.encode()
        self._digest = digest
        self._rest = b""
        self.found = False

    def update(self, data: bytes, /) -> None:
        if self._digest is not None:
            self._digest.update(data)
        if not self.found:
            window = self._rest + data
            self.found = self._text in window
            self._rest = window[max(0, len(window) - len(self._text) + 1) :]

    def hexdigest(self) -> str:
        return self._digest.hexdigest() if self._digest is not None else ""


_DEFAULTS = (("User-Agent", OUR_AGENT), ("Accept", "*/*"))
_CONTENT_TYPES = {
    "order": "application/json",
    "random": "application/octet-stream",
    "text": "text/plain; charset=utf-8",
}
_ORDER = '{"key":"{id}","item":"kopi","quantity":1}'


def _pieces(text: str) -> tuple[bytes, ...]:
    return tuple(piece.encode() for piece in text.split(REQUEST_ID))


def _chunked(data: bytes) -> bytes:
    parts = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class ResponseReader:
    """Reads the responses of one connection, one after the other, with llhttp's strict rules.

    After `begin()` and some `feed()`: `complete` once the whole message was read, `broken` names what was wrong with
    it, `continued` after an interim 100. `end()` tells it that the connection was closed.
    """

    __slots__ = (
        "_digest",
        "_head_only",
        "_headers_done",
        "_parser",
        "_wanted",
        "broken",
        "complete",
        "continued",
        "cookies",
        "headers",
        "received",
        "reusable",
        "status",
    )

    def __init__(self, wanted: frozenset[bytes]) -> None:
        self._wanted = wanted | _FRAMING
        self._parser: HttpResponseParser | None = None
        self.headers: dict[bytes, bytes] = {}
        self.cookies: list[bytes] = []
        self.begin(head_only=False, digest=None)

    def begin(self, *, head_only: bool, digest: Digest | None) -> None:
        """Expects one response; `head_only` for an answer to HEAD."""
        if self._parser is None:
            self._parser = HttpResponseParser(self)
        self._head_only = head_only
        self._digest = digest
        self._headers_done = self.complete = self.continued = self.reusable = False
        self.broken = ""
        self.status = 0
        self.received = 0
        self.headers.clear()
        self.cookies.clear()

    def feed(self, data: bytes | memoryview) -> None:
        parser = self._parser
        if parser is None:
            self.broken = "more bytes than the response has"
            return
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            self.reusable = False
        except HttpParserError as error:
            self._parser = None
            if self.complete:
                self.reusable = False
            else:
                self.broken = self.broken or f"not HTTP: {error}"
        if self._head_only and self.complete:
            self._parser = None

    def end(self, how: str) -> None:
        """Takes note that the connection ended: a body without length ends here, anything else is cut off."""
        self._parser = None
        self.reusable = False
        if self.complete or self.broken:
            return
        if self._headers_done and how == "closed" and self._is_unframed:
            self.complete = True
        elif self._headers_done:
            self.broken = f"{how} mid body after {self.received} bytes"
        elif self.status or self.headers:
            self.broken = f"{how} mid headers"
        else:
            self.broken = f"{how} before the response"

    def drop(self) -> None:
        """No more is read; what was read stays. Frees the parser, which otherwise waits for the garbage collector."""
        self._parser = None

    @property
    def has_headers(self) -> bool:
        return self._headers_done

    @property
    def _is_unframed(self) -> bool:
        return b"content-length" not in self.headers and b"transfer-encoding" not in self.headers

    # What llhttp calls.

    def on_message_begin(self) -> None:
        if self.complete:
            self.reusable = False
            self._headers_done = True
            raise ValueError("a response without a request")

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in self._wanted:
            self.headers[name] = value
            if name == SET_COOKIE:
                self.cookies.append(value)

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        self.status = parser.get_status_code()
        if 100 <= self.status < 200 and self.status != 101:
            return
        self._headers_done = True
        if self._head_only:
            # llhttp would wait for the body that Content-Length announces: it does not know that the request was HEAD.
            self.complete = True
            self.reusable = parser.get_http_version() == "1.1" and b"close" not in self.headers.get(b"connection", b"")

    def on_body(self, data: bytes) -> None:
        if self._head_only:
            self.broken = "a body in the answer to HEAD"
            return
        self.received += len(data)
        if self._digest is not None:
            self._digest.update(data)

    def on_message_complete(self) -> None:
        if not self._headers_done:
            self.continued = self.continued or self.status == 100
            self.status = 0
            self.headers.clear()
        elif not self.complete:
            assert self._parser is not None
            self.complete = True
            self.reusable = self._parser.should_keep_alive()


SET_COOKIE = b"set-cookie"
"""The one header of which every line counts: those of a response are in `cookies`, if it is wanted."""

_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection"))
