"""The entries of a traffic mix."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cakravia_verify.errors import SettingsError

if TYPE_CHECKING:
    pass


CHECKSUM_HEADER = "X-Content-SHA256"


REQUEST_ID = "{id}"
"""Replaced by the request's own id wherever it stands in a path, a header value or a text body."""


BODY_KINDS = ("none", "text", "random", "order")


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


SUCCESS = (200, 201, 202, 203, 204)
"""Good answers where an entry names none; 206 and 304 beside them only to a request that asks for such (RFC 9110)."""


PARTIAL, NOT_MODIFIED = 206, 304


SEQUENCE = "sequence"
"""What `verify` says of an event stream whose numbered ids must follow each other, over every connection."""


STREAMS = ("", "events", "websocket")


JOURNEY_ID = "{journey}"
"""Replaced by the id of a journey's first request wherever it stands in one of its steps."""


def demand(held: bool, key: str, *, seen: object, wanted: str) -> None:
    """Raises SettingsError naming the key and what to set it to, where the condition does not hold."""
    if not held:
        raise SettingsError(f"traffic: `{key}` is {seen!r}", remedy=f"set `{key}` to {wanted}")


@dataclass(frozen=True)
class Body:
    """What a request carries: nothing, a fixed text, `size` random bytes with their checksum, or a JSON order."""

    kind: str = "none"
    text: str = ""
    size: int = 0
    content_type: str = ""
    chunked: bool = False

    def __post_init__(self) -> None:
        demand(self.kind in BODY_KINDS, "mix.body.kind", seen=self.kind, wanted=f"one of {', '.join(BODY_KINDS)}")
        demand(0 <= self.size <= 1 << 30, "mix.body.size", seen=self.size, wanted="bytes between 0 and 1 GiB")


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

    def __post_init__(self) -> None:
        where = f"mix.{self.name or '?'}"
        demand(bool(self.name), "mix.name", seen=self.name, wanted="a short text that is unique in the mix")
        demand(self.method in METHODS, f"{where}.method", seen=self.method, wanted=f"one of {', '.join(METHODS)}")
        demand(_is_path(self.path), f"{where}.path", seen=self.path, wanted="a path that starts with / without spaces")
        demand(
            math.isfinite(self.weight) and self.weight > 0, f"{where}.weight", seen=self.weight, wanted="more than 0"
        )
        demand(self.expected != (), f"{where}.expected", seen=self.expected, wanted="at least one status")
        demand(
            all(200 <= status <= 599 for status in self.expected or ()),
            f"{where}.expected",
            seen=self.expected,
            wanted="final statuses, 200 to 599",
        )
        demand(self.timeout >= 0, f"{where}.timeout", seen=self.timeout, wanted="seconds, or 0 for the plan's")
        demand(self.stream in STREAMS, f"{where}.stream", seen=self.stream, wanted="events, websocket or nothing")
        demand(
            not self.stream or (self.method == "GET" and self.timeout > 0 and self.body.kind == "none"),
            f"{where}.stream",
            seen=f"{self.method}, timeout {self.timeout:g}",
            wanted="a GET without a body, with a `timeout` of its own: the seconds it is held",
        )
        demand(0.01 <= self.every <= 600, f"{where}.every", seen=self.every, wanted="0.01 to 600 seconds")
        demand(0 <= self.pause <= 60, f"{where}.pause", seen=self.pause, wanted="0 to 60 seconds")
        demand(
            not any(step.steps or step.stream for step in self.steps) and not (self.steps and self.stream),
            f"{where}.steps",
            seen=[step.name for step in self.steps],
            wanted="plain requests, without streams or further steps",
        )
        for name, value in self.headers:
            demand(
                _is_header(name, value), f"{where}.headers", seen=f"{name}: {value}", wanted="one-line name and value"
            )
        demand(
            not (self.verify == "echo" and self.body.kind == "none"),
            f"{where}.verify",
            seen=self.verify,
            wanted="a checksum header's name, or give the request a body to be echoed",
        )

        demand(
            not self.contains or self._header("accept-encoding") in ("", "identity"),
            f"{where}.contains",
            seen=self.contains,
            wanted="nothing, or leave out `Accept-Encoding`: no text is found in a compressed body",
        )

    @property
    def successes(self) -> frozenset[int]:
        """The statuses of good answers. An empty page is none: 304 and 206 answer only who asked for them."""
        if self.expected is not None:
            return frozenset(self.expected)
        asked = {PARTIAL: ("range",), NOT_MODIFIED: ("if-none-match", "if-modified-since")}
        return frozenset(SUCCESS) | {status for status, names in asked.items() if any(map(self._header, names))}

    @property
    def is_fresh(self) -> bool:
        """Whether the request goes over a connection of its own."""
        return "close" in self._header("connection")

    @property
    def expects_continue(self) -> bool:
        return "100-continue" in self._header("expect")

    def _header(self, wanted: str) -> str:
        return next((value.lower() for name, value in self.headers if name.lower() == wanted), "")


def _is_path(path: str) -> bool:
    return path.startswith("/") and all(33 <= ord(letter) < 127 for letter in path)


def _is_header(name: str, value: str) -> bool:
    letters = name.replace("-", "").replace("_", "")
    return letters.isalnum() and name.isascii() and value.isascii() and value.isprintable()
