"""What an answer is made of: the kinds of elements of a page, the fields of JSON, and the text that a user reads."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from html.parser import HTMLParser
from typing import Any, Final

LONGEST_BODY: Final = 512 << 10
"""How many bytes of a body are looked at."""
LONGEST_PAGE: Final = 128 << 10
"""How many characters of a page are read. The parser takes seconds for half a million of odd ones."""
_DEEPEST: Final = 4
_MOST_FIELDS: Final = 500
# Every page has them, or they carry no content.
_PLAIN: Final = frozenset(
    ("html", "head", "body", "title", "meta", "link", "script", "style", "br", "base", "noscript")
)
_UNSEEN: Final = frozenset(("script", "style", "template", "title", "noscript"))
_FAILURES: Final = re.compile(
    r"Traceback \(most recent call last\)|Whitelabel Error Page|Internal Server Error|Fatal error: |SQLSTATE\["
    r"|Unhandled exception|Uncaught \w*(?:Exception|Error)|Exception in thread|Stack trace:|TypeError: Cannot read "
    r"|Server Error in '/|undefined method [`']",
)


class Family(StrEnum):
    """Media types that stand for each other."""

    NONE = "no type"
    HTML = "HTML"
    JSON = "JSON"
    XML = "XML"
    SCRIPT = "JavaScript"
    IMAGE = "an image"
    FONT = "a font"
    OTHER = ""


@dataclass(frozen=True)
class ContentAnswer:
    """One answer. `headers` has lower-case names, `set_cookies` every line of Set-Cookie.

    `size` is the whole body's; `body` may be cut, and is empty if the body was packed (`is_packed`).
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    set_cookies: tuple[str, ...] = ()
    body: bytes = b""
    size: int = 0
    is_packed: bool = False

    @cached_property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def family(self) -> Family:
        return family_of(self.media_type)

    @cached_property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @cached_property
    def page(self) -> Page:
        """What a page consists of, read as HTML."""
        page = Page()
        with contextlib.suppress(AssertionError):  # an odd declaration: what came before it counts
            page.feed(self.text[:LONGEST_PAGE])
        return page

    @property
    def is_cut(self) -> bool:
        """Whether the body is longer than what is looked at."""
        return not self.is_packed and self.size > len(self.body)

    @cached_property
    def json(self) -> Any:
        """The value, or `NOT_JSON`."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return NOT_JSON

    @cached_property
    def fields(self) -> frozenset[str]:
        """The paths of the fields of JSON that have a value. The items of a list are one field."""
        return frozenset(_fields(self.json, "", _DEEPEST, [_MOST_FIELDS]))

    @cached_property
    def failure(self) -> str:
        """The words by which an application says that it failed, '' if there are none."""
        found = _FAILURES.search(self.text)
        return found[0].strip() if found else ""

    @property
    def structure(self) -> str:
        """What the body consists of, in a few words."""
        if self.is_packed:
            return "packed"
        if self.family is Family.HTML:
            return f"{self.page.count:,} elements, {len(self.page.text):,} characters of text"
        if self.family is Family.JSON:
            is_json = self.json is not NOT_JSON
            return f"{kind_of_json(self.json)}, {len(self.fields):,} fields" if is_json else "no JSON"
        return ""


class Page(HTMLParser):
    """The kinds of elements of a page, how many elements it has, and the text that a user sees."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: set[str] = set()
        self.count = 0
        self.has_script = False
        self._unseen = 0
        self._words: list[str] = []

    @cached_property
    def text(self) -> str:
        return " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count += 1
        self.has_script |= tag == "script"
        self._unseen += tag in _UNSEEN
        if tag not in _PLAIN:
            self.elements.add("heading" if re.fullmatch("h[1-6]", tag) else tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN and self._unseen:
            self._unseen -= 1

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._words.append(data)


NOT_JSON: Final = object()
"""Stands for a body that is no JSON."""


def family_of(media_type: str) -> Family:
    """Return the family of a media type."""
    if not media_type:
        return Family.NONE
    if media_type in ("text/html", "application/xhtml+xml"):
        return Family.HTML
    if media_type.endswith(("/json", "+json")):
        return Family.JSON
    if media_type.endswith(("/xml", "+xml")) and not media_type.startswith("image/"):
        return Family.XML
    if "javascript" in media_type or "ecmascript" in media_type:
        return Family.SCRIPT
    if media_type.startswith("image/"):
        return Family.IMAGE
    return Family.FONT if "font" in media_type else Family.OTHER


def kind_of_json(value: Any) -> str:
    """Return the kind of a value of JSON, in the words of JSON."""
    if value is None:
        return "null"
    kinds: dict[type, str] = {dict: "object", list: "list", str: "text", bool: "true or false"}
    return kinds.get(type(value), "number")


def _fields(value: Any, path: str, depth: int, left: list[int]) -> Iterator[str]:
    """Yield the path of each field that is not null, at most as many as are `left`."""
    parts: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        parts = [(f"{path}.{name}", each) for name, each in value.items()]
    elif isinstance(value, list):
        parts = [(f"{path}[]", each) for each in value[:20]]
    for inner, each in parts:
        if each is None or left[0] <= 0:
            continue
        left[0] -= 1
        yield inner
        if depth > 1:
            yield from _fields(each, inner, depth - 1, left)
