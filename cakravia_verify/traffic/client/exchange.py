"""One request over one connection, in phases: begin, write, await the answer, judge it, travel back."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cakravia_verify.system.clock import NOT_YET, SECOND, Microseconds, to_microseconds
from cakravia_verify.traffic.client.http1 import TextSearch
from cakravia_verify.traffic.client.timer import now_us
from cakravia_verify.traffic.plan.mix import NOT_MODIFIED
from cakravia_verify.traffic.records.rows import Outcome

if TYPE_CHECKING:
    from cakravia_verify.traffic.client.connection import Connection
    from cakravia_verify.traffic.client.http1 import Digest
    from cakravia_verify.traffic.client.shared import PlannedRequest, PreparedRequest, StrictRun
    from cakravia_verify.traffic.client.streams import EventReader

GATEWAY_STATUSES = (502, 503, 504)
"""The proxy's answers when no slot answered."""

_GLANCE = Microseconds(20_000)
_CONTINUE_WAIT = SECOND
"""The time to wait for `100 Continue` before the body is sent anyway (RFC 9110, 10.1.1)."""


class Exchange:
    """One request over an open connection. It is written once; `sent` is NOT_YET if it was not written completely.

    `events` follows the ids of an event stream. The answer has to arrive before the request's time is over, half a
    round trip earlier at this machine than at the client that is emulated.
    """

    __slots__ = (
        "_connection",
        "_digest",
        "_events",
        "_is_over",
        "_prepared",
        "_request",
        "_run",
        "_search",
        "_started",
        "_until",
        "first_byte",
        "sent",
    )

    def __init__(
        self,
        run: StrictRun,
        prepared: PreparedRequest,
        connection: Connection,
        *,
        request: PlannedRequest,
        started: Microseconds,
        events: EventReader | None = None,
    ) -> None:
        self._run = run
        self._prepared = prepared
        self._connection = connection
        self._request = request
        self._started = started
        self._until = (request.until or started + prepared.timeout) - run.half
        self._events = events
        self._search: TextSearch | None = None
        self._digest: Digest | None = None
        self._is_over = False
        self.sent = NOT_YET
        self.first_byte = NOT_YET

    @property
    def is_reusable(self) -> bool:
        """Whether the connection may carry another request."""
        return self._is_over and bool(self.sent) and self._connection.reader.reusable

    def perform(self) -> tuple[Outcome, str]:
        """Send the request and wait for the end of its answer. Returns the outcome and the reason for it."""
        head, body, checksum = self._render()
        self._begin()
        self._write(head, body)
        self._await_answer()
        outcome, detail = self._judge(checksum)
        self._travel_back()
        return outcome, detail

    def _render(self) -> tuple[bytes, bytes, str]:
        request = self._request
        head, body, checksum = self._prepared.template.render(
            request.ident.encode(), request.number, journey=request.journey.encode()
        )
        if self._events is not None and self._events.last:
            head = b"%sLast-Event-ID: %s\r\n\r\n" % (head[:-2], self._events.last.encode())
        return head, body, checksum

    def _begin(self) -> None:
        """From here on the connection expects the answer."""
        prepared = self._prepared
        digest: Digest | None = self._events or (hashlib.sha256() if prepared.verify else None)
        if prepared.contains:
            digest = self._search = TextSearch(prepared.contains, digest)
        self._digest = digest
        self._travel(1)
        self._connection.begin(head_only=prepared.head_only, digest=digest)

    def _write(self, head: bytes, body: bytes) -> None:
        connection = self._connection
        is_written = connection.write(head, until=self._until)
        sent = now_us()
        if body and is_written:
            is_written = connection.await_continue(until=min(self._until, sent + _CONTINUE_WAIT))
            if is_written:
                self._travel(2)
                is_written = connection.write(body, until=self._until)
                sent = now_us()
        if is_written:
            self.sent = sent

    def _await_answer(self) -> None:
        connection = self._connection
        self._is_over = connection.await_answer(until=self._until)
        if self._events is None:
            return
        # A stream that is taken up shortly before its time is over still has to get the beginning of an answer.
        until = self._started + to_microseconds(self._run.plan.timeout) - self._run.half
        while not self._is_over and not connection.reader.has_headers and now_us() < until:
            self._is_over = connection.await_answer(until=min(until, now_us() + _GLANCE))

    def _judge(self, checksum: str) -> tuple[Outcome, str]:
        is_held = bool(self._prepared.entry.stream) and self._connection.reader.has_headers
        if not self._is_over and not is_held:
            return Outcome.LOST, "timeout" if self.sent else "timeout while writing"
        outcome, detail = self._judge_answer(checksum)
        if outcome != Outcome.ANSWERED or self._events is None:
            return outcome, detail
        if self._events.gap and self._prepared.is_sequence:
            return Outcome.LOST, self._events.gap
        return outcome, "ended by the server" if self._is_over else detail

    def _judge_answer(self, checksum: str) -> tuple[Outcome, str]:
        prepared, reader = self._prepared, self._connection.reader
        if reader.broken:
            return Outcome.LOST, reader.broken
        if reader.status not in prepared.expected:
            return wrong_status(reader.status)
        if not self._is_over:
            return Outcome.ANSWERED, ""
        if self._search is not None and not self._search.found and reader.status != NOT_MODIFIED:
            return Outcome.LOST, f"body without {prepared.contains!r}"
        received = self._digest.hexdigest() if self._digest is not None else ""
        if not received:
            return Outcome.ANSWERED, ""
        if not prepared.is_echo:
            announced = reader.headers.get(prepared.verify_header)
            if announced is None:
                return Outcome.ERROR, f"no {prepared.verify} in the response"
            checksum = announced.decode("ascii", "replace").strip().lower()
        if received != checksum:
            return Outcome.LOST, "body differs from its checksum"
        return Outcome.ANSWERED, ""

    def _travel_back(self) -> None:
        """The answer reaches the client half a round trip after it reached this machine."""
        connection, half = self._connection, self._run.half
        if half:
            self._run.timer.sleep_until(max((connection.finished or self._until) + half, now_us()))
        if connection.first_byte:
            self.first_byte = connection.first_byte + half

    def _travel(self, ways: int) -> None:
        if self._run.half:
            self._run.timer.sleep_until(now_us() + ways * self._run.half)


def wrong_status(status: int) -> tuple[Outcome, str]:
    """Return the outcome of an answer with a status that is not expected, and the reason."""
    if status in GATEWAY_STATUSES:
        return Outcome.LOST, f"gateway says {status}"
    return Outcome.ERROR, f"status {status}"
