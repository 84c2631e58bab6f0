"""Responses whose body carries its own checksum, so that a client can tell a complete answer from a damaged one.

`X-Content-SHA256` is the SHA-256 (hexadecimal) of the bytes of the body as sent, that is after Content-Encoding and
for a 206 of the part alone.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKSUM = "x-content-sha256"
NO_STORE = {"cache-control": "no-store"}


class Answer(Response):
    """A complete response: known length, known checksum."""

    def __init__(
        self,
        body: bytes,
        status: int = 200,
        *,
        media_type: str = "text/plain",
        headers: Mapping[str, str] | None = None,
        digest: str = "",
    ) -> None:
        # Not calling the parent: it encodes, copies and sorts out cases that a prepared body does not have.
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"content-type", media_type.encode("latin-1")),
            (b"content-length", b"%d" % len(body)),
            (CHECKSUM.encode(), (digest or sha256(body).hexdigest()).encode()),
        ]
        if headers:
            self.raw_headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def answer_json(payload: Any, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Answer:
    """`payload` as JSON that no cache keeps."""
    body = json.dumps(payload, separators=(",", ":")).encode()
    return Answer(body, status, media_type="application/json", headers={**NO_STORE, **(headers or {})})


def answer_error(status: int, message: str, *, headers: Mapping[str, str] | None = None) -> Answer:
    """An error as every endpoint words it: `{"error": ...}`."""
    return answer_json({"error": message}, status, headers=headers)
