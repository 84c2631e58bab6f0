"""What travels over a connection that is held open: server-sent events, and messages over a WebSocket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Ping,
    RejectConnection,
    TextMessage,
)
from wsproto.events import Request as Handshake
from wsproto.utilities import ProtocolError

from cakravia_verify.system.clock import Microseconds
from cakravia_verify.traffic.client.timer import now_us

if TYPE_CHECKING:
    from cakravia_verify.system.clock import Microseconds
    from cakravia_verify.traffic.client.connection import Connection
from cakravia_verify.traffic.client.timer import Timer

PROPER_CLOSES = (1000, 1001, 1012)
"""Close codes by which a server takes its leave: done, going away, restarting (RFC 6455, 7.4.1, and its registry)."""

RETRY = Microseconds(100_000)
"""The time before a stream that its server ended is taken up again."""


class EventReader:
    """Follows the ids of server-sent events (HTML Living Standard, 9.2). Stands where a body's digest does.

    `gap` names the first event that did not follow the one before it, where ids are numbers.
    """

    def __init__(self, last: str = "") -> None:
        self.last = last
        self.gap = ""
        self._rest = b""

    def update(self, data: bytes, /) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"id:"):
                self._note(line[3:].strip().decode("utf-8", "replace"))

    def _note(self, ident: str) -> None:
        if self.last.isdecimal() and ident.isdecimal() and int(ident) != int(self.last) + 1:
            self.gap = self.gap or f"event {ident} followed event {self.last}"
        self.last = ident

    def hexdigest(self) -> str:
        return ""


class Dialogue:
    """One WebSocket: a message every so often, each answered by the same message before the next one goes out.

    `status`, `headers` and `received` (bytes of messages) are of the server's answer; `unanswered` is the message that
    was on its way when the server closed, for the next dialogue to send first.
    """

    def __init__(self, connection: Connection, *, timer: Timer, half: Microseconds, patience: Microseconds) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.received = 0
        self.unanswered = ""
        self._connection = connection
        self._timer = timer
        self._half = half
        self._patience = patience
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._messages: list[str] = []
        self._partial = ""
        self._close: int | None = None
        self._problem = ""
        connection.tunnel = self._feed

    def open(self, *, host: str, path: str, headers: list[tuple[bytes, bytes]]) -> str:
        """Nothing once the server has switched protocols, else what went wrong; `status` may say more."""
        data = self._protocol.send(Handshake(host=host, target=path, extra_headers=headers))
        if not self._send(data):
            return self._ending("while writing")
        until = now_us() + self._patience
        while not self.status and not self._is_over:
            if now_us() >= until:
                return "timeout"
            self._connection.await_bytes(until=until)
        return "" if self.status == 101 else self._ending("before an answer") if not self.status else "refused"

    def talk(self, *, until: Microseconds, every: Microseconds, ident: str, first: str = "") -> str:
        """Nothing when every message was answered until the time was over or the server closed properly; else why not.

        `is_closed_by_server` tells the two apart.
        """
        number = 0
        while now_us() < until and not self._is_over:
            message = first or f"{ident} {number}"
            first, number = "", number + 1
            if why := self._exchange(message):
                return why
            following = min(until, now_us() + every)
            while now_us() < following and not self._is_over:
                self._connection.await_bytes(until=following)
        return self._take_leave()

    @property
    def is_closed_by_server(self) -> bool:
        return self._close is not None

    @property
    def close_code(self) -> int:
        return self._close or 0

    def _exchange(self, message: str) -> str:
        self._send(self._protocol.send(TextMessage(data=message)))
        until = now_us() + self._patience
        while not self._messages and not self._is_over:
            if now_us() >= until:
                return f"message {message!r} unanswered"
            self._connection.await_bytes(until=until)
        if not self._messages:
            self.unanswered = message
            return ""
        if (answer := self._messages.pop(0)) != message:
            return f"message {message!r} answered by {answer[:80]!r}"
        return ""

    def _take_leave(self) -> str:
        if self._problem:
            return self._problem
        if self._close is None and not self._connection.ended:
            self._send(self._protocol.send(CloseConnection(code=1000)))
            until = now_us() + self._patience
            while not self._is_over and now_us() < until:
                self._connection.await_bytes(until=until)
            return self._problem or ("" if self._close is not None else self._ending("instead of a close frame"))
        if self._close is None:
            return self._ending("without a close frame")
        return "" if self._close in PROPER_CLOSES else f"closed with {self._close}"

    @property
    def _is_over(self) -> bool:
        return self._close is not None or bool(self._connection.ended) or bool(self._problem)

    def _ending(self, when: str) -> str:
        return self._problem or f"{self._connection.how or 'timeout'} {when}"

    def _send(self, data: bytes) -> bool:
        if self._half:
            self._timer.sleep_until(now_us() + self._half)
        return self._connection.write(data, until=now_us() + self._patience)

    def _feed(self, data: bytes) -> None:
        try:
            self._protocol.receive_data(data)
            for event in self._protocol.events():
                self._take(event)
        except (ProtocolError, RuntimeError) as error:
            self._problem = f"not WebSocket: {error}"

    def _take(self, event: object) -> None:
        if isinstance(event, AcceptConnection):
            self.status = 101
            self.headers = {bytes(name).lower(): bytes(value) for name, value in event.extra_headers}
        elif isinstance(event, RejectConnection):
            self.status = event.status_code
            self.headers = {bytes(name).lower(): bytes(value) for name, value in event.headers}
        elif isinstance(event, TextMessage):
            self._partial += event.data
            self.received += len(event.data.encode())
            if event.message_finished:
                self._messages.append(self._partial)
                self._partial = ""
        elif isinstance(event, Ping):
            self._connection.write(self._protocol.send(event.response()), until=now_us() + self._patience)
        elif isinstance(event, CloseConnection):
            if self._close is None and self._protocol.state.name == "REMOTE_CLOSING":
                self._connection.write(self._protocol.send(event.response()), until=now_us() + self._patience)
            self._close = event.code
