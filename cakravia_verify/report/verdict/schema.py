"""Whether a value has the shape that a JSON Schema asks for: the few keywords our own schema uses, and no others.

Reading a verdict must not need more than this package, and one description of the shape serves everybody. Keywords
as in JSON Schema 2020-12; a keyword that is not known here is an error, never ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

Schema = Mapping[str, Any]

_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
}
_SILENT: Final = frozenset({"$schema", "$id", "$defs", "title", "description"})


@cache
def verdict_schema() -> Schema:
    """The schema of verdict.json, as shipped in this package."""
    text = resources.files("cakravia_verify.report.verdict").joinpath("verdict.schema.json").read_text(encoding="utf-8")
    schema: Schema = json.loads(text)
    return schema


def problems(value: Any, schema: Schema, *, root: Schema | None = None, place: str = "") -> list[str]:
    """Where `value` is not as `schema` asks, one sentence each; empty where it is."""
    return list(_problems(value, schema, root if root is not None else schema, place or "the verdict"))


def _problems(value: Any, schema: Schema, root: Schema, place: str) -> Iterator[str]:
    for keyword, wanted in schema.items():
        if keyword in _SILENT:
            continue
        if keyword == "$ref":
            yield from _problems(value, root["$defs"][wanted.removeprefix("#/$defs/")], root, place)
        else:
            yield from _KEYWORDS[keyword](value, wanted, schema, root, place)


def _type(value: Any, wanted: Any, _schema: Schema, _root: Schema, place: str) -> Iterator[str]:
    names = [wanted] if isinstance(wanted, str) else wanted
    if not any(_TYPES[name](value) for name in names):
        yield f"{place} is {_shown(value)}, not {' or '.join(names)}"


def _enum(value: Any, wanted: Any, _schema: Schema, _root: Schema, place: str) -> Iterator[str]:
    if not any(_same(value, one) for one in wanted):
        yield f"{place} is {_shown(value)}, not one of {', '.join(map(str, wanted))}"


def _const(value: Any, wanted: Any, _schema: Schema, _root: Schema, place: str) -> Iterator[str]:
    if not _same(value, wanted):
        yield f"{place} is {_shown(value)}, not {_shown(wanted)}"


def _same(value: Any, wanted: Any) -> bool:
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _required(value: Any, wanted: Any, _schema: Schema, _root: Schema, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{place} has no {name!r}" for name in wanted if name not in value)


def _properties(value: Any, wanted: Any, _schema: Schema, root: Schema, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, schema in wanted.items():
            if name in value:
                yield from _problems(value[name], schema, root, name if place == "the verdict" else f"{place}.{name}")


def _additional(value: Any, wanted: Any, schema: Schema, root: Schema, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    for name in value.keys() - schema.get("properties", {}).keys():
        if wanted is False:
            yield f"{place} has {name[:60]!r}, which nobody knows"
        elif wanted is not True:
            yield from _problems(value[name], wanted, root, f"{place}.{name[:60]}")


def _items(value: Any, wanted: Any, _schema: Schema, root: Schema, place: str) -> Iterator[str]:
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from _problems(one, wanted, root, f"{place}[{number}]")


def _minimum(value: Any, wanted: Any, _schema: Schema, _root: Schema, place: str) -> Iterator[str]:
    if _TYPES["number"](value) and value < wanted:
        yield f"{place} is {_shown(value)}, less than {wanted}"


def _pattern(value: Any, wanted: Any, _schema: Schema, _root: Schema, place: str) -> Iterator[str]:
    if isinstance(value, str) and not re.search(wanted, value):
        yield f"{place} is {_shown(value)}, which does not match {wanted}"


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    return ascii(value)[:60]


_KEYWORDS: Final[Mapping[str, Callable[[Any, Any, Schema, Schema, str], Iterator[str]]]] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
    "items": _items,
    "minimum": _minimum,
    "pattern": _pattern,
}
