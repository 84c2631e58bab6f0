"""What all strict clients of a run share: the requests as bytes, their target, and the records."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from cakravia_verify.foreign_text import LONGEST_NAME, one_line
from cakravia_verify.settings.headers import merged, with_files
from cakravia_verify.system.clock import NOT_YET, Microseconds, to_microseconds
from cakravia_verify.traffic.client.connection import Target
from cakravia_verify.traffic.client.http1 import SET_COOKIE, RequestTemplate
from cakravia_verify.traffic.client.tls import client_context
from cakravia_verify.traffic.plan.mix import ECHO, JOURNEY_ID, REQUEST_ID, SEQUENCE
from cakravia_verify.traffic.records.columns import quoted

if TYPE_CHECKING:
    from cakravia_verify.traffic.client.cookies import JourneyCookies
    from cakravia_verify.traffic.client.timer import Timer
    from cakravia_verify.traffic.plan.mix import MixEntry
    from cakravia_verify.traffic.plan.plan import TrafficPlan
    from cakravia_verify.traffic.records.rows import Outcome


class PlannedRequest(NamedTuple):
    """One request of an arrival. A follow-up is planned for the instant at which the request before it ended.

    `until` is the end of a stream, NOT_YET for other requests. `journey` is the id of the journey's first request, and
    `cookies` are those of the journey.
    """

    ident: str
    number: int
    planned: Microseconds
    until: Microseconds = NOT_YET
    is_follow_up: bool = False
    journey: str = ""
    cookies: JourneyCookies | None = None


class RequestResult(NamedTuple):
    """The result of a request: its outcome with the reason, its latency from the planned instant, bytes of body."""

    outcome: Outcome
    detail: str
    latency: Microseconds
    size: int
    is_follow_up: bool = False


class RunRecords(Protocol):
    """The records of a run: every request and every connection that the server closed while it was idle."""

    def add_request(self, line: str, entry: MixEntry, result: RequestResult) -> None: ...
    def add_idle_close(self, at: Microseconds, connection: int, detail: str) -> None: ...


class StrictRun:
    """What all clients of a run share: requests as bytes, the target, the records and the numbering of connections."""

    def __init__(self, plan: TrafficPlan, *, timer: Timer, records: RunRecords) -> None:
        parts = urlsplit(plan.url)
        self.plan = plan
        self.records = records
        self.timer = timer
        self.half = to_microseconds(plan.round_trip / 2)
        self.connect_timeout = to_microseconds(plan.connect_timeout)
        self.connections = 0
        self.slot, self.version, self.served_slot = (
            name.lower().encode() for name in (plan.slot_header, plan.version_header, plan.served_slot_header)
        )
        host = plan.host or parts.netloc.rpartition("@")[2]
        self.requests = [PreparedRequest(entry, plan, host) for entry in plan.mix]
        self.is_secure = parts.scheme == "https" or any(
            name.lower() == "x-forwarded-proto" and value == "https" for name, value in plan.headers
        )
        cookies = {SET_COOKIE} if any(request.steps for request in self.requests) else set()
        verified = {request.verify_header for request in self.requests if request.verify and not request.is_echo}
        family, address = _address(plan)
        self.target = Target(
            family=family,
            address=address,
            half=self.half,
            timer=timer,
            wanted=frozenset((self.slot, self.version, self.served_slot, *verified, *cookies)),
            tls=client_context(ca_file=plan.ca_file, verify=plan.tls_verify) if parts.scheme == "https" else None,
            server_name=plan.host.partition(":")[0] or parts.hostname or "",
        )
        self._texts: dict[bytes, str] = {}

    def text(self, value: bytes | None) -> str:
        """Return a header's value as a CSV field. At most 1,024 values are kept, whatever the server sends."""
        if value is None:
            return ""
        text = self._texts.get(value)
        if text is None:
            if len(self._texts) >= 1024:
                self._texts.clear()
            text = self._texts[value] = quoted(one_line(value.decode("utf-8", "replace"), longest=LONGEST_NAME))
        return text


class PreparedRequest:
    """A mix entry with everything about it that does not change from request to request."""

    def __init__(self, entry: MixEntry, plan: TrafficPlan, host: str) -> None:
        headers = {name: with_files(value) for name, value in merged(plan.headers, entry.headers).items()}
        own_host = next((name for name in headers if name.lower() == "host"), "")
        self.host = headers.pop(own_host, host)
        self.entry = entry = replace(entry, headers=tuple(headers.items()))
        self.template = RequestTemplate(entry, host=self.host, request_id_header=plan.request_id_header, seed=plan.seed)
        self.timeout = to_microseconds(entry.timeout or plan.timeout)
        self.expected = frozenset((101,) if entry.stream == "websocket" else entry.successes)
        self.has_own_cookies = any(name.lower() == "cookie" for name in headers)
        self.is_echo = entry.verify == ECHO
        self.head_only = entry.method == "HEAD"
        self.verify = "" if self.head_only or entry.stream else entry.verify
        self.contains = "" if self.head_only or entry.stream else entry.contains
        self.verify_header = self.verify.lower().encode()
        self.is_sequence = entry.stream == "events" and entry.verify == SEQUENCE
        self.is_fresh = entry.is_fresh or bool(entry.stream)
        self.name = quoted(entry.name)
        self.steps = [PreparedRequest(step, plan, host) for step in entry.steps]

    def contains_for(self, request: PlannedRequest) -> str:
        """Return the text that the answer to this request holds."""
        own = self.contains.replace(REQUEST_ID, request.ident)
        return own.replace(JOURNEY_ID, request.journey or request.ident)


def _address(plan: TrafficPlan) -> tuple[int, object]:
    """Return the socket family and the address of the plan's connections, resolved once."""
    if plan.connect.startswith("unix:"):
        return socket.AF_UNIX, plan.connect.removeprefix("unix:")
    parts = urlsplit(plan.url)
    host: str = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if plan.connect:
        host, _, text = plan.connect.rpartition(":")
        port = int(text)
    family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
    return family, address
