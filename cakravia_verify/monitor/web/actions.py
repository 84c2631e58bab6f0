"""What the page may do: acknowledge an alert, silence it, end a silence. Everything else is for the command line."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from cakravia_verify.errors import UsageError
from cakravia_verify.monitor.alerts import book
from cakravia_verify.monitor.database import Database

WHO: Final = "the page"
LONGEST_HOURS: Final = 720.0
LONGEST_NAME, LONGEST_REASON = 100, 200
MOST_SILENCES: Final = 100


@dataclass(frozen=True)
class ActionRequest:
    """One action as it was asked for, checked."""

    act: str
    name: str
    hours: float
    reason: str


def action_of(value: Any) -> ActionRequest:
    """Return the action in a decoded body. Raises UsageError."""
    if not isinstance(value, Mapping):
        raise UsageError("the body is no JSON object", remedy="send act, name, hours and reason")
    act, name = _text(value, "act", LONGEST_NAME), _text(value, "name", LONGEST_NAME)
    hours = value.get("hours", 2.0)
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not math.isfinite(hours):
        raise UsageError("hours is no number", remedy="send a number of hours")
    return ActionRequest(act, name, float(hours), _text(value, "reason", LONGEST_REASON))


def carry_out(database: Database, request: ActionRequest, *, now: float) -> str:
    """Do it, and return what was done. Raises UsageError, or sqlite3.Error if the disk refuses it."""
    match request.act:
        case "acknowledge":
            return _acknowledge(database, request, now)
        case "silence":
            return _silence(database, request, now)
        case "unsilence":
            return _unsilence(database, request)
    raise UsageError(f"there is no action {request.act!r}", remedy="acknowledge, silence or unsilence")


def _acknowledge(database: Database, request: ActionRequest, now: float) -> str:
    if not database.transact(lambda c: book.acknowledge(c, request.name, who=_who(request), at=now)):
        raise UsageError(f"there is no open alert {request.name}", remedy="load the page again")
    return f"{request.name} is acknowledged"


def _silence(database: Database, request: ActionRequest, now: float) -> str:
    if not request.name or not 0 < request.hours <= LONGEST_HOURS:
        raise UsageError(f"hours must be above 0 and at most {LONGEST_HOURS:g}", remedy="choose fewer hours")
    until = now + request.hours * 3600

    def add(connection: sqlite3.Connection) -> int | None:
        known = book.silences(connection, now=now)
        if len(known) >= MOST_SILENCES:
            return None
        for each in known:
            # Asked for twice: the later end counts, and the list does not grow.
            if each.pattern == request.name and fnmatchcase(each.who, f"{WHO}*"):
                book.end_silence(connection, each.number)
        return book.add_silence(
            connection, request.name, until=until, reason=request.reason or "no reason given", who=_who(request)
        )

    number = database.transact(add)
    if number is None:
        raise UsageError(f"there are {MOST_SILENCES} silences already", remedy="end one first")
    return f"silence {number}: no message about {request.name} for {request.hours:g} hours"


def _unsilence(database: Database, request: ActionRequest) -> str:
    if not request.name.isascii() or not request.name.isdigit():
        raise UsageError(f"{request.name!r} is no number of a silence", remedy="load the page again")
    if not database.transact(lambda connection: book.end_silence(connection, int(request.name))):
        raise UsageError(f"there is no silence {request.name}", remedy="load the page again")
    return f"silence {request.name} has ended"


def _who(request: ActionRequest) -> str:
    return f"{WHO}: {request.reason}" if request.act == "acknowledge" and request.reason else WHO


def _text(value: Mapping[Any, Any], name: str, most: int) -> str:
    text = value.get(name, "")
    if not isinstance(text, str) or len(text) > most or not text.isprintable():
        raise UsageError(f"{name} is no line of at most {most} characters", remedy="send a shorter line")
    return text
