"""The strict client: every request is written once, and what became of it is told as it was.

It never resends, on no method and no connection. A request that was written, or partly written, and not completely and
correctly answered is lost; one that never found a connection is unreached (docs/ROUND_TRIP.md for the times).
"""

from __future__ import annotations

import hashlib
import socket
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from cakravia_verify.traffic.alarm import now_us
from cakravia_verify.traffic.connection import Connection, Target
from cakravia_verify.traffic.http1 import RequestTemplate
from cakravia_verify.traffic.records import ANSWERED, ERROR, LOST, UNREACHED, quoted
from cakravia_verify.traffic.tls import client_context

if TYPE_CHECKING:
    from cakravia_verify.traffic.alarm import Alarm
    from cakravia_verify.traffic.plan import MixEntry, TrafficPlan
    from cakravia_verify.traffic.schedule import Arrival

GATEWAY_STATUSES = (502, 503, 504)
"""The gateway's way of saying that nobody answered."""

_CONTINUE_PATIENCE = 1_000_000
"""Microseconds to wait for 100 Continue before sending the body anyway (RFC 9110, 10.1.1)."""


class Told(NamedTuple):
    """What is told of a row besides the row itself: microseconds from the planned instant, bytes, and words."""

    latency: int
    size: int
    detail: str
    is_follow_up: bool = False


class Account(Protocol):
    """Who keeps the records."""

    def row(self, line: str, entry: MixEntry, outcome: str, *, told: Told) -> None: ...
    def idle_close(self, at: int, connection: int, detail: str) -> None: ...


class StrictRun:
    """What all clients of a run share: requests as bytes, the target, the account and the numbering of connections."""

    def __init__(self, plan: TrafficPlan, *, alarm: Alarm, account: Account) -> None:
        parts = urlsplit(plan.url)
        self.plan = plan
        self.account = account
        self.alarm = alarm
        self.half = round(plan.round_trip * 1e6 / 2)
        self.connect_timeout = round(plan.connect_timeout * 1e6)
        self.connections = 0
        self.slot, self.version, self.served_slot = (
            name.lower().encode() for name in (plan.slot_header, plan.version_header, plan.served_slot_header)
        )
        self.work = [_Work(entry, plan, parts.netloc.rpartition("@")[2]) for entry in plan.mix]
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


class _Work:
    """A mix entry with everything about it that does not change from request to request."""

    def __init__(self, entry: MixEntry, plan: TrafficPlan, host: str) -> None:
        self.entry = entry
        self.template = RequestTemplate(entry, host=host, request_id_header=plan.request_id_header, seed=plan.seed)
        self.timeout = round((entry.timeout or plan.timeout) * 1e6)
        self.expected = frozenset(entry.expected)
        self.is_echo = entry.verify == "echo"
        self.head_only = entry.method == "HEAD"
        self.verify = "" if self.head_only else entry.verify
        self.verify_header = self.verify.lower().encode()
        self.is_fresh = entry.is_fresh
        self.csv = f"{entry.method},{quoted(entry.name)}"


class StrictClient:
    """One user: at most one kept connection, one request at a time."""

    def __init__(self, run: StrictRun) -> None:
        self._run = run
        self._kept: Connection | None = None

    def send(self, arrival: Arrival) -> None:
        """Sends one request and records what became of it; returns when the client knows."""
        run = self._run
        work = run.work[arrival.entry]
        started = now_us()
        connection = None if work.is_fresh else self._kept
        if connection is not None:
            connection.in_use = True
            self._exchange(arrival, work, connection, started, connected=0)
            return
        run.connections += 1
        connection = Connection(run.target, run.connections, self._forget)
        why = connection.open(until=started + min(run.connect_timeout, work.timeout))
        if why:
            done = now_us()
            self._record(arrival, work, connection, (started, 0, 0, 0, done), 0, UNREACHED, why)
            return
        if not work.is_fresh:
            self._kept = connection
        self._exchange(arrival, work, connection, started, connected=now_us())

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _exchange(self, arrival: Arrival, work: _Work, connection: Connection, started: int, *, connected: int) -> None:
        run = self._run
        half = run.half
        until = started + work.timeout - half  # an answer that arrives later is not seen by the client in time
        number = arrival.number
        head, body, checksum = work.template.render(f"{run.plan.run}-{number}".encode(), number)
        digest = hashlib.sha256() if work.verify else None
        if half:
            run.alarm.sleep_until(now_us() + half)
        connection.begin(head_only=work.head_only, digest=digest)
        is_written = connection.write(head, until=until)
        sent = now_us()
        if body and is_written:
            if connection.await_continue(until=min(until, sent + _CONTINUE_PATIENCE)):
                if half:
                    run.alarm.sleep_until(now_us() + 2 * half)
                is_written = connection.write(body, until=until)
                sent = now_us()
            else:
                is_written = False
        is_over = connection.await_answer(until=until)
        reader = connection.reader
        if is_over:
            outcome, detail = self._judge(work, connection, checksum, digest.hexdigest() if digest else "")
        elif work.entry.stream and reader.has_headers:
            outcome, detail = self._judge(work, connection, "", "")
        else:
            outcome, detail = LOST, "timeout" if is_written else "timeout while writing"
        if half:
            run.alarm.sleep_until(max((connection.finished or until) + half, now_us()))
        first_byte = connection.first_byte and connection.first_byte + half
        done = now_us()
        times = (started, connected, sent if is_written else 0, first_byte, done)
        self._record(arrival, work, connection, times, 0 if connected else 1, outcome, detail)
        if is_over and is_written and reader.reusable and not work.is_fresh:
            connection.release()
        else:
            connection.close()
            if self._kept is connection:
                self._kept = None

    def _judge(self, work: _Work, connection: Connection, checksum: str, received: str) -> tuple[str, str]:
        """The outcome of a response that came to its end, and what to say about it."""
        reader = connection.reader
        if reader.broken:
            return LOST, reader.broken
        status = reader.status
        if status not in work.expected:
            return (LOST, f"gateway says {status}") if status in GATEWAY_STATUSES else (ERROR, f"status {status}")
        if not received:
            return ANSWERED, ""
        if not work.is_echo:
            announced = reader.headers.get(work.verify_header)
            if announced is None:
                return ERROR, f"no {work.verify} in the response"
            checksum = announced.decode("ascii", "replace").strip().lower()
        return (ANSWERED, "") if received == checksum else (LOST, "body differs from its checksum")

    def _record(
        self,
        arrival: Arrival,
        work: _Work,
        connection: Connection,
        times: tuple[int, int, int, int, int],
        reused: int,
        outcome: str,
        detail: str,
    ) -> None:
        run = self._run
        reader = connection.reader
        headers = reader.headers
        text = run.text
        started, connected, sent, first_byte, done = times
        planned = arrival.planned
        line = (
            f"{run.plan.run}-{arrival.number},{connection.number},{reused},{work.csv},"
            f"{planned},{started},{connected or ''},{sent or ''},{first_byte or ''},{done},{reader.status or ''},"
            f"{reader.received},{text(headers.get(run.slot))},{text(headers.get(run.version))},"
            f"{text(headers.get(run.served_slot))},{outcome},{quoted(detail) if detail else ''},1\n"
        )
        run.account.row(line, work.entry, outcome, told=Told(done - planned, reader.received, detail))

    def _forget(self, connection: Connection) -> None:
        connection.close()
        if self._kept is connection:
            self._kept = None
        self._run.account.idle_close(now_us(), connection.number, connection.how)


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
