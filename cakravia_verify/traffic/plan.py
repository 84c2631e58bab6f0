"""What the traffic does: where to, how much, how it arrives and what each request is."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from cakravia_verify.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CHECKSUM_HEADER = "X-Content-SHA256"
REQUEST_ID = "{id}"
"""Replaced by the request's own id wherever it stands in a path, a header value or a text body."""

BODY_KINDS = ("none", "text", "random", "order")
ARRIVALS = ("constant", "poisson")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SUCCESS = (200, 201, 202, 203, 204, 206, 304)

T = TypeVar("T")


def _demand(held: bool, key: str, *, seen: object, wanted: str) -> None:
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
        _demand(self.kind in BODY_KINDS, "mix.body.kind", seen=self.kind, wanted=f"one of {', '.join(BODY_KINDS)}")
        _demand(0 <= self.size <= 1 << 30, "mix.body.size", seen=self.size, wanted="bytes between 0 and 1 GiB")


@dataclass(frozen=True)
class MixEntry:
    """One kind of request. `weight` is its share; `verify` is `echo`, or the header that names the body's SHA-256.

    A `stream` is held open until its timeout: it counts as answered when it was still flowing then, or ended properly.
    `timeout` in seconds overrides the plan's; 0 keeps it.
    """

    name: str
    method: str = "GET"
    path: str = "/"
    weight: float = 1.0
    headers: tuple[tuple[str, str], ...] = ()
    body: Body = field(default_factory=Body)
    expected: tuple[int, ...] = SUCCESS
    verify: str = ""
    stream: bool = False
    timeout: float = 0.0

    def __post_init__(self) -> None:
        where = f"mix.{self.name or '?'}"
        _demand(bool(self.name), "mix.name", seen=self.name, wanted="a short text that is unique in the mix")
        _demand(self.method in METHODS, f"{where}.method", seen=self.method, wanted=f"one of {', '.join(METHODS)}")
        _demand(_is_path(self.path), f"{where}.path", seen=self.path, wanted="a path that starts with / without spaces")
        _demand(
            math.isfinite(self.weight) and self.weight > 0, f"{where}.weight", seen=self.weight, wanted="more than 0"
        )
        _demand(bool(self.expected), f"{where}.expected", seen=self.expected, wanted="at least one status")
        _demand(
            all(200 <= status <= 599 for status in self.expected),
            f"{where}.expected",
            seen=self.expected,
            wanted="final statuses, 200 to 599",
        )
        _demand(self.timeout >= 0, f"{where}.timeout", seen=self.timeout, wanted="seconds, or 0 for the plan's")
        for name, value in self.headers:
            _demand(
                _is_header(name, value), f"{where}.headers", seen=f"{name}: {value}", wanted="one-line name and value"
            )
        _demand(
            not (self.verify == "echo" and self.body.kind == "none"),
            f"{where}.verify",
            seen=self.verify,
            wanted="a checksum header's name, or give the request a body to be echoed",
        )

    @property
    def is_fresh(self) -> bool:
        """Whether the request goes over a connection of its own."""
        return "close" in self._header("connection")

    @property
    def expects_continue(self) -> bool:
        return "100-continue" in self._header("expect")

    def _header(self, wanted: str) -> str:
        return next((value.lower() for name, value in self.headers if name.lower() == wanted), "")


@dataclass(frozen=True)
class TrafficPlan:
    """The whole load of a run. Times in seconds, `rate` in requests per second.

    `connect` overrides where the socket goes: `host:port` or `unix:/path`; empty follows the URL. `users` is the size
    of the connection pool, which may grow to `users * growth` when every connection is busy at a planned instant.
    `round_trip` is emulated between client and server (docs/ROUND_TRIP.md). `locustfile` names a file of the user's own
    whose user classes run beside ours, `locustfile_users` of them. Raises SettingsError naming the key.
    """

    url: str
    records: str
    run: str
    mix: tuple[MixEntry, ...]
    connect: str = ""
    users: int = 50
    growth: float = 4.0
    rate: float = 200.0
    arrivals: str = "poisson"
    seed: int = 1
    round_trip: float = 0.0
    timeout: float = 10.0
    connect_timeout: float = 2.0
    request_id_header: str = "X-Request-ID"
    slot_header: str = "X-Deployment-Slot"
    version_header: str = "X-Deployment-Version"
    served_slot_header: str = "X-Served-Slot"
    ca_file: str = ""
    tls_verify: bool = True
    locustfile: str = ""
    locustfile_users: int = 1
    html_report: bool = True

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        _demand(
            parts.scheme in ("http", "https") and bool(parts.hostname),
            "url",
            seen=self.url,
            wanted="an address as http://127.0.0.1:8080",
        )
        _demand(_is_address(self.connect), "connect", seen=self.connect, wanted="host:port, unix:/path or nothing")
        _demand(bool(self.records), "records", seen=self.records, wanted="the folder that takes the records")
        _demand(_is_run(self.run), "run", seen=self.run, wanted="letters, digits, `.`, `_` and `-`")
        _demand(1 <= self.users <= 20_000, "users", seen=self.users, wanted="1 to 20000 connections")
        _demand(1 <= self.growth <= 100, "growth", seen=self.growth, wanted="a factor of 1 to 100")
        _demand(0 < self.rate <= 100_000, "rate", seen=self.rate, wanted="requests per second, more than 0")
        _demand(self.arrivals in ARRIVALS, "arrivals", seen=self.arrivals, wanted=" or ".join(ARRIVALS))
        _demand(0 <= self.round_trip <= 10, "round_trip", seen=self.round_trip, wanted="0 to 10 seconds")
        _demand(0 < self.connect_timeout <= 600, "connect_timeout", seen=self.connect_timeout, wanted="seconds")
        _demand(0 < self.timeout <= 3600, "timeout", seen=self.timeout, wanted="seconds, more than 0")
        for key, seconds in self._timeouts():
            _demand(
                seconds > 2 * self.round_trip,
                key,
                seen=seconds,
                wanted="more than twice `round_trip`, or nothing arrives",
            )
        _demand(bool(self.mix), "mix", seen=self.mix, wanted="at least one kind of request")
        names = [entry.name for entry in self.mix]
        _demand(len(names) == len(set(names)), "mix.name", seen=names, wanted="names that differ")
        _demand(self.locustfile_users >= 0, "locustfile_users", seen=self.locustfile_users, wanted="0 or more")
        for key in ("request_id_header", "slot_header", "version_header", "served_slot_header"):
            _demand(_is_header(getattr(self, key), "x"), key, seen=getattr(self, key), wanted="a header name")

    def _timeouts(self) -> Iterable[tuple[str, float]]:
        yield "timeout", self.timeout
        yield "connect_timeout", self.connect_timeout
        for entry in self.mix:
            if entry.timeout:
                yield f"mix.{entry.name}.timeout", entry.timeout

    @property
    def longest_timeout(self) -> float:
        """Seconds after which every request that was taken up has ended, one way or another."""
        return self.connect_timeout + 2 * self.round_trip + max(seconds for _, seconds in self._timeouts())

    @property
    def most_users(self) -> int:
        return max(self.users, int(self.users * self.growth))

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> TrafficPlan:
        """The plan a JSON text holds; raises SettingsError for what is unknown, missing or of the wrong type."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise SettingsError(f"traffic: the plan is not JSON: {error}", remedy="write it with to_json()") from error
        _demand(isinstance(values, dict), "plan", seen=type(values).__name__, wanted="a JSON object")
        _demand(isinstance(values.get("mix"), list), "mix", seen=values.get("mix"), wanted="a list of requests")
        values["mix"] = tuple(_entry(item, f"mix[{index}]") for index, item in enumerate(values["mix"]))
        return _build(cls, values, "")


def _entry(values: Any, where: str) -> MixEntry:
    _demand(isinstance(values, dict), where, seen=values, wanted="an object")
    values = dict(values)
    if "body" in values:
        _demand(isinstance(values["body"], dict), f"{where}.body", seen=values["body"], wanted="an object")
        values["body"] = _build(Body, values["body"], f"{where}.body.")
    if "headers" in values:
        pairs = values["headers"]
        held = isinstance(pairs, list) and all(
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in pairs
        )
        _demand(held, f"{where}.headers", seen=pairs, wanted="a list of [name, value]")
        values["headers"] = tuple((name, value) for name, value in pairs)
    if "expected" in values:
        statuses = values["expected"]
        held = isinstance(statuses, list) and all(type(status) is int for status in statuses)
        _demand(held, f"{where}.expected", seen=statuses, wanted="a list of statuses")
        values["expected"] = tuple(statuses)
    return _build(MixEntry, values, f"{where}.")


_SCALARS: Mapping[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


def _build(kind: type[T], values: dict[str, Any], where: str) -> T:
    known = {item.name: str(item.type) for item in fields(kind)}  # type: ignore[arg-type]
    for key, value in values.items():
        _demand(key in known, f"{where}{key}", seen=value, wanted=f"nothing: it is not one of {', '.join(known)}")
        types = _SCALARS.get(known[key])
        if types is not None:
            held = isinstance(value, types) and (bool in types or not isinstance(value, bool))
            _demand(held, f"{where}{key}", seen=value, wanted=f"a value of type {known[key]}")
    try:
        return kind(**values)
    except TypeError as error:
        raise SettingsError(f"traffic: {where or 'plan'} {error}", remedy="give every key it needs") from error


def _is_path(path: str) -> bool:
    return path.startswith("/") and all(33 <= ord(letter) < 127 for letter in path)


def _is_header(name: str, value: str) -> bool:
    letters = name.replace("-", "").replace("_", "")
    return letters.isalnum() and name.isascii() and value.isascii() and value.isprintable()


def _is_run(run: str) -> bool:
    return 0 < len(run) <= 100 and run.isascii() and run.replace("-", "").replace("_", "").replace(".", "").isalnum()


def _is_address(address: str) -> bool:
    if not address or (address.startswith("unix:/") and len(address) > len("unix:/")):
        return True
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536
