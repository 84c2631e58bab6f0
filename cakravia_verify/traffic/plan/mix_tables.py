"""The tables [[traffic.mix]] of cakravia.toml, read: what is unknown or would do nothing is refused by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cakravia_verify.errors import SettingsError
from cakravia_verify.traffic.plan.mix import SEQUENCE, Body, MixEntry
from cakravia_verify.traffic.plan.profiles import DEFAULT_MIX, GENERIC_MIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cakravia_verify.settings.models import TrafficSettings

_PLAIN_KEYS = ("name", "method", "path", "weight", "verify", "contains", "stream", "timeout", "every", "pause")
_KNOWN = frozenset({*_PLAIN_KEYS, "headers", "body", "expect", "steps"})


def mix_of(settings: TrafficSettings) -> tuple[MixEntry, ...]:
    """The kinds of requests that [traffic] describes. Raises SettingsError naming table and key."""
    if settings.profile == "reference":
        return DEFAULT_MIX
    if settings.profile == "generic":
        return GENERIC_MIX
    place = "[[traffic.mix]] number"
    return tuple(_entry_of(table, f"{place} {number}") for number, table in enumerate(settings.mix, start=1))


def _entry_of(table: Mapping[str, Any], place: str, *, is_step: bool = False) -> MixEntry:
    for key in table:
        if key not in _KNOWN:
            raise SettingsError(f"{place}: unknown key {key!r}", remedy=f"known: {', '.join(sorted(_KNOWN))}")
    values: dict[str, Any] = {key: table[key] for key in _PLAIN_KEYS if key in table}
    values.setdefault("name", f"{table.get('method', 'GET')} {table.get('path', '/')}")
    try:
        values["headers"] = tuple((str(name), str(value)) for name, value in dict(table.get("headers", {})).items())
        if "expect" in table:
            values["expected"] = tuple(table["expect"])
        if not isinstance(table.get("contains", ""), str):
            raise TypeError(f"'contains' is {table['contains']!r}, not a text")
        if "body" in table:
            body = table["body"]
            values["body"] = Body("text", text=body) if isinstance(body, str) else Body(**body)
        if "steps" in table:
            steps = enumerate(table["steps"], start=1)
            values["steps"] = tuple(_entry_of(step, f"{place}, step {index}", is_step=True) for index, step in steps)
        entry = MixEntry(**values)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{place}: {error}", remedy="docs/TRAFFIC.md shows every key with its type") from error
    for key, why in _idle_keys(table, entry, is_step=is_step):
        raise SettingsError(f"{place}: {key!r} would do nothing: {why}", remedy="leave it out, or change the other key")
    return entry


def _idle_keys(table: Mapping[str, Any], entry: MixEntry, *, is_step: bool) -> Iterator[tuple[str, str]]:
    """Keys that are given and that nothing would ever look at, each with the reason."""
    if "weight" in table and is_step:
        yield "weight", "a step follows whenever its journey is drawn"
    if "pause" in table and not is_step:
        yield "pause", "it stands before a step"
    if "every" in table and entry.stream != "websocket":
        yield "every", 'only messages over stream = "websocket" have a distance'
    if "expect" in table and entry.stream == "websocket":
        yield "expect", "a WebSocket begins with 101 or not at all"
    if entry.verify:
        yield from _idle_verify(entry)
    if entry.contains and (entry.method == "HEAD" or entry.stream):
        yield (
            "contains",
            "the answer to HEAD has no body" if entry.method == "HEAD" else "a stream has no body that ends",
        )
    if isinstance(table.get("body"), dict):
        yield from _idle_body(table["body"], entry.body.kind)


def _idle_verify(entry: MixEntry) -> Iterator[tuple[str, str]]:
    if entry.method == "HEAD":
        yield "verify", "the answer to HEAD has no body"
    elif entry.stream == "websocket":
        yield "verify", "every message has to come back as it was anyway"
    elif (entry.stream == "events") is not (entry.verify == SEQUENCE):
        yield "verify", f"{SEQUENCE!r} is for events, and events have nothing else to verify"


def _idle_body(given: Mapping[str, Any], kind: str) -> Iterator[tuple[str, str]]:
    looked_at = {"text": "text", "size": "random"}
    for key, of in looked_at.items():
        if key in given and kind != of:
            yield f"body.{key}", f"it is for kind = {of!r}, this one is {kind!r}"
    for key in ("content_type", "chunked"):
        if key in given and kind == "none":
            yield f"body.{key}", "there is no body"
