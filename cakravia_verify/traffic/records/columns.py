"""The columns of a record file, derived from the fields of the dataclass that is one row of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Storage:
    """How a field is stored when its Python type alone does not say it."""

    sql: str
    is_nullable: bool = False


Status = Annotated[int, Storage("SMALLINT")]
"""An HTTP status."""

AbsentText = Annotated[str, Storage("VARCHAR", is_nullable=True)]
"""A text that may be absent: `""` in Python, an empty field in the file, NULL in the ledger."""


@dataclass(frozen=True)
class Column:
    """One column: its name, its DuckDB type, whether it may be NULL, and how a field of the file is read and written.

    `read` raises ValueError or KeyError for a text that is no value of the column.
    """

    name: str
    sql: str
    is_nullable: bool
    read: Callable[[str], Any]
    write: Callable[[Any], str]


def columns_of(record: type) -> tuple[Column, ...]:
    """Return the columns of a dataclass in the order of its fields."""
    hints = get_type_hints(record, include_extras=True)
    return tuple(_column(field.name, hints[field.name]) for field in fields(record))


def quoted(text: str) -> str:
    """Return the text as one CSV field of one line: RFC 4180 quotes only if needed, line breaks as spaces."""
    if "\n" in text or "\r" in text:
        text = text.replace("\r", " ").replace("\n", " ")
    if "," in text or '"' in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def _column(name: str, hint: Any) -> Column:
    options = [option for option in get_args(hint) if option is not type(None)]
    is_optional = type(None) in get_args(hint)
    kind = options[0] if is_optional else hint
    storage = next((extra for extra in get_args(kind) if isinstance(extra, Storage)), None)
    python: type = get_args(kind)[0] if storage else kind
    sql, read, write = _form_of(python)
    return Column(
        name=name,
        sql=storage.sql if storage else sql,
        is_nullable=is_optional or bool(storage and storage.is_nullable),
        read=_optional(read) if is_optional else read,
        write=(lambda value: "" if value is None else write(value)) if is_optional else write,
    )


def _form_of(python: type) -> tuple[str, Callable[[str], Any], Callable[[Any], str]]:
    """Return the DuckDB type, the reader and the writer of a Python type."""
    if issubclass(python, StrEnum):
        members = {member.value: member for member in python}
        return "VARCHAR", members.__getitem__, str
    if issubclass(python, bool):
        return "UTINYINT", {"0": False, "1": True}.__getitem__, lambda value: "1" if value else "0"
    if issubclass(python, int):
        return "BIGINT", int, str
    if issubclass(python, str):
        return "VARCHAR", str, quoted
    raise TypeError(f"a record file has no columns of type {python.__name__}")


def _optional(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: read(text) if text else None
