"""Paths in the source of Express and similar servers, and in the folders of Next.js."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cakravia_verify.setup.findings import Route

_APP: Final = re.compile(r"\b(\w+)\s*=\s*(?:await\s+)?(?:new\s+)?(?:express|[fF]astify|Hono)\s*\(")
# Behind the path: the handler itself, or the name of one. Anything else stands between the request and the page.
_ONLY_A_HANDLER: Final = re.compile(r"\s*(?:async\s+)?(?:\(|function\b|\w+\s*=>|[\w.]+\s*\))")
_NEXT_PAGE: Final = re.compile(r"(?:^|/)app/(?:(.*)/)?page\.(?:tsx|jsx|js|ts|mdx)$")
_NEXT_ROUTE: Final = re.compile(r"(?:^|/)app/(.*)/route\.(?:tsx|jsx|js|ts)$")
_OLD_NEXT_PAGE: Final = re.compile(r"^(?:src/)?pages/(.*)\.(?:tsx|jsx|js|ts|mdx)$")


def node_routes(name: str, text: str) -> Iterator[Route]:
    """Yield the GET routes of one file. `name` is its path in the project."""
    for app in {found[1] for found in _APP.finditer(text)}:
        for found in re.finditer(rf"\b{app}\.get\(\s*['\"`](/[^'\"`]*)['\"`]\s*,", text):
            yield Route(found[1], is_sure=bool(_ONLY_A_HANDLER.match(text, found.end())))
    if page := _NEXT_PAGE.search(name):
        yield from _of_folders(page[1] or "", is_sure=True)
    elif route := _NEXT_ROUTE.search(name):
        yield from _of_folders(route[1], is_sure=False)
    elif old := _OLD_NEXT_PAGE.search(name):
        place = "/".join(part for part in old[1].split("/") if part != "index")
        yield from _of_folders(place, is_sure=not place.startswith("api/"))


def _of_folders(place: str, *, is_sure: bool) -> Iterator[Route]:
    """Yield the path of a page, unless a folder has a parameter, is private, or is a slot of a layout."""
    parts = [part for part in place.split("/") if part and not (part.startswith("(") and part.endswith(")"))]
    if not any(part[0] in "[_@(" for part in parts):
        yield Route("/" + "/".join(parts), is_sure=is_sure)
