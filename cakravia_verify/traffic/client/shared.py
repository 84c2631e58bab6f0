"""What all strict clients of a run share: the requests as bytes, where they go, and who keeps the records."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from cakravia_verify.system.clock import Microseconds, to_microseconds
from cakravia_verify.traffic.client.connection import Target
from cakravia_verify.traffic.client.http1 import RequestTemplate
from cakravia_verify.traffic.client.tls import client_context
from cakravia_verify.traffic.plan.mix import ECHO, SEQUENCE
from cakravia_verify.traffic.records.columns import quoted

if TYPE_CHECKING:
    from cakravia_verify.traffic.client.timer import Timer
    from cakravia_verify.traffic.plan.mix import MixEntry
    from cakravia_verify.traffic.plan.plan import TrafficPlan
    from cakravia_verify.traffic.records.rows import Outcome


class Told(NamedTuple):
    """What is told of a row besides the row itself: microseconds from the planned instant, bytes, and words."""

    latency: Microseconds
    size: int
    detail: str
    is_follow_up: bool = False


class Account(Protocol):
    """Who keeps the records."""

    def row(self, line: str, entry: MixEntry, outcome: Outcome, *, told: Told) -> None: ...
    def idle_close(self, at: Microseconds, connection: int, detail: str) -> None: ...


class StrictRun:
    """What all clients of a run share: requests as bytes, the target, the account and the numbering of connections."""

    def __init__(self, plan: TrafficPlan, *, alarm: Timer, account: Account) -> None:
        parts = urlsplit(plan.url)
        self.plan = plan
        self.account = account
        self.alarm = alarm
        self.half = to_microseconds(plan.round_trip / 2)
        self.connect_timeout = to_microseconds(plan.connect_timeout)
        self.connections = 0
        self.slot, self.version, self.served_slot = (
            name.lower().encode() for name in (plan.slot_header, plan.version_header, plan.served_slot_header)
        )
        self.work = [Work(entry, plan, parts.netloc.rpartition("@")[2]) for entry in plan.mix]
        verified = {work.verify_header for work in self.work if work.verify and not work.is_echo}
        family, address = _address(plan)
        self.target = Target(
            family=family,
            address=address,
            half=self.half,
            alarm=alarm,
            wanted=frozenset((self.slot, self.version, self.served_slot, *verified)),
            tls=client_context(ca_file=plan.ca_file, verify=plan.tls_verify) if parts.scheme == "https" else None,
            server_name=parts.hostname or "",
        )
        self._texts: dict[bytes, str] = {}

    def text(self, value: bytes | None) -> str:
        """A header's value as a CSV field; what the server may invent is remembered in bounded memory."""
        if value is None:
            return ""
        text = self._texts.get(value)
        if text is None:
            if len(self._texts) >= 1024:
                self._texts.clear()
            text = self._texts[value] = quoted(value.decode("utf-8", "replace"))
        return text


class Work:
    """A mix entry with everything about it that does not change from request to request."""

    def __init__(self, entry: MixEntry, plan: TrafficPlan, host: str) -> None:
        self.entry = entry
        self.host = host
        self.template = RequestTemplate(entry, host=host, request_id_header=plan.request_id_header, seed=plan.seed)
        self.timeout = to_microseconds(entry.timeout or plan.timeout)
        self.expected = frozenset((101,) if entry.stream == "websocket" else entry.successes)
        self.is_echo = entry.verify == ECHO
        self.head_only = entry.method == "HEAD"
        self.verify = "" if self.head_only or entry.stream else entry.verify
        self.contains = "" if self.head_only or entry.stream else entry.contains
        self.verify_header = self.verify.lower().encode()
        self.is_sequence = entry.stream == "events" and entry.verify == SEQUENCE
        self.is_fresh = entry.is_fresh or bool(entry.stream)
        self.name = quoted(entry.name)
        self.steps = [Work(step, plan, host) for step in entry.steps]


def _address(plan: TrafficPlan) -> tuple[int, object]:
    """The socket family and address the plan's connections go to, resolved once."""
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
