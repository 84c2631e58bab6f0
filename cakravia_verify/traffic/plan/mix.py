"""The entries of a traffic mix, as the client sends them. The settings have validated them already."""

from __future__ import annotations

from dataclasses import dataclass, field

CHECKSUM_HEADER = "X-Content-SHA256"

ECHO, SEQUENCE = "echo", "sequence"
"""Values of `verify`: the sent body comes back; the numbered ids of an event stream follow each other."""

OUR_AGENT = "cakravia-verify"
"""The User-Agent of most requests of ours."""
ORDINARY_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
"""The User-Agent of some requests: an application that treats our client otherwise shows it."""
ORDINARY_EVERY = 4
"""One request in so many has the ordinary User-Agent."""

REQUEST_ID = "{id}"
"""Replaced by the request's own id wherever it stands in a path, a header value or a text body."""

SUCCESS = (200, 201, 202, 203, 204)
"""Good answers if an entry names none; 206 and 304 too for a request that allows them (RFC 9110)."""

PARTIAL, NOT_MODIFIED = 206, 304

JOURNEY_ID = "{journey}"
"""Replaced by the id of a journey's first request wherever it stands in one of its steps."""


@dataclass(frozen=True)
class Body:
    """What a request carries: nothing, a fixed text, `size` random bytes with their checksum, or a JSON order."""

    kind: str = "none"
    text: str = ""
    size: int = 0
    content_type: str = ""
    chunked: bool = False


@dataclass(frozen=True)
class MixEntry:
    """One kind of request. `weight` is its share; `verify` is `echo`, or the header that names the body's SHA-256;
    `contains` is a text that the body of every good answer holds; `expected` None means every success.

    A `stream` (`events` or `websocket`) is held open for `timeout` seconds, over one connection after the other where
    the server ends it properly; docs/TRAFFIC.md has its contract. Over a WebSocket a message goes out `every` seconds.
    `steps` follow the request, in order and over the same connection, each `pause` seconds after the one before it.
    `timeout` in seconds overrides the plan's; 0 keeps it.
    """

    name: str
    method: str = "GET"
    path: str = "/"
    weight: float = 1.0
    headers: tuple[tuple[str, str], ...] = ()
    body: Body = field(default_factory=Body)
    expected: tuple[int, ...] | None = None
    verify: str = ""
    contains: str = ""
    stream: str = ""
    timeout: float = 0.0
    every: float = 0.25
    pause: float = 0.0
    steps: tuple[MixEntry, ...] = ()

    @property
    def successes(self) -> frozenset[int]:
        """The statuses of good answers. 304 and 206 are good only for a request that allows them."""
        if self.expected is not None:
            return frozenset(self.expected)
        conditional = {PARTIAL: ("range",), NOT_MODIFIED: ("if-none-match", "if-modified-since")}
        return frozenset(SUCCESS) | {status for status, names in conditional.items() if any(map(self._header, names))}

    @property
    def is_fresh(self) -> bool:
        """Whether the request goes over a connection of its own."""
        return "close" in self._header("connection")

    @property
    def expects_continue(self) -> bool:
        return "100-continue" in self._header("expect")

    def _header(self, wanted: str) -> str:
        return next((value.lower() for name, value in self.headers if name.lower() == wanted), "")
