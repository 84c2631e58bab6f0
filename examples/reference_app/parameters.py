"""What a request asks for, read with bounds; a value out of bounds is answered with 400 or 413."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.requests import Request


def read_number(request: Request, name: str, default: float, *, maximum: float) -> float:
    """The query parameter `name`, from 0 to `maximum`."""
    text = request.query_params.get(name, str(default))
    if not re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text, re.ASCII) or float(text) > maximum:
        raise HTTPException(400, f"{name} must be a number from 0 to {maximum:g}")
    return float(text)


def read_count(request: Request, name: str, default: int, *, maximum: int) -> int:
    """The query parameter `name`, a whole number from 0 to `maximum`."""
    text = request.query_params.get(name, str(default))
    if not re.fullmatch(r"\d{1,15}", text, re.ASCII) or int(text) > maximum:
        raise HTTPException(400, f"{name} must be a whole number from 0 to {maximum}")
    return int(text)


async def read_body(request: Request, *, limit: int) -> bytes:
    """The whole body, at most `limit` bytes."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise HTTPException(413, f"the body must not exceed {limit} bytes")
        parts.append(part)
    return b"".join(parts)
