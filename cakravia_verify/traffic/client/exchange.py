"""The phases of one request over an open connection: render, begin, write, await the end, judge.

These are functions over local values, since they run for every request: an object for each would cost 3% more CPU.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cakravia_verify.system.clock import NOT_YET, SECOND, Microseconds
from cakravia_verify.traffic.client.http1 import TextSearch
from cakravia_verify.traffic.client.timer import now_us
from cakravia_verify.traffic.plan.mix import NOT_MODIFIED
from cakravia_verify.traffic.records.rows import ANSWERED, ERROR, LOST

if TYPE_CHECKING:
    from cakravia_verify.traffic.client.connection import Connection
    from cakravia_verify.traffic.client.http1 import Digest
    from cakravia_verify.traffic.client.shared import PlannedRequest, PreparedRequest, StrictRun
    from cakravia_verify.traffic.client.streams import EventReader
    from cakravia_verify.traffic.records.rows import Outcome

GATEWAY_STATUSES = (502, 503, 504)
"""The proxy's answers when no slot answered."""

_GLANCE = Microseconds(20_000)
_CONTINUE_WAIT = SECOND
"""The time to wait for `100 Continue` before the body is sent anyway (RFC 9110, 10.1.1)."""


def render(prepared: PreparedRequest, request: PlannedRequest, events: EventReader | None) -> tuple[bytes, bytes, str]:
    """Return head, body (if it has to wait for `100 Continue`) and the checksum that an echo must have."""
    head, body, checksum = prepared.template.render(
        request.ident.encode(), request.number, journey=request.journey.encode()
    )
    if request.cookies is not None and not prepared.has_own_cookies:
        head = head.replace(b"\r\n", b"\r\n" + request.cookies.header(prepared.entry.path), 1)
    if events is not None and events.last:
        head = b"%sLast-Event-ID: %s\r\n\r\n" % (head[:-2], events.last.encode())
    return head, body, checksum


def begin(
    run: StrictRun,
    prepared: PreparedRequest,
    request: PlannedRequest,
    connection: Connection,
    events: EventReader | None,
) -> Digest | None:
    """Let the connection expect the answer. Returns what sees its body, if anything has to."""
    digest: Digest | None = events
    if prepared.verify:
        digest = hashlib.sha256()
    if prepared.contains:
        digest = TextSearch(prepared.contains_for(request), digest)
    if run.half:
        run.timer.sleep_until(now_us() + run.half)
    connection.begin(head_only=prepared.head_only, digest=digest)
    return digest


def write(run: StrictRun, connection: Connection, head: bytes, body: bytes, *, until: Microseconds) -> Microseconds:
    """Write the request. Returns the instant at which it was written completely, or NOT_YET."""
    if not connection.write(head, until=until):
        return NOT_YET
    sent = now_us()
    if not body:
        return sent
    if not connection.await_continue(until=min(until, sent + _CONTINUE_WAIT)):
        return NOT_YET
    if run.half:
        run.timer.sleep_until(now_us() + 2 * run.half)
    return now_us() if connection.write(body, until=until) else NOT_YET


def await_headers(connection: Connection, *, until: Microseconds) -> bool:
    """Wait for the headers of an answer. Returns whether the whole answer, or its end, came."""
    is_over = False
    while not is_over and not connection.reader.has_headers and now_us() < until:
        is_over = connection.await_answer(until=min(until, now_us() + _GLANCE))
    return is_over


def judge(
    prepared: PreparedRequest,
    connection: Connection,
    digest: Digest | None,
    *,
    checksum: str,
    is_over: bool,
    is_written: bool,
) -> tuple[Outcome, str]:
    """Return the outcome of a request whose answer ended, or whose time is over, and the reason for it."""
    reader = connection.reader
    if not is_over and not (prepared.entry.stream and reader.has_headers):
        return LOST, "timeout" if is_written else "timeout while writing"
    if reader.broken:
        return LOST, reader.broken
    if reader.status not in prepared.expected:
        return wrong_status(reader.status)
    if digest is None or not is_over:
        return ANSWERED, ""
    if isinstance(digest, TextSearch) and not digest.found and reader.status != NOT_MODIFIED:
        return LOST, f"body without {digest.text!r}"
    if not prepared.verify:
        return ANSWERED, ""
    if not prepared.is_echo:
        announced = reader.headers.get(prepared.verify_header)
        if announced is None:
            return ERROR, f"no {prepared.verify} in the response"
        checksum = announced.decode("ascii", "replace").strip().lower()
    return (ANSWERED, "") if digest.hexdigest() == checksum else (LOST, "body differs from its checksum")


def judge_events(
    outcome: Outcome, detail: str, events: EventReader, *, is_sequence: bool, is_over: bool
) -> tuple[Outcome, str]:
    """Return the outcome of an event stream: its ids have to follow each other if it is a sequence."""
    if outcome != ANSWERED:
        return outcome, detail
    if is_sequence and events.gap:
        return LOST, events.gap
    return outcome, "ended by the server" if is_over else detail


def wrong_status(status: int) -> tuple[Outcome, str]:
    """Return the outcome of an answer with a status that is not expected, and the reason."""
    if status in GATEWAY_STATUSES:
        return LOST, f"gateway says {status}"
    return ERROR, f"status {status}"
