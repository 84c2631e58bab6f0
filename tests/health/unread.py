"""A transport whose answers are read by the client, as those of a server are. httpx's own one has read them already."""

from __future__ import annotations

from collections.abc import Callable

import httpx


class Unread(httpx.BaseTransport):
    """Answers requests by calling `answer`."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self._answer = answer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        made = self._answer(request)
        return httpx.Response(made.status_code, headers=made.headers, stream=made.stream)
