"""The values of a compose file: short and long forms of lists, mappings, sizes and durations."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

from cakravia_verify.errors import UsageError

UNITS: Final = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}
SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def words_of(value: Any) -> tuple[str, ...]:
    """Return a command: a list as it is, a string split like a shell does."""
    return tuple(shlex.split(value)) if isinstance(value, str) else texts_of(value)


def texts_of(value: Any) -> tuple[str, ...]:
    """Return the texts of a list, or of one text."""
    if value is None or value == "":
        return ()
    return (str(value),) if isinstance(value, str | int | float) else tuple(map(text_of, value))


def pairs_of(value: Any, *, separators: str = "=") -> dict[str, str | None]:
    """Return a mapping, or a list of `name=value`. A name without a value is None."""
    if not value:
        return {}
    if isinstance(value, Mapping):
        return {str(name): None if each is None else text_of(each) for name, each in value.items()}
    found: dict[str, str | None] = {}
    for row in value:
        name, *rest = re.split(f"[{separators}]", str(row), maxsplit=1)
        found[name] = rest[0] if rest else None
    return found


def text_of(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def bytes_of(value: Any) -> int:
    """Return a size such as `64m`, `1.5gb` or 67108864 in bytes. 0 without a size."""
    if value in (None, ""):
        return 0
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([bkmg]?)(?:i?b)?", str(value).strip().lower())
    if found is None:
        raise UsageError(f"{value!r} is not a size", remedy="write it as 64m, for example")
    return int(float(found[1]) * UNITS[found[2]])


def seconds_of(value: Any) -> float:
    """Return a duration such as `1m30s` in seconds. 0 without a duration."""
    if value in (None, ""):
        return 0.0
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h|d)", str(value))
    if "".join(number + unit for number, unit in parts) != str(value):
        raise UsageError(f"{value!r} is not a duration", remedy="write it as 1m30s, for example")
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def mode_of(value: Any) -> int:
    """Return a mode. A number is a mode already; a text is octal."""
    return int(value, 8) if isinstance(value, str) and value else int(value or 0)


def is_true(value: Any) -> bool:
    return value is True or str(value).lower() == "true"
