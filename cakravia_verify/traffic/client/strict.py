"""The strict client: every request is written once, and what became of it is told as it was.

It never resends, on no method and no connection. A request that was written, or partly written, and not completely and
correctly answered is lost; one that never found a connection is unreached (docs/ROUND_TRIP.md for the times).
"""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, NamedTuple

from cakravia_verify.system.clock import NOT_YET, SECOND, Microseconds, to_microseconds
from cakravia_verify.traffic.client.connection import Connection
from cakravia_verify.traffic.client.http1 import TextSearch
from cakravia_verify.traffic.client.shared import StrictRun, Told, Work
from cakravia_verify.traffic.client.streams import RETRY, Dialogue, EventReader
from cakravia_verify.traffic.client.timer import now_us
from cakravia_verify.traffic.plan.mix import NOT_MODIFIED, REQUEST_ID
from cakravia_verify.traffic.records.columns import quoted
from cakravia_verify.traffic.records.rows import FOLLOW_UP, ROW_LINE, Outcome

if TYPE_CHECKING:
    from cakravia_verify.traffic.client.http1 import Digest
    from cakravia_verify.traffic.plan.mix import MixEntry
    from cakravia_verify.traffic.plan.schedule import Arrival

GATEWAY_STATUSES = (502, 503, 504)
"""The gateway's way of saying that nobody answered."""

_GLANCE = Microseconds(20_000)
_CONTINUE_PATIENCE = SECOND
"""The time to wait for 100 Continue before sending the body anyway (RFC 9110, 10.1.1)."""


class Ask(NamedTuple):
    """One request of an arrival. A follow-up is planned when what it follows from has come to its end."""

    ident: str
    number: int
    planned: Microseconds
    until: Microseconds = NOT_YET
    is_follow_up: bool = False
    journey: str = ""
    last_event: str = ""


class StrictClient:
    """One user: at most one kept connection, one request at a time."""

    def __init__(self, run: StrictRun) -> None:
        self._run = run
        self._kept: Connection | None = None
        self._holds = False
        self._held: tuple[str, MixEntry, Outcome, Told] | None = None

    def send(self, arrival: Arrival) -> None:
        """Sends what was planned and records what became of it; returns when the client knows."""
        run = self._run
        work = run.work[arrival.entry]
        ask = Ask(f"{run.plan.run}-{arrival.number}", arrival.number, arrival.planned)
        if not work.steps and not work.entry.stream:
            self._ask(ask, work)
            return
        # The arrival's own row is written last: whoever has seen it has seen everything that followed from it.
        self._holds = True
        try:
            if work.entry.stream:
                self._stream(ask, work)
            else:
                self._journey(ask, work)
        finally:
            self._holds = False
            if self._held is not None:
                line, entry, outcome, told = self._held
                self._held = None
                run.account.row(line, entry, outcome, told=told)

    def _journey(self, ask: Ask, work: Work) -> None:
        """The steps in order, as long as each is answered well."""
        outcome = self._ask(ask._replace(journey=ask.ident), work)
        for index, step in enumerate(work.steps, start=1):
            if outcome != Outcome.ANSWERED:
                return
            if step.entry.pause:
                self._run.alarm.sleep_until(now_us() + to_microseconds(step.entry.pause))
            following = Ask(
                f"{ask.ident}{FOLLOW_UP}{index}", ask.number, now_us(), is_follow_up=True, journey=ask.ident
            )
            outcome = self._ask(following, step)

    def _stream(self, ask: Ask, work: Work) -> None:
        """The stream until its time is over, over one connection after the other where the server ends it properly."""
        until = now_us() + work.timeout
        ask = ask._replace(until=until)
        talk = self._dialogue if work.entry.stream == "websocket" else self._events
        carried = ""
        for index in itertools.count(1):
            outcome, carried = talk(ask, work, carried)
            if outcome != Outcome.ANSWERED or now_us() + RETRY >= until:
                return
            self._run.alarm.sleep_until(now_us() + RETRY)
            first = ask.ident.partition(FOLLOW_UP)[0]
            ask = Ask(f"{first}{FOLLOW_UP}{index}", ask.number, now_us(), until, is_follow_up=True)

    def _ask(self, ask: Ask, work: Work) -> Outcome:
        started = now_us()
        connection = None if work.is_fresh else self._kept
        if connection is not None:
            connection.in_use = True
            return self._exchange(ask, work, connection, started, connected=NOT_YET)
        connection = self._connected(ask, work, started)
        if connection is None:
            return Outcome.UNREACHED
        if not work.is_fresh:
            self._kept = connection
        return self._exchange(ask, work, connection, started, connected=now_us())

    def _connected(self, ask: Ask, work: Work, started: Microseconds) -> Connection | None:
        """A new connection; None, and recorded, where there is none to be had."""
        run = self._run
        run.connections += 1
        connection = Connection(run.target, run.connections, self._forget)
        why = connection.open(until=started + min(run.connect_timeout, work.timeout))
        if why:
            self._record(
                ask, work, connection, (started, NOT_YET, NOT_YET, NOT_YET, now_us()), 0, Outcome.UNREACHED, why
            )
            return None
        return connection

    def _events(self, ask: Ask, work: Work, last: str) -> tuple[Outcome, str]:
        """The outcome of one connection's share of an event stream, and the id of its last event."""
        started = now_us()
        connection = self._connected(ask, work, started)
        if connection is None:
            return Outcome.UNREACHED, last
        reader = EventReader(last)
        outcome = self._exchange(ask, work, connection, started, connected=now_us(), reader=reader)
        return outcome, reader.last

    def _dialogue(self, ask: Ask, work: Work, unanswered: str) -> tuple[Outcome, str]:
        """The outcome of one WebSocket, and the message that its server closed without answering."""
        run, entry = self._run, work.entry
        started = now_us()
        connection = self._connected(ask, work, started)
        if connection is None:
            return Outcome.UNREACHED, unanswered
        connected = now_us()
        patience = to_microseconds(run.plan.timeout)
        dialogue = Dialogue(connection, alarm=run.alarm, half=run.half, patience=patience)
        headers = [(run.plan.request_id_header.encode(), ask.ident.encode())]
        headers += [(name.encode(), value.replace(REQUEST_ID, ask.ident).encode()) for name, value in entry.headers]
        path = entry.path.replace(REQUEST_ID, ask.ident)
        why = dialogue.open(host=work.host, path=path, headers=headers)
        sent = NOT_YET if why.endswith("while writing") else now_us()
        reader = connection.reader
        reader.status, reader.headers = dialogue.status, dialogue.headers
        if not why:
            every = to_microseconds(entry.every)
            why = dialogue.talk(until=ask.until, every=every, ident=ask.ident, first=unanswered)
        outcome, detail = (Outcome.LOST, why) if why else (Outcome.ANSWERED, "")
        if dialogue.status not in (0, 101):
            outcome, detail = self._wrong_status(dialogue.status)
        elif outcome == Outcome.ANSWERED and dialogue.is_closed_by_server and now_us() < ask.until:
            detail = f"closed by the server with {dialogue.close_code}"
        reader.received = dialogue.received
        if run.half:
            run.alarm.sleep_until(now_us() + run.half)
        times = (started, connected, sent, connection.first_byte and connection.first_byte + run.half, now_us())
        self._record(ask, work, connection, times, 0, outcome, detail)
        connection.close()
        return outcome, dialogue.unanswered

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _exchange(
        self,
        ask: Ask,
        work: Work,
        connection: Connection,
        started: Microseconds,
        *,
        connected: Microseconds,
        reader: EventReader | None = None,
    ) -> Outcome:
        run = self._run
        half = run.half
        # An answer that arrives later is not seen by the client in time.
        until = (ask.until or started + work.timeout) - half
        head, body, checksum = work.template.render(ask.ident.encode(), ask.number, journey=ask.journey.encode())
        if reader is not None and reader.last:
            head = b"%sLast-Event-ID: %s\r\n\r\n" % (head[:-2], reader.last.encode())
        digest: Digest | None = reader or (hashlib.sha256() if work.verify else None)
        search = TextSearch(work.contains, digest) if work.contains else None
        digest = search or digest
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
        # A stream taken up shortly before its time is over is still owed the beginning of an answer.
        owed = started + to_microseconds(run.plan.timeout) - half if reader is not None else NOT_YET
        while not is_over and not connection.reader.has_headers and now_us() < owed:
            is_over = connection.await_answer(until=min(owed, now_us() + _GLANCE))
        response = connection.reader
        if is_over:
            outcome, detail = self._judge(work, connection, checksum, digest.hexdigest() if digest else "", search)
            if outcome == Outcome.ANSWERED and reader is not None:
                detail = "ended by the server"
        elif work.entry.stream and response.has_headers:
            outcome, detail = self._judge(work, connection, "", "", None)
        else:
            outcome, detail = Outcome.LOST, "timeout" if is_written else "timeout while writing"
        if reader is not None and reader.gap and work.is_sequence and outcome == Outcome.ANSWERED:
            outcome, detail = Outcome.LOST, reader.gap
        if half:
            run.alarm.sleep_until(max((connection.finished or until) + half, now_us()))
        first_byte = connection.first_byte and connection.first_byte + half
        done = now_us()
        times = (started, connected, sent if is_written else NOT_YET, first_byte, done)
        self._record(ask, work, connection, times, 0 if connected else 1, outcome, detail)
        if is_over and is_written and response.reusable and not work.is_fresh:
            connection.release()
        else:
            connection.close()
            if self._kept is connection:
                self._kept = None
        return outcome

    def _judge(
        self, work: Work, connection: Connection, checksum: str, received: str, search: TextSearch | None
    ) -> tuple[Outcome, str]:
        """The outcome of a response that came to its end, and what to say about it."""
        reader = connection.reader
        if reader.broken:
            return Outcome.LOST, reader.broken
        status = reader.status
        if status not in work.expected:
            return self._wrong_status(status)
        if search is not None and not search.found and status != NOT_MODIFIED:
            return Outcome.LOST, f"body without {work.contains!r}"
        if not received:
            return Outcome.ANSWERED, ""
        if not work.is_echo:
            announced = reader.headers.get(work.verify_header)
            if announced is None:
                return Outcome.ERROR, f"no {work.verify} in the response"
            checksum = announced.decode("ascii", "replace").strip().lower()
        return (Outcome.ANSWERED, "") if received == checksum else (Outcome.LOST, "body differs from its checksum")

    def _wrong_status(self, status: int) -> tuple[Outcome, str]:
        return (
            (Outcome.LOST, f"gateway says {status}")
            if status in GATEWAY_STATUSES
            else (Outcome.ERROR, f"status {status}")
        )

    def _record(
        self,
        ask: Ask,
        work: Work,
        connection: Connection,
        times: tuple[Microseconds, Microseconds, Microseconds, Microseconds, Microseconds],
        reused: int,
        outcome: Outcome,
        detail: str,
    ) -> None:
        run = self._run
        reader = connection.reader
        headers = reader.headers
        text = run.text
        started, connected, sent, first_byte, done = times
        planned = ask.planned
        line = ROW_LINE % {
            "id": ask.ident,
            "connection": connection.number,
            "reused": reused,
            "method": work.entry.method,
            "name": work.name,
            "planned": planned,
            "started": started,
            "connected": connected or "",
            "sent": sent or "",
            "first_byte": first_byte or "",
            "done": done,
            "status": reader.status or "",
            "bytes": reader.received,
            "slot": text(headers.get(run.slot)),
            "version": text(headers.get(run.version)),
            "served_slot": text(headers.get(run.served_slot)),
            "outcome": outcome,
            "detail": quoted(detail) if detail else "",
            "strict": 1,
        }
        told = Told(done - planned, reader.received, detail, ask.is_follow_up)
        if self._holds and not ask.is_follow_up and outcome == Outcome.ANSWERED:
            self._held = (line, work.entry, outcome, told)
        else:
            run.account.row(line, work.entry, outcome, told=told)

    def _forget(self, connection: Connection) -> None:
        connection.close()
        if self._kept is connection:
            self._kept = None
        self._run.account.idle_close(now_us(), connection.number, connection.how)
