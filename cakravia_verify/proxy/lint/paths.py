"""What the path of a location says about its requests."""

from __future__ import annotations

import re
from typing import Final

_ASSET: Final = re.compile(
    r"(^|/|\()(_next/static|_nuxt|assets?|static|build|dist|css|js|fonts?|images?|img|media|packs)(/|$|\||\))"
    r"|\\\.\(?[\w?:|]*(css|js|png|jpe?g|svg|woff2?|ico)\b",
    re.IGNORECASE,
)
_EVENTS: Final = re.compile(r"(^|/)(events?|sse|event-?stream|stream|subscribe|notifications)(/|$)", re.IGNORECASE)
_WEBSOCKET: Final = re.compile(
    r"(^|/)(wss?|websockets?|sockets?|socket\\?\.io|cable|hubs?|signalr|sockjs(-node)?|graphql-ws)(/|$)", re.IGNORECASE
)


def is_asset(path: str) -> bool:
    """Whether a location is for files of a build: their names change with their content."""
    return _ASSET.search(path) is not None


def is_event_stream(path: str) -> bool:
    """Whether a location is for server-sent events, by its path."""
    return _EVENTS.search(path) is not None


def is_websocket(path: str) -> bool:
    """Whether a location is for WebSockets, by its path."""
    return _WEBSOCKET.search(path) is not None


def is_stream(path: str) -> bool:
    return is_event_stream(path) or is_websocket(path)
