"""The files of the same site that a page, a script or a style sheet names. Pure: nothing is requested here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urljoin, urlsplit

_SUFFIXES: Final = "js|mjs|css|json|map|wasm|woff2?|ttf|otf|svg|png|jpe?g|gif|webp|avif|ico|webmanifest|txt|xml"
# A quoted text in a script that ends like a file. Bundlers write the names of lazy chunks so.
_QUOTED: Final = re.compile(
    rf"""["'`]((?:\.{{0,2}}/)?[A-Za-z0-9_@%./\[\]()~+-]+\.(?:{_SUFFIXES})(?:\?[^"'`\s]*)?)["'`]"""
)
_CSS_URL: Final = re.compile(r"""url\(\s*["']?([^"')\s]+)|@import\s+["']([^"']+)""")
_OF_TAGS: Final = {
    "script": ("src",),
    "img": ("src",),
    "source": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "track": ("src",),
    "embed": ("src",),
}
_LINKS: Final = frozenset(
    ("stylesheet", "modulepreload", "preload", "prefetch", "icon", "shortcut icon", "manifest", "apple-touch-icon")
)


class BodyKind(StrEnum):
    """What a body is, from its media type or, without one, from the suffix of its path."""

    HTML = "html"
    SCRIPT = "script"
    STYLE = "style"
    OTHER = "other"


def kind_of(path: str, media_type: str) -> BodyKind:
    """Return what a body is. A path that is empty tells nothing."""
    media_type = media_type.partition(";")[0].strip().lower()
    if media_type in ("text/html", "application/xhtml+xml"):
        return BodyKind.HTML
    bare = path.partition("?")[0]
    if "javascript" in media_type or "ecmascript" in media_type or bare.endswith((".js", ".mjs")):
        return BodyKind.SCRIPT
    if media_type == "text/css" or bare.endswith(".css"):
        return BodyKind.STYLE
    return BodyKind.OTHER


def references(path: str, *, kind: BodyKind, body: bytes) -> list[str]:
    """Return the paths, with their queries, that the body at `path` names, each once and in order.

    Only files of the same site count. In scripts they are guesses: a text that looks like a file.
    """
    text = body.decode("utf-8", "replace")
    found = {BodyKind.HTML: _of_page, BodyKind.SCRIPT: _of_script, BodyKind.STYLE: _of_style}.get(kind)
    return list(dict.fromkeys(filter(None, (local(path, each) for each in found(text))))) if found else []


def local(base: str, reference: str) -> str:
    """Return the absolute path, with its query, of a reference at the path `base`; '' if it is of another site."""
    try:
        parts = urlsplit(urljoin(f"http://site{base}", reference.strip()))
    except ValueError:
        return ""
    if parts.scheme != "http" or parts.netloc != "site" or not parts.path.startswith("/"):
        return ""
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _of_page(text: str) -> Iterator[str]:
    parser = _Page()
    parser.feed(text)
    parser.close()
    yield from parser.found
    for script in parser.scripts:
        yield from _of_script(script)
    for style in parser.styles:
        yield from _of_style(style)


def _of_script(text: str) -> Iterator[str]:
    for match in _QUOTED.finditer(text):
        yield match[1]
        if not match[1].startswith((".", "/")):
            yield "/" + match[1]  # relative to the base of the site, as Vite writes it


def _of_style(text: str) -> Iterator[str]:
    for match in _CSS_URL.finditer(text):
        reference = match[1] or match[2]
        if not reference.startswith(("data:", "#")):
            yield reference


class _Page(HTMLParser):
    """Collects what a browser loads with a page: scripts, styles, fonts, pictures. Links to other pages are not."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self._within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.found += [given[name] for name in _OF_TAGS.get(tag, ()) if given.get(name)]
        if tag == "link" and given.get("rel", "").lower() in _LINKS and given.get("href"):
            self.found.append(given["href"])
        for part in given.get("srcset", "").split(","):
            if part.strip() and tag in ("img", "source"):
                self.found.append(part.split()[0])
        self._within = tag if tag in ("script", "style") else self._within

    def handle_endtag(self, tag: str) -> None:
        if tag == self._within:
            self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "script":
            self.scripts.append(data)
        elif self._within == "style":
            self.styles.append(data)
