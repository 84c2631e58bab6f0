"""uvicorn, made to stop without losing a request.

What uvicorn (0.34 to 0.54) does on SIGTERM, and what is done here instead:

- It closes the listening socket while connections still wait in the accept queue: the kernel resets them, requests
  that were written included. Here the queue is taken over first, new handshakes being held off meanwhile.
- It closes idle keep-alive connections at once; a request already on its way meets a closed socket. Here an idle
  connection stays for DRAIN_IDLE_SECONDS, and whatever comes over it is answered with `Connection: close`.
- It closes a connection behind a response that did not announce it. Here such a connection becomes an idle one.
- It waits for event streams and long polls for ever, or cuts them at its time limit. Here they end themselves.
- It ends with the signal it was sent. Here the exit status is 0 after a clean drain, 1 when something was cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

from uvicorn.config import Config
from uvicorn.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from .application import Application

_SO_ATTACH_FILTER = 26  # linux/asm-generic/socket.h


def listen(host: str, port: int) -> socket.socket:
    """A listening socket at `host`, where port 0 means any free one. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    return listener


class DrainingServer(Server):
    """Serves one application until a signal, then answers everything it has taken on, within `DRAIN_SECONDS`."""

    def __init__(self, application: Application) -> None:
        environment = application.environment
        super().__init__(
            Config(
                application,
                interface="asgi3",
                http="httptools",
                ws="auto",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=environment.keep_alive,
                headers=[
                    ("X-Deployment-Slot", environment.shown_slot),
                    ("X-Deployment-Version", environment.shown_version),
                ],
            )
        )
        self._application = application
        self._environment = environment
        self._told_to_stop = asyncio.Event()
        self._deadline = float("inf")
        self._cut = 0

    async def run_until_signal(self, listener: socket.socket) -> int:
        """The exit status, after a drain that a signal began."""
        self._loop = asyncio.get_running_loop()
        self._application.start()
        await self.serve(sockets=[listener])
        await self._application.stop()
        return 1 if self._cut else 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            identity = f"{self._environment.shown_version} ({self._environment.shown_slot})"
            print(f"reference_app {identity} serves http://{shown}:{port} as process {os.getpid()}", flush=True)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals begin the drain; unlike uvicorn's own, they are not raised again after it."""
        handled = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and self._environment.misbehaviour.ignores_sigterm:
            return
        if self.should_exit:
            _say("told to stop twice: stopping now, with whatever is in flight")
            os._exit(128 + sig)
        self._deadline = time.monotonic() + self._environment.drain_seconds
        self.should_exit = True
        self._application.drain.begin()
        self._loop.call_soon_threadsafe(self._told_to_stop.set)

    async def main_loop(self) -> None:
        """Keeps the Date header true; returns as soon as a signal came, not at uvicorn's next tick."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._told_to_stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        application = self._application
        _say(f"draining: {application.in_flight} requests and {application.streams} streams in flight")
        for listener in sockets or []:
            _hold_off_new_connections(listener)
            while _has_waiting_connections(listener):
                await asyncio.sleep(0)  # the event loop accepts them, one or more at each turn
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        await self._wait_for_connections()
        if self.server_state.tasks or self.server_state.connections:
            await self._cut_off()
        _say(f"drained: {application.served} requests served" + (f", {self._cut} cut" if self._cut else ""))

    async def _wait_for_connections(self) -> None:
        """All connections are closed or the deadline is over; idle ones are closed after their grace."""
        idle_since: dict[Any, float] = {}
        while (self.server_state.connections or self.server_state.tasks) and time.monotonic() < self._deadline:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if not _is_idle(connection):
                    idle_since.pop(connection, None)
                elif now - idle_since.setdefault(connection, now) >= self._environment.drain_idle_seconds:
                    connection.transport.close()
            await asyncio.sleep(0.02)

    async def _cut_off(self) -> None:
        self._cut = len(self.server_state.tasks)
        for task in list(self.server_state.tasks):
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)


def _is_idle(connection: Any) -> bool:
    """Whether no request is being received or answered; WebSockets, which the application closes, never are idle."""
    if not hasattr(connection, "cycle"):
        return False
    if connection.cycle is None:
        return connection.scope is None  # with a scope the first bytes of a request have arrived
    return bool(connection.cycle.response_complete and connection.cycle.scope is connection.scope)


def _has_waiting_connections(listener: socket.socket) -> bool:
    readiness = select.poll()
    readiness.register(listener, select.POLLIN)
    return bool(readiness.poll(0))


def _hold_off_new_connections(listener: socket.socket) -> None:
    """No handshake completes at `listener` any more, so that its accept queue can be emptied for good.

    The socket drops every packet (a classic BPF program `ret 0`): a client that connects now repeats its SYN after the
    socket is closed, and is refused then, with nothing written. Elsewhere than on Linux a gap of microseconds stays.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    # struct sock_fprog: the length, padded to the pointer's alignment, and the pointer
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program)))


def _say(text: str) -> None:
    print(f"reference_app: {text}", flush=True)
