"""One connection to the server, and the instants at which the client learns of its state (docs/ROUND_TRIP.md).

A connection is watched for reading as long as it lives, so taking it from the pool and putting it back costs no system
call, and a close by the server is noticed the moment it arrives, in use or idle.
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gevent
from gevent.monkey import get_original

from cakravia_verify.system.clock import NOT_YET, Microseconds
from cakravia_verify.traffic.client.http1 import ResponseReader
from cakravia_verify.traffic.client.timer import Timer, now_us
from cakravia_verify.traffic.client.tls import TlsLayer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from cakravia_verify.traffic.client.http1 import Digest

# Locust replaces socket.socket by gevent's cooperative one; this module does its own waiting.
_socket: type[socket.socket] = get_original("socket", "socket")
_READ, _WRITE = 1, 2
_BUFFER = bytearray(1 << 18)
_VIEW = memoryview(_BUFFER)


@dataclass(frozen=True)
class Target:
    """Where connections go and how: the address, `half` a round trip in microseconds, TLS if any."""

    family: int
    address: Any
    half: Microseconds
    timer: Timer
    wanted: frozenset[bytes]
    tls: ssl.SSLContext | None = None
    server_name: str = ""


class Connection:
    """A socket with its reader: in use from the decision to `release()`, expecting from `begin()` to `finished`.

    `ended` is the instant the server's close (or reset) arrived at this machine, 0 while the connection is whole. While
    it is not in use, `on_idle_close` is called once the client may know of it: half a round trip later. A `tunnel`
    takes all bytes instead of the reader.
    """

    def __init__(self, target: Target, number: int, on_idle_close: Callable[[Connection], None]) -> None:
        self.number = number
        self.in_use = True
        self.ended = NOT_YET
        self.how = ""
        self.first_byte = NOT_YET
        self.finished = NOT_YET
        self.reader = ResponseReader(target.wanted)
        self.tunnel: Callable[[bytes], None] | None = None
        self._expecting = False
        self._target = target
        self._on_idle_close = on_idle_close
        self._hub: Any = gevent.get_hub()
        self._waiter: Any = None
        self._until = NOT_YET
        self._ring_at = NOT_YET
        self._socket: socket.socket | None = None
        self._watcher: Any = None
        self._tls: TlsLayer | None = None

    def open(self, *, until: Microseconds) -> str:
        """Connect by `until`. Returns the problem, or "". Takes one round trip, with TLS two."""
        target = self._target
        self._travel(1)
        self._socket = _socket(target.family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        if target.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = self._socket.connect_ex(target.address)
        if code == errno.EINPROGRESS:
            self._wait_for(_WRITE, until)
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code and now_us() >= until:
                code = errno.ETIMEDOUT
        why = f"connect: {os.strerror(code)}" if code else ""
        if not why and target.tls is not None:
            why = self._shake_hands(target.tls, until)
        if why:
            self.close()
            return why
        self._watcher = self._hub.loop.io(self._socket.fileno(), _READ)
        self._watcher.start(self._on_readable)
        self._travel(1)
        return ""

    def begin(self, *, head_only: bool, digest: Digest | None) -> None:
        """Expect a response from now on."""
        self.first_byte = self.finished = NOT_YET
        self.reader.begin(head_only=head_only, digest=digest)
        self._expecting = True
        if self.ended:  # closed while the request was on its way: the answer cannot come any more
            self._give_up(self.how)

    def write(self, data: bytes, *, until: Microseconds) -> bool:
        """Return whether the kernel took all of it before the server ended the exchange and by `until`."""
        if self._socket is None:
            return False
        if self._tls is not None:
            data = self._tls.encrypted(data)
        view = memoryview(data)
        while True:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                if now_us() >= until:
                    return False
                self._wait_for(_WRITE, until)
            except OSError as error:
                if not self.ended:
                    self._on_readable()  # an answer given before the reset still counts
                self._end(reason(error))
                return False
            if not view:
                return True
            if self.finished and not self.ended:
                return False

    def await_bytes(self, *, until: Microseconds) -> None:
        """Wait for bytes or the end of the tunnel, at most until `until`."""
        if not self.ended and now_us() < until:
            self._wait(until)

    def await_answer(self, *, until: Microseconds) -> bool:
        """Return whether the response came, or the connection ended, by `until`."""
        while not self.finished:
            if now_us() >= until:
                return False
            self._wait(until)
        return True

    def await_continue(self, *, until: Microseconds) -> bool:
        """Wait for `100 Continue` until `until`. Returns False if the final response came instead."""
        while not self.finished and not self.reader.continued and now_us() < until:
            self._wait(until)
        return not self.finished

    def release(self) -> None:
        """Put the connection back into the pool: its request is over."""
        self.in_use = False
        if self.ended:
            self._announce()

    def close(self) -> None:
        self._expecting = False
        self.reader.drop()
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _travel(self, ways: int) -> None:
        if self._target.half:
            self._target.timer.sleep_until(now_us() + ways * self._target.half)

    # What the loop calls.

    def _on_readable(self) -> None:
        while self._socket is not None:
            try:
                size = self._socket.recv_into(_BUFFER)
                data: bytes | memoryview = _VIEW[:size]
                if self._tls is not None and size:
                    data = self._tls.decrypted(data)
                    if not data and not self._tls.is_over:
                        return
            except BlockingIOError:
                return
            except OSError as error:
                self._end(reason(error))
                return
            if not data:
                self._end("closed")
                return
            if not self._expecting and self.tunnel is None:
                self._end("unasked bytes")
                return
            if not self.first_byte:
                self.first_byte = now_us()
            if self.tunnel is not None:
                self.tunnel(bytes(data))
                self._wake()
                continue
            reader = self.reader
            reader.feed(data)
            if reader.complete or reader.broken:
                self.finished = now_us()
                self._expecting = False
                self._wake()
                return
            if reader.continued:
                self._wake()
                return
            if size < len(_BUFFER):
                return

    def _end(self, how: str) -> None:
        """The server ended the connection; nothing more can come."""
        if self.ended:
            return
        self.ended = now_us()
        self.how = how
        if self._watcher is not None:
            self._watcher.stop()  # an ended socket stays readable and would keep the loop busy
        if self.tunnel is not None:
            self._wake()
        elif self._expecting:
            self._give_up(how)
        elif not self.in_use:
            self._announce()

    def _give_up(self, how: str) -> None:
        self.reader.end(how)
        self.finished = now_us()
        self._expecting = False
        self._wake()

    def _announce(self) -> None:
        known = self.ended + self._target.half
        if self._target.half and known > now_us():
            self._target.timer.at(known, self._tell)
        else:
            self._tell()

    def _tell(self) -> None:
        if not self.in_use and self._socket is not None:
            self._on_idle_close(self)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            waiter.switch()

    def _wait(self, until: Microseconds) -> None:
        """Returns when something happened to this connection, at the latest at `until`.

        The timer is set once per timeout, not once per request: it looks at the present `until` when it rings.
        """
        self._until = until
        if not self._ring_at or self._ring_at > until:
            self._ring_at = until
            self._target.timer.at(until, self._ring)
        self._waiter = gevent.getcurrent()
        try:
            self._hub.switch()
        finally:
            self._waiter = None

    def _ring(self) -> None:
        self._ring_at = NOT_YET
        if self._waiter is None:
            return
        if now_us() >= self._until:
            self._wake()
        else:
            self._ring_at = self._until
            self._target.timer.at(self._until, self._ring)

    def _wait_for(self, event: int, until: Microseconds) -> None:
        assert self._socket is not None
        watcher = self._hub.loop.io(self._socket.fileno(), event)
        watcher.start(self._wake)
        try:
            self._wait(until)
        finally:
            watcher.stop()
            watcher.close()

    def _shake_hands(self, context: ssl.SSLContext, until: Microseconds) -> str:
        self._travel(2)
        self._tls = TlsLayer(context, self._target.server_name)
        data = b""
        while now_us() < until:
            assert self._socket is not None
            try:
                out, is_done = self._tls.shake_hands(data)
                if out:
                    self._socket.send(out)
                if is_done:
                    return ""
                self._wait_for(_READ, until)
                data = self._socket.recv(1 << 16)
                if not data:
                    return "TLS: closed in the handshake"
            except BlockingIOError:
                data = b""
            except OSError as error:
                return f"TLS: {error.strerror or error}"
        return "TLS: timeout"


def reason(error: OSError) -> str:
    """Return one or two words for an error of the operating system."""
    return _REASONS.get(error.errno or 0) or error.strerror or str(error)


_REASONS = {errno.ECONNRESET: "reset", errno.EPIPE: "reset", errno.ETIMEDOUT: "timeout"}
