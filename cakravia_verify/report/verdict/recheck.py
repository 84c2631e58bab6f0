"""Whether a written verdict follows from what is written beside it: its own evidence, weighed again by the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, TypeVar

from cakravia_verify.gate.model import Budget, Check, Evidence, Measured, Verdict
from cakravia_verify.gate.rules import judge

_Fact = TypeVar("_Fact", Evidence, Measured, Budget)
# What a verdict says of itself beside what its evidence says of the same release.
_TWINS: Final = {"release": "release", "kind": "kind", "version": "version", "digest": "built_digest"}


def contradictions(said: Mapping[str, Any], checks: Sequence[Check]) -> list[str]:
    """Every way in which a verdict PROMOTE, as read from its file with its `checks`, does not follow from its own
    evidence and budget; empty where it does."""
    try:
        evidence = _evidence(said["evidence"])
        again = judge(evidence, _fact(Budget, said["budget"]))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return [f"its evidence cannot be weighed: {type(error).__name__}: {error}"]
    reasons = [
        f"it is on the {name} {said[name]!r}, and its evidence on {getattr(evidence, own)!r}"
        for name, own in _TWINS.items()
        if said[name] != getattr(evidence, own)
    ]
    if again.decision != said["decision"]:
        reasons.append(f"its own evidence weighs to {again.decision}: {again.why}")
    elif again.why != said["why"]:
        reasons.append(f"it says {said['why']!r}, and its own evidence {again.why!r}")
    reasons += _differing(checks, again)
    if said["switch"].get("returned_at") is not None:
        reasons.append("it tells of users who were brought back")
    return reasons


def _differing(checks: Sequence[Check], again: Verdict) -> list[str]:
    told, weighed = {check.name: check for check in checks}, {check.name: check for check in again.checks}
    reasons = [f"the check {check.title!r} is missing" for name, check in weighed.items() if name not in told]
    reasons += [f"nobody asked for its check {check.title!r}" for name, check in told.items() if name not in weighed]
    reasons += [
        f"the check {check.title!r} says {check.standing}, {check.value!r}; its own evidence {weighed[name].standing}, "
        f"{weighed[name].value!r} (required: {weighed[name].threshold})"
        for name, check in told.items()
        if name in weighed and check != weighed[name]
    ]
    if not reasons and tuple(checks) != again.checks:
        reasons.append("its checks stand twice, or in another order than they were made")
    return reasons


def _evidence(said: Mapping[str, Any]) -> Evidence:
    measured = said["measured"]
    return _fact(Evidence, {**said, "measured": None if measured is None else _fact(Measured, measured)})


def _fact(kind: type[_Fact], said: Mapping[str, Any]) -> _Fact:
    """What is said, field by field; one that is not said has its default, as in files of an earlier version."""
    names = [field.name for field in fields(kind) if field.name in said]
    facts: dict[str, Any] = {name: tuple(said[name]) if isinstance(said[name], list) else said[name] for name in names}
    return kind(**facts)
