"""A plan read back from JSON: strictly, naming what is unknown, missing or of the wrong type."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from cakravia_verify.errors import SettingsError
from cakravia_verify.traffic.plan.mix import Body, MixEntry, demand
from cakravia_verify.traffic.plan.plan import TrafficPlan

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


def read_plan(text: str) -> TrafficPlan:
    """The plan a JSON text holds. Raises SettingsError."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"traffic: the plan is not JSON: {error}", remedy="write it with to_json()") from error
    demand(isinstance(values, dict), "plan", seen=type(values).__name__, wanted="a JSON object")
    demand(isinstance(values.get("mix"), list), "mix", seen=values.get("mix"), wanted="a list of requests")
    values["mix"] = _entries(values["mix"], "mix")
    if "curve" in values:
        values["curve"] = _points(values["curve"])
    return _build(TrafficPlan, values, "")


def _points(values: Any) -> tuple[tuple[float, float], ...]:
    held = isinstance(values, list) and all(
        isinstance(point, list) and len(point) == 2 and all(type(number) in (int, float) for number in point)
        for point in values
    )
    demand(held, "curve", seen=values, wanted="a list of [second, rate]")
    return tuple((float(at), float(rate)) for at, rate in values)


def _entries(values: Any, where: str) -> tuple[MixEntry, ...]:
    demand(isinstance(values, list), where, seen=values, wanted="a list of requests")
    return tuple(_entry(item, f"{where}[{index}]") for index, item in enumerate(values))


def _entry(values: Any, where: str) -> MixEntry:
    demand(isinstance(values, dict), where, seen=values, wanted="an object")
    values = dict(values)
    if "body" in values:
        demand(isinstance(values["body"], dict), f"{where}.body", seen=values["body"], wanted="an object")
        values["body"] = _build(Body, values["body"], f"{where}.body.")
    if "headers" in values:
        pairs = values["headers"]
        held = isinstance(pairs, list) and all(
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in pairs
        )
        demand(held, f"{where}.headers", seen=pairs, wanted="a list of [name, value]")
        values["headers"] = tuple((name, value) for name, value in pairs)
    if values.get("expected") is not None:
        statuses = values["expected"]
        held = isinstance(statuses, list) and all(type(status) is int for status in statuses)
        demand(held, f"{where}.expected", seen=statuses, wanted="a list of statuses")
        values["expected"] = tuple(statuses)
    if "steps" in values:
        values["steps"] = _entries(values["steps"], f"{where}.steps")
    return _build(MixEntry, values, f"{where}.")


_SCALARS: Mapping[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


def _build(kind: type[T], values: dict[str, Any], where: str) -> T:
    known = {item.name: str(item.type) for item in fields(kind)}  # type: ignore[arg-type]
    for key, value in values.items():
        demand(key in known, f"{where}{key}", seen=value, wanted=f"nothing: it is not one of {', '.join(known)}")
        types = _SCALARS.get(known[key])
        if types is not None:
            held = isinstance(value, types) and (bool in types or not isinstance(value, bool))
            demand(held, f"{where}{key}", seen=value, wanted=f"a value of type {known[key]}")
    try:
        return kind(**values)
    except TypeError as error:
        raise SettingsError(f"traffic: {where or 'plan'} {error}", remedy="give every key it needs") from error
