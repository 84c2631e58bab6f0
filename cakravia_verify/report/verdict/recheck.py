"""Whether a verdict follows from its own evidence, which the gate weighs again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cakravia_verify.gate.model import Budget, Check, Evidence, Measured, Verdict
from cakravia_verify.gate.rules import judge

if TYPE_CHECKING:
    from cakravia_verify.report.verdict.model import EvidenceRecord, VerdictRecord

_Fact = TypeVar("_Fact", Evidence, Measured, Budget)
# A fact of the verdict, and the same fact in its evidence.
_PAIRS: Final = {"release": "release", "kind": "kind", "version": "version", "digest": "built_digest"}


def contradictions(record: VerdictRecord, checks: Sequence[Check]) -> list[str]:
    """Return every way in which a PROMOTE does not follow from its own evidence and budget; empty if it follows.

    `checks` are the checks of the same file.
    """
    facts: Mapping[str, Any] = record
    try:
        evidence = _evidence(record["evidence"])
        again = judge(evidence, _fact(Budget, record["budget"]))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return [f"its evidence cannot be weighed: {type(error).__name__}: {error}"]
    reasons = [
        f"it is for the {name} {facts[name]!r}, and its evidence is for {getattr(evidence, own)!r}"
        for name, own in _PAIRS.items()
        if facts[name] != getattr(evidence, own)
    ]
    if again.decision != record["decision"]:
        reasons.append(f"its evidence leads to {again.decision}: {again.why}")
    elif again.why != record["why"]:
        reasons.append(f"its reason is {record['why']!r}, and its evidence leads to {again.why!r}")
    reasons += _differing(checks, again)
    if record["switch"]["returned_at"] is not None:
        reasons.append("users were brought back")
    return reasons


def _differing(checks: Sequence[Check], again: Verdict) -> list[str]:
    written, weighed = {check.name: check for check in checks}, {check.name: check for check in again.checks}
    reasons = [f"the check {check.title!r} is missing" for name, check in weighed.items() if name not in written]
    reasons += [
        f"the check {check.title!r} does not belong to it" for name, check in written.items() if name not in weighed
    ]
    reasons += [
        f"the check {check.title!r} is {check.standing} with {check.value!r}; its evidence leads to "
        f"{weighed[name].standing} with {weighed[name].value!r} (required: {weighed[name].threshold})"
        for name, check in written.items()
        if name in weighed and check != weighed[name]
    ]
    if not reasons and tuple(checks) != again.checks:
        reasons.append("its checks are repeated or in another order")
    return reasons


def _evidence(record: EvidenceRecord) -> Evidence:
    measured = record["measured"]
    return _fact(Evidence, {**record, "measured": None if measured is None else _fact(Measured, measured)})


def _fact(kind: type[_Fact], record: Mapping[str, Any]) -> _Fact:
    """Return the fact that a record holds. A field that the record lacks has its default, as in an older file."""
    names = [field.name for field in fields(kind) if field.name in record]
    facts: dict[str, Any] = {
        name: tuple(record[name]) if isinstance(record[name], list) else record[name] for name in names
    }
    return kind(**facts)
