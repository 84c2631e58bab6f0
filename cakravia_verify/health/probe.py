"""The prober: one request to a slot, or to the proxy, for each reading. It never retries."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from cakravia_verify.errors import SettingsError
from cakravia_verify.foreign_text import LONGEST_NAME, one_line
from cakravia_verify.health.models import Reading, field_of
from cakravia_verify.health.wording import DEPLOYMENT_WORDS, failing_checks, first_line, means_ill, payload_of, word_of
from cakravia_verify.settings.contract import ContractSettings
from cakravia_verify.settings.headers import file_texts, from_root, merged, with_files
from cakravia_verify.settings.models import SiteSettings
from cakravia_verify.slots import Address
from cakravia_verify.system.http_exchange import (
    LONGEST_BODY,
    Exchange,
    HttpRequest,
    HttpResponse,
    NoConnectionError,
    ProtocolError,
    exchange,
)

USER_AGENT: Final = "cakravia-verify"
# Servers name both of the last two formats "deflate".
_UNPACKERS: Final = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}


@dataclass(frozen=True)
class Answer:
    """The answer to one request. `status_code` is None without an answer; `latency` is in seconds.

    `first_line` is the first line of the body, for people. It has no text from the file of a header.
    """

    status_code: int | None
    headers: Mapping[str, str]
    body: bytes
    problem: str
    latency: float
    first_line: str = ""


class Prober(Protocol):
    """Sends requests to an address and returns the answers. A failure is a reading as well, never an exception."""

    def read(self, address: Address, endpoint: str) -> Reading: ...

    def read_all(self, address: Address) -> tuple[Reading, ...]: ...

    def request(
        self, address: Address, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer: ...


class HttpProber:
    """A prober over HTTP/1.1. Each request uses a new connection, is sent once and follows no redirect.

    With `site`, a request has the headers of a user's request (`[site] host`, `scheme`). `root` is the folder of
    cakravia.toml, for headers with files.

    `timeout` limits the connect, and then the whole answer, even if bytes keep arriving. Cookies are not kept, so no
    answer depends on an earlier one. `transport` makes one request.
    """

    def __init__(
        self,
        contract: ContractSettings,
        *,
        timeout: float,
        site: SiteSettings | None = None,
        root: Path = Path(),
        transport: Exchange = exchange,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._contract = contract
        self._headers = merged(site.user_headers if site else {}, contract.headers)
        self._root = root
        self._secrets: set[str] = set()
        self._clock = clock
        self._timeout = timeout
        self._transport = transport

    def request(
        self, address: Address, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        began = self._clock()
        try:
            sent = self._headers_of_a_user(headers or {})
        except SettingsError as error:
            return Answer(None, {}, b"", error.message, 0.0)
        own = {"Host": _host_of(address), "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
        asked = HttpRequest(method, address, path, merged(own, {"User-Agent": USER_AGENT}, sent), body)
        try:
            answer = self._transport(asked, self._timeout)
            content = _content(answer)
        except (OSError, ProtocolError, ValueError) as error:
            return Answer(None, {}, b"", _in_words(error), self._clock() - began)
        told = self._without_secrets(first_line(content))
        return Answer(answer.status, answer.headers, content, "", self._clock() - began, told)

    def _headers_of_a_user(self, own: Mapping[str, str]) -> dict[str, str]:
        """Return all headers of a request; its own replace those of the site. Raises SettingsError."""
        headers = {name: from_root(value, self._root) for name, value in merged(self._headers, own).items()}
        self._secrets.update(text for value in headers.values() for text in file_texts(value))
        return {name: with_files(value) for name, value in headers.items()}

    def _without_secrets(self, text: str) -> str:
        """Return a text of the application without what came from the file of a header."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def read(self, address: Address, endpoint: str) -> Reading:
        path = self._contract.endpoints[endpoint]
        answer = self.request(address, "GET", path)
        payload = payload_of(answer.body)
        field = self._contract.health_field
        field = f"deployment.status|{field}" if endpoint == "status" else field
        state = self._without_secrets(word_of(payload, answer.body, field=field))
        return Reading(
            endpoint=endpoint,
            url=address.url + path,
            status_code=answer.status_code,
            state=state,
            slot=_name(field_of(payload, self._contract.slot_field) or answer.headers.get(self._contract.slot_header)),
            version=_name(
                field_of(payload, self._contract.version_field) or answer.headers.get(self._contract.version_header)
            ),
            in_flight=_whole_number(field_of(payload, self._contract.in_flight_field)),
            latency=answer.latency,
            problem=answer.problem or self._without_secrets(self._complaint(endpoint, answer, state, payload)),
        )

    def read_all(self, address: Address) -> tuple[Reading, ...]:
        """Read the endpoints in order, up to the first one without an answer: each of the others could hang as long."""
        readings: list[Reading] = []
        for endpoint in self._contract.endpoints:
            readings.append(self.read(address, endpoint))
            if readings[-1].status_code is None:
                break
        return tuple(readings)

    def _complaint(self, endpoint: str, answer: Answer, state: str, payload: Any) -> str:
        """Return why the answer is not healthy, with its failing checks or its first line; '' if it is healthy."""
        words = set(self._contract.unhealthy_words) - (DEPLOYMENT_WORDS if endpoint == "status" else set())
        is_ill = means_ill(state, words)
        if answer.status_code in self._contract.healthy_codes:
            return _in_short(f"state {state}", failing_checks(payload)) if is_ill else ""
        named = f", state {state}" if is_ill else ""
        goes = f" to {first_line(answer.headers['location'].encode())}" if "location" in answer.headers else ""
        told = failing_checks(payload) or ("" if goes else answer.first_line)
        return _in_short(f"status {answer.status_code}{goes}{named}", told)


def _host_of(address: Address) -> str:
    return str(address).removesuffix(":80")


def _content(answer: HttpResponse) -> bytes:
    """Return the body, unpacked. Raises ValueError if it is too long or cannot be unpacked."""
    packed = answer.headers.get("Content-Encoding", "identity").strip().lower()
    return answer.body if packed in ("identity", "") else _unpacked(answer.body, packed)


def _unpacked(content: bytes, encoding: str) -> bytes:
    """Return the content of a body in gzip or deflate. No part of it beyond the limit is unpacked."""
    if encoding not in _UNPACKERS:
        raise ValueError(f"the answer has Content-Encoding: {encoding[:40]}, which was not asked for")
    failure: Exception | None = None
    for bits in _UNPACKERS[encoding]:
        unpacker = zlib.decompressobj(wbits=bits)
        try:
            unpacked = unpacker.decompress(content, LONGEST_BODY + 1)
        except zlib.error as error:
            failure = error
            continue
        _require_short(unpacked)
        if content and not unpacker.eof:
            raise ValueError(f"the answer ends in the middle of its {encoding}")
        return unpacked
    raise ValueError(f"the answer is no {encoding}: {failure}")


def _require_short(content: bytes | bytearray) -> None:
    if len(content) > LONGEST_BODY:
        raise ValueError(f"the answer is longer than {LONGEST_BODY >> 20} MiB")


def _in_short(complaint: str, told: str) -> str:
    return f"{complaint}: {told}" if told else complaint


def _whole_number(text: str | None) -> int | None:
    return int(text) if text is not None and len(text) < 19 and text.isascii() and text.isdigit() else None


def _in_words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, NoConnectionError):
        return one_line(f"cannot connect: {error}")
    if "illegal request line" in str(error):  # h11's words for an answer that begins with a control character
        return "the answer is not HTTP/1.1; a slot that speaks only HTTP/2 (h2c, gRPC) or TLS is not supported"
    return one_line(f"{type(error).__name__}: {error}")


def _name(text: str | None) -> str | None:
    """Return the name of a slot or a version as an application gives it, bounded."""
    return None if text is None else one_line(text, longest=LONGEST_NAME)
