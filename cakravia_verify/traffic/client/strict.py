"""The strict client: every request is written once, and its outcome is recorded as it was.

The client never resends, with no method and over no connection. A request that was written, or partly written, and got
no complete and correct answer is lost. A request that found no connection is unreached (docs/ROUND_TRIP.md).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypeAlias

from cakravia_verify.system.clock import NOT_YET, Microseconds, to_microseconds
from cakravia_verify.traffic.client.connection import Connection
from cakravia_verify.traffic.client.cookies import JourneyCookies
from cakravia_verify.traffic.client.exchange import (
    await_headers,
    begin,
    judge,
    judge_events,
    render,
    write,
    wrong_status,
)
from cakravia_verify.traffic.client.shared import PlannedRequest, PreparedRequest, RequestResult, StrictRun
from cakravia_verify.traffic.client.streams import RETRY, Dialogue, EventReader
from cakravia_verify.traffic.client.timer import now_us
from cakravia_verify.traffic.plan.mix import REQUEST_ID
from cakravia_verify.traffic.records.columns import quoted
from cakravia_verify.traffic.records.rows import ANSWERED, FOLLOW_UP, LOST, UNREACHED, line_of

if TYPE_CHECKING:
    from cakravia_verify.traffic.plan.mix import MixEntry
    from cakravia_verify.traffic.plan.schedule import Arrival
    from cakravia_verify.traffic.records.rows import Outcome


Instants: TypeAlias = tuple[Microseconds, Microseconds, Microseconds, Microseconds, Microseconds]
"""Of a request: started, connected, sent, first byte, done; NOT_YET for what did not happen."""


class StrictClient:
    """One user: at most one kept connection, one request at a time."""

    def __init__(self, run: StrictRun) -> None:
        self._run = run
        self._kept: Connection | None = None
        self._holds = False
        self._held: tuple[str, MixEntry, RequestResult] | None = None

    def send(self, arrival: Arrival) -> None:
        """Send the planned request, and what follows from it; return when all of it is recorded."""
        run = self._run
        prepared = run.requests[arrival.entry]
        request = PlannedRequest(f"{run.plan.run}-{arrival.number}", arrival.number, arrival.planned)
        if not prepared.steps and not prepared.entry.stream:
            self._send_once(request, prepared)
            return
        # The arrival's own row is written last: a reader that has this row has every row that followed from it.
        self._holds = True
        try:
            if prepared.entry.stream:
                self._hold_stream(request, prepared)
            else:
                self._make_journey(request, prepared)
        finally:
            self._holds = False
            if self._held is not None:
                line, entry, result = self._held
                self._held = None
                run.records.add_request(line, entry, result)

    def close(self) -> None:
        """Close the kept connection."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _make_journey(self, request: PlannedRequest, prepared: PreparedRequest) -> None:
        """Send the steps in order, as long as each is answered well. They share their cookies."""
        journey = request.ident
        cookies = JourneyCookies(is_secure=self._run.is_secure)
        outcome = self._send_once(request._replace(journey=journey, cookies=cookies), prepared)
        for index, step in enumerate(prepared.steps, start=1):
            if outcome != ANSWERED:
                return
            if step.entry.pause:
                self._run.timer.sleep_until(now_us() + to_microseconds(step.entry.pause))
            ident = f"{journey}{FOLLOW_UP}{index}"
            following = PlannedRequest(
                ident, request.number, now_us(), is_follow_up=True, journey=journey, cookies=cookies
            )
            outcome = self._send_once(following, step)

    def _hold_stream(self, request: PlannedRequest, prepared: PreparedRequest) -> None:
        """Hold the stream until its time is over, over the next connection each time the server ends it properly."""
        until = now_us() + prepared.timeout
        first = request.ident
        request = request._replace(until=until)
        hold = self._hold_websocket if prepared.entry.stream == "websocket" else self._hold_events
        carried = ""
        for index in itertools.count(1):
            outcome, carried = hold(request, prepared, carried)
            if outcome != ANSWERED or now_us() + RETRY >= until:
                return
            self._run.timer.sleep_until(now_us() + RETRY)
            ident = f"{first}{FOLLOW_UP}{index}"
            request = PlannedRequest(ident, request.number, now_us(), until, is_follow_up=True)

    def _send_once(self, request: PlannedRequest, prepared: PreparedRequest) -> Outcome:
        started = now_us()
        connection = None if prepared.is_fresh else self._kept
        if connection is not None:
            connection.in_use = True
            return self._exchange(request, prepared, connection, started, connected=NOT_YET)
        connection = self._connect(request, prepared, started)
        if connection is None:
            return UNREACHED
        if not prepared.is_fresh:
            self._kept = connection
        return self._exchange(request, prepared, connection, started, connected=now_us())

    def _connect(self, request: PlannedRequest, prepared: PreparedRequest, started: Microseconds) -> Connection | None:
        """Return a new connection. If there is none, record the request as unreached and return None."""
        run = self._run
        run.connections += 1
        connection = Connection(run.target, run.connections, self._forget)
        problem = connection.open(until=started + min(run.connect_timeout, prepared.timeout))
        if not problem:
            return connection
        instants = (started, NOT_YET, NOT_YET, NOT_YET, now_us())
        self._record(request, prepared, connection, instants, UNREACHED, problem)
        return None

    def _exchange(
        self,
        request: PlannedRequest,
        prepared: PreparedRequest,
        connection: Connection,
        started: Microseconds,
        *,
        connected: Microseconds,
        events: EventReader | None = None,
    ) -> Outcome:
        """Make one HTTP request over the connection, record it, and keep the connection if it may be used again."""
        run = self._run
        # The answer has to be at this machine half a round trip before the client's time is over.
        until = (request.until or started + prepared.timeout) - run.half
        head, body, checksum = render(prepared, request, events)
        digest = begin(run, prepared, request, connection, events)
        sent = write(run, connection, head, body, until=until)
        is_over = connection.await_answer(until=until)
        if events is not None and not is_over:
            # A stream that is taken up shortly before its time is over still has to get the beginning of an answer.
            is_over = await_headers(connection, until=started + to_microseconds(run.plan.timeout) - run.half)
        outcome, detail = judge(prepared, connection, digest, checksum=checksum, is_over=is_over, is_written=bool(sent))
        if events is not None:
            outcome, detail = judge_events(outcome, detail, events, is_sequence=prepared.is_sequence, is_over=is_over)
        if request.cookies is not None and connection.reader.cookies:
            request.cookies.keep(connection.reader.cookies, host=prepared.host, path=prepared.entry.path)
        if run.half:
            run.timer.sleep_until(max((connection.finished or until) + run.half, now_us()))
        first_byte = connection.first_byte + run.half if connection.first_byte else NOT_YET
        self._record(request, prepared, connection, (started, connected, sent, first_byte, now_us()), outcome, detail)
        self._release(connection, is_kept=is_over and bool(sent) and not prepared.is_fresh)
        return outcome

    def _release(self, connection: Connection, *, is_kept: bool) -> None:
        """Put the connection back if it may be used again; close it otherwise."""
        if is_kept and connection.reader.reusable:
            connection.release()
            return
        connection.close()
        if self._kept is connection:
            self._kept = None

    def _hold_events(self, request: PlannedRequest, prepared: PreparedRequest, last: str) -> tuple[Outcome, str]:
        """Return the outcome of one connection's share of an event stream, and the id of its last event."""
        started = now_us()
        connection = self._connect(request, prepared, started)
        if connection is None:
            return UNREACHED, last
        events = EventReader(last)
        outcome = self._exchange(request, prepared, connection, started, connected=now_us(), events=events)
        return outcome, events.last

    def _hold_websocket(
        self, request: PlannedRequest, prepared: PreparedRequest, unanswered: str
    ) -> tuple[Outcome, str]:
        """Return the outcome of one WebSocket, and the message that its server closed without answering."""
        run, started = self._run, now_us()
        connection = self._connect(request, prepared, started)
        if connection is None:
            return UNREACHED, unanswered
        connected = now_us()
        dialogue = Dialogue(connection, timer=run.timer, half=run.half, patience=to_microseconds(run.plan.timeout))
        problem = self._open_dialogue(dialogue, request, prepared)
        sent = NOT_YET if problem.endswith("while writing") else now_us()
        if not problem:
            every = to_microseconds(prepared.entry.every)
            problem = dialogue.talk(until=request.until, every=every, ident=request.ident, first=unanswered)
        outcome, detail = _dialogue_outcome(dialogue, problem, until=request.until)
        reader = connection.reader
        reader.status, reader.headers, reader.received = dialogue.status, dialogue.headers, dialogue.received
        if run.half:
            run.timer.sleep_until(now_us() + run.half)
        first_byte = connection.first_byte + run.half if connection.first_byte else NOT_YET
        instants = (started, connected, sent, first_byte, now_us())
        self._record(request, prepared, connection, instants, outcome, detail)
        connection.close()
        return outcome, dialogue.unanswered

    def _open_dialogue(self, dialogue: Dialogue, request: PlannedRequest, prepared: PreparedRequest) -> str:
        ident, entry = request.ident, prepared.entry
        headers = [(self._run.plan.request_id_header.encode(), ident.encode())]
        headers += [(name.encode(), value.replace(REQUEST_ID, ident).encode()) for name, value in entry.headers]
        return dialogue.open(host=prepared.host, path=entry.path.replace(REQUEST_ID, ident), headers=headers)

    def _record(
        self,
        request: PlannedRequest,
        prepared: PreparedRequest,
        connection: Connection,
        instants: Instants,
        outcome: Outcome,
        detail: str,
    ) -> None:
        run, reader = self._run, connection.reader
        headers, text = reader.headers, run.text
        started, connected, sent, first_byte, done = instants
        line = line_of(
            request.ident,
            connection.number,
            0 if connected or outcome is UNREACHED else 1,
            prepared.entry.method,
            prepared.name,
            request.planned,
            started,
            connected or "",
            sent or "",
            first_byte or "",
            done,
            reader.status or "",
            reader.received,
            text(headers.get(run.slot)),
            text(headers.get(run.version)),
            text(headers.get(run.served_slot)),
            outcome,
            quoted(detail) if detail else "",
            1,
        )
        result = RequestResult(outcome, detail, done - request.planned, reader.received, request.is_follow_up)
        if self._holds and not request.is_follow_up and outcome == ANSWERED:
            self._held = (line, prepared.entry, result)
        else:
            run.records.add_request(line, prepared.entry, result)

    def _forget(self, connection: Connection) -> None:
        connection.close()
        if self._kept is connection:
            self._kept = None
        self._run.records.add_idle_close(now_us(), connection.number, connection.how)


def _dialogue_outcome(dialogue: Dialogue, problem: str, *, until: Microseconds) -> tuple[Outcome, str]:
    if dialogue.status not in (0, 101):
        return wrong_status(dialogue.status)
    if problem:
        return LOST, problem
    if dialogue.is_closed_by_server and now_us() < until:
        return ANSWERED, f"closed by the server with {dialogue.close_code}"
    return ANSWERED, ""
