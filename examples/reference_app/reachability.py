"""Whether another service answers: one small HTTP request, short, cached and shared by everybody who asks."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 1.0


@dataclass(frozen=True)
class Reach:
    """The last answer of a service; `seconds` is how long it took."""

    is_reachable: bool
    message: str
    seconds: float


class Reachability:
    """Asks `url` at most once in `keep_seconds`; any status below 500 counts as reachable."""

    def __init__(self, url: str, *, keep_seconds: float) -> None:
        self._url = urlsplit(url)
        self._keep_seconds = keep_seconds
        self._asked = float("-inf")
        self._last = Reach(False, "not asked yet", 0.0)
        self._one_at_a_time = asyncio.Lock()

    async def ask(self) -> Reach:
        async with self._one_at_a_time:
            if time.monotonic() - self._asked > self._keep_seconds:
                self._last = await self._request()
                self._asked = time.monotonic()
            return self._last

    async def _request(self) -> Reach:
        started = time.monotonic()
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                status = await self._status()
        except TimeoutError:
            return Reach(
                False, f"{self._url.netloc}: no answer within {_TIMEOUT_SECONDS:g} s", time.monotonic() - started
            )
        except (OSError, ValueError, IndexError) as error:
            return Reach(False, f"{self._url.netloc}: {error or type(error).__name__}", time.monotonic() - started)
        return Reach(status < 500, f"{self._url.netloc}: status {status}", time.monotonic() - started)

    async def _status(self) -> int:
        is_tls = self._url.scheme == "https"
        port = self._url.port or (443 if is_tls else 80)
        reader, writer = await asyncio.open_connection(self._url.hostname, port, ssl=is_tls or None)
        try:
            target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
            writer.write(f"GET {target} HTTP/1.1\r\nHost: {self._url.netloc}\r\nConnection: close\r\n\r\n".encode())
            return int((await reader.readline()).split()[1])
        finally:
            writer.close()
