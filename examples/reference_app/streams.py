"""Connections that live long: server-sent events and WebSocket. Both end cleanly as soon as the process must stop."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from .parameters import read_number

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from .drain import Drain
    from .environment import Environment

_LONGEST_SECONDS = 3600.0
_SERVICE_RESTART = 1012  # RFC 6455 registry: the client may reconnect


class Streams:
    """The endpoints whose answers do not end by themselves soon."""

    def __init__(self, environment: Environment, drain: Drain) -> None:
        self._drain = drain
        self._data = {"slot": environment.shown_slot, "version": environment.shown_version}

    async def events(self, request: Request) -> Response:
        """A numbered event every `every` seconds for `seconds`; Last-Event-ID continues the numbers.

        The last event is `end` and says why: a client that did not see it lost the stream.
        """
        seconds = read_number(request, "seconds", 30.0, maximum=_LONGEST_SECONDS)
        every = max(0.01, read_number(request, "every", 0.25, maximum=60.0))
        last = request.headers.get("last-event-id", "0")
        number = int(last) if last.isdecimal() and len(last) < 16 else 0
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._events(number, seconds, every), headers=headers, media_type="text/event-stream")

    async def _events(self, number: int, seconds: float, every: float) -> AsyncIterator[str]:
        ends = time.monotonic() + seconds
        yield "retry: 200\n\n"
        reason = ""
        while not reason:
            number += 1
            yield f"id: {number}\nevent: tick\ndata: {json.dumps({**self._data, 'number': number})}\n\n"
            remaining = ends - time.monotonic()
            if await self._drain.begins_within(max(0.0, min(every, remaining))):
                reason = "draining"
            elif remaining <= every:
                reason = "finished"
        yield f"event: end\ndata: {json.dumps({**self._data, 'reason': reason, 'last': number})}\n\n"

    async def echo(self, websocket: WebSocket) -> None:
        """Every message comes back; the drain closes with 1012 and waits for the client's close frame."""
        await websocket.accept()
        draining = asyncio.create_task(self._drain.begins())
        try:
            while True:
                receiving = asyncio.create_task(websocket.receive())
                await asyncio.wait({receiving, draining}, return_when=asyncio.FIRST_COMPLETED)
                if not receiving.done():
                    receiving.cancel()
                    await websocket.close(_SERVICE_RESTART, "the slot is being replaced")
                    return
                message = receiving.result()
                if message["type"] == "websocket.disconnect":
                    return
                if message.get("text") is not None:
                    await websocket.send_text(message["text"])
                else:
                    await websocket.send_bytes(message["bytes"])
        finally:
            draining.cancel()
