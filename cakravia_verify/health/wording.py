"""What an answer says about health: its word, the checks that fail, and its first line as text for people."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from cakravia_verify.foreign_text import LONGEST_NAME, one_line
from cakravia_verify.health.models import field_of

# What a deployment may be without its slot being ill. As an answer about health these words say nothing good.
DEPLOYMENT_WORDS: Final = frozenset({"deploying", "inactive"})
LONGEST_LINE: Final = 200
# Bytes. As values of Python, JSON needs up to thirty times its own length.
LONGEST_JSON: Final = 2**20
_LONGEST_WORD = 40
_READ_BYTES = 4_096
_FAILING = frozenset({"fail", "failed", "unhealthy", "down", "critical", "error"})
# Where health formats list their checks: plain JSON and health+json, Spring Boot, ASP.NET.
CHECK_LISTS: Final = ("checks", "components", "details", "entries", "results")
_HEADING = re.compile(r"<(title|h1)[^>]*>(.*?)</\1", re.DOTALL | re.IGNORECASE)
_NO_TEXT = re.compile(r"<(script|style)\b.*?</\1|<!--.*?-->|<[^>]*>", re.DOTALL | re.IGNORECASE)


def payload_of(body: bytes) -> Any:
    """Return the JSON value of a body, None if it is no JSON, or longer than an answer about health ever is."""
    if len(body) > LONGEST_JSON:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def word_of(payload: Any, body: bytes, *, field: str) -> str:
    """Return the word for the health in an answer, '' if it has none.

    `field` is the dotted path in a JSON object. A body that is a single JSON value or one short line is the word.
    """
    if isinstance(payload, Mapping):
        return one_line(field_of(payload, field) or "", longest=_LONGEST_WORD)
    if isinstance(payload, str | bool | int | float):
        return one_line(str(payload), longest=_LONGEST_WORD)
    text = body.strip()
    is_word = payload is None and len(text) <= _LONGEST_WORD and b"\n" not in text
    return one_line(text.decode("utf-8", "replace"), longest=_LONGEST_WORD) if is_word else ""


def means_ill(word: str, unhealthy_words: Collection[str]) -> bool:
    """Return whether a word says that an application is ill. So does a number from 400 to 599.

    Upper and lower case are the same; so are a space, `-` and `_`.
    """
    plain = _plain(word)
    return plain in map(_plain, unhealthy_words) or bool(re.fullmatch("[45][0-9][0-9]", plain))


def failing_checks(payload: Any) -> str:
    """Return the names of the checks that fail, each with its message, '' if the answer names none."""
    return ", ".join(f"{name} {reason}" for name, reason in _failing(payload))[:300]


def first_line(body: bytes) -> str:
    """Return the first line of a body as harmless text, without control characters.

    Of a page it is the title or the first heading. JSON is written in one line.
    """
    payload = payload_of(body)
    if isinstance(payload, Mapping | list):
        return one_line(json.dumps(payload), longest=LONGEST_LINE)
    text = body[:_READ_BYTES].decode("utf-8", "replace")
    if text.lstrip()[:1] == "<":
        heading = _HEADING.search(text)
        text = html.unescape(_NO_TEXT.sub(" ", " ".join(heading[2].split()) if heading else text))
    return one_line(next(filter(None, map(str.strip, text.splitlines())), ""), longest=LONGEST_LINE)


def _plain(word: str) -> str:
    return re.sub(r"[\s_-]+", " ", word.strip().lower())


def _failing(payload: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(payload, Mapping):
        return
    for rows in (payload[key] for key in CHECK_LISTS if key in payload):
        for name, row in _named_rows(rows):
            if _plain(str(row.get("status", ""))) in _FAILING:
                reason = row.get("message") or row.get("detail") or row.get("output") or row.get("status")
                yield one_line(str(name), longest=LONGEST_NAME), first_line(str(reason).encode())


def _named_rows(rows: Any) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Yield name and row of each check: of a list of rows, or of an object whose values are rows or lists of rows."""
    if isinstance(rows, list):
        yield from ((row.get("name"), row) for row in rows if isinstance(row, Mapping))
    elif isinstance(rows, Mapping):
        for name, value in rows.items():
            for row in value if isinstance(value, list) else [value]:
                if isinstance(row, Mapping):
                    yield name, row
