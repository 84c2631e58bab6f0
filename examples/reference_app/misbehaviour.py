"""The seeded bad releases: what this process does wrong on purpose, so that a gate can be shown to catch it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class UnknownMisbehaviour(ValueError):  # noqa: N818 - reads aloud as what happened
    """The list of misbehaviours cannot be understood."""


@dataclass(frozen=True)
class Misbehaviour:
    """What goes wrong; the default is a process that behaves. README.md has the table."""

    never_ready: bool = False
    late_ready: float = 0.0
    wrong_version: str = ""
    is_wrong_slot: bool = False
    error_rate: float = 0.0
    slow_seconds: float = 0.0
    leak_bytes: int = 0
    crash_after: int | None = None
    lies_about_health: bool = False
    refuses_to_start: bool = False
    ignores_sigterm: bool = False
    flapping_readings: int = 0
    executes_orders_twice: bool = False
    corrupt_rate: float = 0.0


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise ValueError(text)
    return share


def _amount(text: str) -> float:
    amount = float(text)
    if not 0 <= amount < 1e6:
        raise ValueError(text)
    return amount


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise ValueError(text)
    return count


def _word(text: str) -> str:
    if not text.isascii() or not text.isprintable() or not text or " " in text:
        raise ValueError(text)
    return text


# name -> the field it sets, and how its value after the colon is read; None: it takes no value
KINDS: dict[str, tuple[str, Callable[[str], Any] | None]] = {
    "never-ready": ("never_ready", None),
    "late-ready": ("late_ready", _amount),
    "wrong-version": ("wrong_version", _word),
    "wrong-slot": ("is_wrong_slot", None),
    "errors": ("error_rate", _share),
    "slow": ("slow_seconds", _amount),
    "leak": ("leak_bytes", _count),
    "crash-after": ("crash_after", _count),
    "lying-health": ("lies_about_health", None),
    "no-start": ("refuses_to_start", None),
    "ignore-sigterm": ("ignores_sigterm", None),
    "flap": ("flapping_readings", _count),
    "double-orders": ("executes_orders_twice", None),
    "corrupt": ("corrupt_rate", _share),
}


def parse_misbehaviour(text: str) -> Misbehaviour:
    """What `text`, a comma list such as `errors:0.05,slow:0.5`, asks for; empty text asks for nothing.

    Raises UnknownMisbehaviour, which lists the known ones.
    """
    chosen: dict[str, Any] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, colon, value = entry.partition(":")
        if name not in KINDS:
            raise UnknownMisbehaviour(f"unknown misbehaviour {name!r}; known are {', '.join(KINDS)}")
        field, read = KINDS[name]
        if field in chosen:
            raise UnknownMisbehaviour(f"misbehaviour {name!r} is given twice")
        if read is None:
            if colon:
                raise UnknownMisbehaviour(f"misbehaviour {name!r} takes no value, but {value!r} was given")
            chosen[field] = True
            continue
        try:
            chosen[field] = read(value)
        except ValueError as error:
            raise UnknownMisbehaviour(f"misbehaviour {name!r} needs another value than {value!r}") from error
    return Misbehaviour(**chosen)
