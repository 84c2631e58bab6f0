"""The prober: asks a slot, or the site through the proxy, and never asks twice for one reading."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from cakravia_verify.health.models import HEALTHY_WORDS, Reading, field_of
from cakravia_verify.settings import ContractSettings
from cakravia_verify.slots import Address


@dataclass(frozen=True)
class Answer:
    """The answer to a plain request. `status_code` is None where none came; `latency` is in seconds."""

    status_code: int | None
    headers: Mapping[str, str]
    body: bytes
    problem: str
    latency: float


class Prober(Protocol):
    """Puts questions to an address and returns what came back; a failure is a reading too, never an exception."""

    def read(self, address: Address, endpoint: str) -> Reading: ...

    def read_all(self, address: Address) -> tuple[Reading, ...]: ...

    def request(
        self, address: Address, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer: ...


class HttpProber:
    """A prober over HTTP/1.1. Every question goes over a fresh connection, is asked once and follows no redirect."""

    def __init__(
        self,
        contract: ContractSettings,
        *,
        timeout: float,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._contract = contract
        self._clock = clock
        self._client = httpx.Client(
            transport=transport
            or httpx.HTTPTransport(retries=0, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)),
            timeout=timeout,
            trust_env=False,
            headers={"User-Agent": "cakravia-verify", "Connection": "close"},
        )

    def request(
        self, address: Address, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        began = self._clock()
        try:
            answer = self._client.request(method, address.url + path, content=body or None, headers=dict(headers or {}))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return Answer(None, {}, b"", _in_words(error), self._clock() - began)
        return Answer(answer.status_code, answer.headers, answer.content, "", self._clock() - began)

    def read(self, address: Address, endpoint: str) -> Reading:
        path = self._contract.endpoints[endpoint]
        answer = self.request(address, "GET", path)
        payload = _payload(answer.body)
        state = field_of(payload, "status" if endpoint != "status" else "deployment.status|status") or ""
        return Reading(
            endpoint=endpoint,
            url=address.url + path,
            status_code=answer.status_code,
            state=state,
            slot=field_of(payload, self._contract.slot_field) or answer.headers.get(self._contract.slot_header),
            version=field_of(payload, self._contract.version_field)
            or answer.headers.get(self._contract.version_header),
            in_flight=_whole_number(field_of(payload, self._contract.in_flight_field)),
            latency=answer.latency,
            problem=answer.problem or self._complaint(answer.status_code, state, payload),
        )

    def read_all(self, address: Address) -> tuple[Reading, ...]:
        return tuple(self.read(address, endpoint) for endpoint in self._contract.endpoints)

    def _complaint(self, status_code: int | None, state: str, payload: Any) -> str:
        if status_code not in self._contract.healthy_codes:
            failing = _failing_checks(payload)
            return f"status {status_code}{f', says {state}' if state else ''}{f': {failing}' if failing else ''}"
        if state and state.lower() not in HEALTHY_WORDS:
            return f"says {state}"
        return ""


def _payload(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _failing_checks(payload: Any) -> str:
    checks = payload.get("checks") if isinstance(payload, Mapping) else None
    rows = checks if isinstance(checks, list) else []
    bad = [row for row in rows if isinstance(row, Mapping) and str(row.get("status", "")) in ("fail", "unhealthy")]
    return ", ".join(
        f"{row.get('name')} {row.get('message') or row.get('detail') or row.get('status')}" for row in bad
    )[:300]


def _whole_number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _in_words(error: Exception) -> str:
    if isinstance(error, httpx.ConnectTimeout | httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError):
        return "connection refused" if "refused" in str(error).lower() else f"cannot connect: {error}"
    return f"{type(error).__name__}: {error}"
