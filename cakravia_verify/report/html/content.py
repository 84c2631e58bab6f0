"""The answers of both versions side by side: one row for each kind of request that was compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.text.formats import one_line

_MOST: Final = 20


@dataclass(frozen=True)
class ContentRow:
    """One kind of request: what changed, and its answer before and after, each in lines."""

    name: str
    request: str
    change: str
    before: tuple[str, ...]
    after: tuple[str, ...]


def contents_of(document: ReleaseDocument) -> tuple[ContentRow, ...]:
    """Return the compared answers, those that changed first. A file of another version may hold anything."""
    content = document.traffic.get("content")
    found = [each for each in content if isinstance(each, Mapping)] if isinstance(content, list | tuple) else []
    rows = [
        ContentRow(
            _text(each, "name"),
            _text(each, "request"),
            _text(each, "change"),
            _side(each.get("before")),
            _side(each.get("after")),
        )
        for each in found[:_MOST]
    ]
    return tuple(sorted(rows, key=lambda row: not row.change))


def _side(answer: object) -> tuple[str, ...]:
    if not isinstance(answer, Mapping) or not answer:
        return ("no good answer",)
    size = answer.get("size")
    facts = [
        f"status {_text(answer, 'status')}",
        _text(answer, "type"),
        f"{size:,} bytes" if isinstance(size, int) else "",
        _text(answer, "structure"),
    ]
    return tuple(filter(None, (", ".join(filter(None, facts)), _text(answer, "beginning"))))


def _text(facts: Mapping[str, object], name: str) -> str:
    value = facts.get(name)
    return "" if value is None else one_line(str(value))
