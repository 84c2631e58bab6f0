"""Large bodies in both directions, never held in memory as a whole.

A download is deterministic: byte i is byte i mod 65,521 of a fixed pattern (a prime length, so that a shifted or
repeated block cannot match), and its checksum is known before the first byte is sent.
"""

from __future__ import annotations

import asyncio
import re
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from .answers import CHECKSUM, answer_error, answer_json
from .parameters import read_count

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.requests import Request

_LARGEST = 1024**3
_PATTERN = b"".join(sha256(number.to_bytes(4, "big")).digest() for number in range(2048))[:65_521]
_IN_THREAD = 256 * 1024


async def upload(request: Request) -> Response:
    """Count and checksum of the received bytes; 400 when they are not those of the request's X-Content-SHA256."""
    size, digest = 0, sha256()
    async for part in request.stream():
        size += len(part)
        if size > _LARGEST:
            raise HTTPException(413, f"an upload must not exceed {_LARGEST} bytes")
        digest.update(part)
    announced = request.headers.get(CHECKSUM)
    if announced and announced.lower() != digest.hexdigest():
        raise HTTPException(400, f"{size} bytes arrived with another checksum than announced")
    return answer_json({"bytes": size, "sha256": digest.hexdigest()})


async def download(request: Request) -> Response:
    """`bytes` bytes; one range of them when asked (RFC 9110, 14); without Content-Length when `chunked=1`."""
    size = read_count(request, "bytes", 1024**2, maximum=_LARGEST)
    is_chunked = request.query_params.get("chunked") == "1"
    headers = {"cache-control": "no-store", "accept-ranges": "bytes", "etag": f'"pattern-{size}"'}
    start, length, status = 0, size, 200
    wanted = request.headers.get("range", "")
    if not is_chunked and request.headers.get("if-range", headers["etag"]) == headers["etag"]:
        match = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", wanted.replace(" ", ""), re.ASCII)
        if match and (match[1] or match[2]):
            start, length = _span(size, match[1], match[2])
            status = 206
            if length <= 0:
                return answer_error(416, "the range is outside", headers={"content-range": f"bytes */{size}"})
            headers["content-range"] = f"bytes {start}-{start + length - 1}/{size}"
    if not is_chunked:
        headers["content-length"] = str(length)
    if length > _IN_THREAD:
        headers[CHECKSUM] = await asyncio.to_thread(_digest, start % len(_PATTERN), length)
    else:
        headers[CHECKSUM] = _digest(start % len(_PATTERN), length)
    body = _stream(start, 0 if request.method == "HEAD" else length)
    return StreamingResponse(body, status, headers=headers, media_type="application/octet-stream")


def _span(size: int, first: str, last: str) -> tuple[int, int]:
    """Start and length of `first`-`last`; a length of 0 or less means that it cannot be satisfied."""
    if not first:
        length = min(int(last), size)
        return size - length, length
    end = min(int(last), size - 1) if last else size - 1
    return int(first), end - int(first) + 1


def _chunks(start: int, length: int) -> Iterator[bytes]:
    offset = start % len(_PATTERN)
    while length > 0:
        chunk = _PATTERN[offset : offset + length]
        yield chunk
        length -= len(chunk)
        offset = 0


async def _stream(start: int, length: int) -> AsyncIterator[bytes]:
    for chunk in _chunks(start, length):
        yield chunk


@lru_cache(maxsize=256)
def _digest(offset: int, length: int) -> str:
    digest = sha256()
    for chunk in _chunks(offset, length):
        digest.update(chunk)
    return digest.hexdigest()
