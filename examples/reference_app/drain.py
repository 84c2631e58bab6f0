"""The moment this process was told to stop, for everything that has to end early because of it."""

from __future__ import annotations

import asyncio


class Drain:
    """Begins once, by a signal, and never ends: the process stops after it."""

    def __init__(self) -> None:
        self.has_begun = False
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Waiters of `loop` are woken when the drain begins."""
        self._loop = loop

    def begin(self) -> None:
        """Every response that starts from now on says `Connection: close`; safe to call in a signal handler."""
        self.has_begun = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._event.set)

    async def begins_within(self, seconds: float) -> bool:
        """Whether the drain begins within `seconds`; returns as soon as it does."""
        if self.has_begun:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True

    async def begins(self) -> None:
        await self._event.wait()
