"""The page, its style sheet, the catalogue, and the small endpoints that traffic is made of."""

from __future__ import annotations

import asyncio
import gzip
import html
import json
from hashlib import sha256
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from starlette.responses import Response

from .answers import Answer, answer_json
from .parameters import read_body, read_number

if TYPE_CHECKING:
    from starlette.requests import Request

    from .drain import Drain
    from .environment import Environment

_STATIC = Path(__file__).parent / "static"
_LONGEST_SECONDS = 120.0
_ECHO_LIMIT = 16 * 1024**2
_FRUITS = ("mango", "papaya", "rambutan", "salak", "durian", "jackfruit", "guava", "star fruit", "soursop", "langsat")


class Shop:
    """What users see; everything that does not change is prepared once."""

    def __init__(self, environment: Environment, drain: Drain) -> None:
        self._drain = drain
        facts = {
            "slot": environment.shown_slot,
            "version": environment.shown_version,
            "release": environment.release,
            "deployed_at": environment.deployed_at,
        }
        template = Template((_STATIC / "page.html").read_text(encoding="utf-8"))
        self._page = template.substitute({name: html.escape(text) for name, text in facts.items()}).encode()
        self._page_digest = sha256(self._page).hexdigest()
        self._style = (_STATIC / "site.css").read_bytes()
        self._style_headers = {
            "etag": f'"{sha256(self._style).hexdigest()[:32]}"',
            "cache-control": "public, max-age=60",
        }
        self._catalogue = _catalogue()
        self._catalogue_gzip = gzip.compress(self._catalogue, mtime=0)

    async def page(self, request: Request) -> Response:
        headers = {"cache-control": "no-store"}
        return Answer(self._page, media_type="text/html; charset=utf-8", headers=headers, digest=self._page_digest)

    async def style(self, request: Request) -> Response:
        """The style sheet, or 304 for who has it already."""
        known = request.headers.get("if-none-match", "")
        tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
        if self._style_headers["etag"] in tags or "*" in tags:
            return Response(status_code=304, headers=self._style_headers)
        return Answer(self._style, media_type="text/css; charset=utf-8", headers=self._style_headers)

    async def catalogue(self, request: Request) -> Response:
        """The products, compressed for who asks for gzip; the checksum is that of the compressed bytes then."""
        headers = {"vary": "Accept-Encoding", "cache-control": "no-store"}
        if not _accepts_gzip(request.headers.get("accept-encoding", "")):
            return Answer(self._catalogue, media_type="application/json", headers=headers)
        headers["content-encoding"] = "gzip"
        return Answer(self._catalogue_gzip, media_type="application/json", headers=headers)

    async def slow(self, request: Request) -> Response:
        """An answer after `seconds`; a drain waits for it."""
        seconds = read_number(request, "seconds", 1.0, maximum=_LONGEST_SECONDS)
        await asyncio.sleep(seconds)
        return answer_json({"seconds": seconds})

    async def poll(self, request: Request) -> Response:
        """A long poll without news: an answer after `seconds`, or as soon as the process is told to stop."""
        seconds = read_number(request, "seconds", 20.0, maximum=_LONGEST_SECONDS)
        is_draining = await self._drain.begins_within(seconds)
        return answer_json({"news": [], "reason": "draining" if is_draining else "timeout"})

    async def echo(self, request: Request) -> Response:
        """The body as it came, with its checksum."""
        body = await read_body(request, limit=_ECHO_LIMIT)
        return Answer(body, media_type=request.headers.get("content-type", "application/octet-stream"))


def _catalogue() -> bytes:
    products = [
        {"sku": f"CK-{number:04}", "name": f"{fruit} no. {number}", "price": 1000 + 37 * number, "currency": "IDR"}
        for number, fruit in enumerate(_FRUITS * 20, start=1)
    ]
    return json.dumps({"products": products}).encode()


def _accepts_gzip(accept_encoding: str) -> bool:
    for entry in accept_encoding.lower().split(","):
        coding, _, weight = entry.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return weight.strip("0.") != "" or weight == ""
    return False
