"""The text of cakravia.toml: each key with its comment, then the tables."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from cakravia_verify.errors import UsageError
from cakravia_verify.settings.models import Settings
from cakravia_verify.setup.plan import SettingLine, SettingTable, SetupPlan

HEAD: Final = """\
# Written by `cakravia init`. A key that is missing here has its default.
# Relative paths start from the folder of this file.
"""


def settings_text(plan: SetupPlan) -> str:
    """Return the text. It is valid: Settings takes it."""
    return "".join([HEAD, *_sections(plan.lines), *_tables(plan.tables)])


def require_valid(text: str, *, root: Path) -> None:
    """Raise UsageError if the text is no valid cakravia.toml, before anything is written."""
    try:
        Settings(root=root, **tomllib.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"{where}: {first['msg']}; nothing was written", remedy="correct that option of cakravia init"
        ) from error


def toml_value(value: Any) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {toml_value(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _sections(lines: Iterable[SettingLine]) -> Iterator[str]:
    by_section: dict[str, list[SettingLine]] = {}
    for line in lines:
        by_section.setdefault(line.section, []).append(line)
    for section, rows in by_section.items():
        yield f"\n[{section}]\n"
        for row in rows:
            yield f"{row.key} = {toml_value(row.value)}  # {row.comment}\n"


def _tables(tables: Iterable[SettingTable]) -> Iterator[str]:
    for table in tables:
        yield "\n"
        if table.comment:
            yield f"# {table.comment}\n"
        yield f"[[{table.name}]]\n"
        yield from (f"{key} = {toml_value(value)}\n" for key, value in table.values.items())


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)
