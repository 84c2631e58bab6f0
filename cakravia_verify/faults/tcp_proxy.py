"""A TCP proxy that does damage on request: latency, silence, resets, slowness, error answers. It needs no root."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

from cakravia_verify.errors import PlatformError
from cakravia_verify.slots import Address

PIECE: Final = 65_536
# How often a held connection looks if the trouble is over, in seconds.
LOOK: Final = 0.02
START_SECONDS: Final = 10.0
ERROR_ANSWER: Final = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Trouble:
    """What the proxy does to what passes. The default is nothing.

    refuses: open connections are reset, and new ones are refused.
    is_unreachable: packets are lost; new connections wait, open ones are silent.
    is_silent: connections are accepted, and no byte passes.
    silences_open: connections that were open before are silent; new ones work.
    delay: seconds that each piece waits, in each direction.
    rate: bytes per second of an answer; 0 does not limit it.
    cut_after: an answer ends with a reset after so many bytes.
    error_every: each so many-th request gets an error answer; 0 for none.
    """

    refuses: bool = False
    is_unreachable: bool = False
    is_silent: bool = False
    silences_open: bool = False
    delay: float = 0.0
    rate: int = 0
    cut_after: int | None = None
    error_every: int = 0

    @property
    def takes_no_connection(self) -> bool:
        return self.refuses or self.is_unreachable


NO_TROUBLE: Final = Trouble()


class Detour:
    """The proxy on a port of this machine's loopback, in a thread of its own. `target` is the address behind it."""

    def __init__(self, port: int, target: Address) -> None:
        self.port = port
        self.target = target
        self._trouble = NO_TROUBLE
        self._since = 0
        self._requests = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._full: list[socket.socket] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"detour-{port}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._call(self._listen())
        except OSError as error:
            self._end()
            raise PlatformError(f"port {self.port} cannot be used: {error}", remedy="run it again") from error
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            self._call(self._close())
        self._end()

    @contextmanager
    def troubled(self, trouble: Trouble) -> Iterator[None]:
        """Do this damage in the block, and none after it."""
        self._call(self._set(trouble))
        try:
            yield
        finally:
            self._call(self._set(NO_TROUBLE))

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(START_SECONDS)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)
        self._loop.close()

    # In the loop.

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=1024)

    async def _close(self) -> None:
        self._trouble = NO_TROUBLE
        self._stop_listening()
        for writer in [*self._writers]:
            _reset(writer)
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        _, late = await asyncio.wait(rest, timeout=1.0) if rest else ((), ())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for each in self._full:
            each.close()
        self._full = []

    async def _set(self, trouble: Trouble) -> None:
        before, self._trouble = self._trouble, trouble
        self._since += 1
        self._requests = 0
        if trouble.takes_no_connection:
            self._stop_listening()
        if trouble.is_unreachable:
            self._full = full_queue(self.port)
        ends_open = trouble.refuses or before.is_unreachable or before.is_silent or before.silences_open
        for writer in [*self._writers] if ends_open else ():
            _reset(writer)
        if before.takes_no_connection and not trouble.takes_no_connection:
            self._stop_listening()
            await self._listen()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began = self._since
        try:
            there, back = await asyncio.open_connection(self.target.host, self.target.port)
        except OSError:
            _reset(writer)
            return
        self._writers |= {writer, back}
        directions = (
            asyncio.ensure_future(self._requests_of(reader, back, writer, began)),
            asyncio.ensure_future(self._answers_of(there, writer, began)),
        )
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(LOOK)  # the other direction passes on what it has read
        finally:
            for task in directions:
                task.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            for each in (writer, back):
                self._writers.discard(each)
                with contextlib.suppress(OSError):
                    each.close()

    async def _requests_of(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, writer: asyncio.StreamWriter, began: int
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE):
                await self._held(began)
                if self._is_refused_by_chance():
                    writer.write(ERROR_ANSWER)
                    await writer.drain()
                    return
                back.write(piece)
                await back.drain()

    async def _answers_of(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, began: int) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := await there.read(PIECE):
                await self._held(began)
                limit = self._trouble.cut_after
                if limit is not None and passed + len(piece) > limit:
                    writer.write(piece[: max(0, limit - passed)])
                    await writer.drain()
                    _reset(writer)
                    return
                passed += len(piece)
                await self._write_slowly(writer, piece)

    async def _held(self, began: int) -> None:
        """Wait while the trouble keeps this connection silent, and for the delay."""
        if self._trouble.delay:
            await asyncio.sleep(self._trouble.delay)
        while self._is_silent(began):
            await asyncio.sleep(LOOK)

    def _is_silent(self, began: int) -> bool:
        trouble = self._trouble
        return trouble.is_silent or trouble.is_unreachable or (trouble.silences_open and began < self._since)

    def _is_refused_by_chance(self) -> bool:
        self._requests += 1
        return bool(self._trouble.error_every) and self._requests % self._trouble.error_every == 0

    async def _write_slowly(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        while piece:
            rate = self._trouble.rate
            size = max(1, int(rate * LOOK)) if rate else len(piece)
            writer.write(piece[:size])
            await writer.drain()
            piece = piece[size:]
            if rate:
                await asyncio.sleep(LOOK)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close the connection with a reset instead of an orderly end."""
    with contextlib.suppress(OSError):
        given = writer.get_extra_info("socket")
        if given is not None:
            given.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def full_queue(port: int = 0) -> list[socket.socket]:
    """Return a listening socket whose queue is full, and what fills it: the kernel drops every further SYN.

    Port 0 is any free port of 127.0.0.1.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(0)
    opened = [listener]
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        opened.append(filler)
    return opened
