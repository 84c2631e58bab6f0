"""Reading verdict.json: a pipeline gates on this file, never on an exit status alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cakravia_verify.errors import UsageError
from cakravia_verify.gate.model import Check, CheckStatus, Decision, Exit
from cakravia_verify.report.sealing import oddity_of
from cakravia_verify.report.verdict.model import FILE_NAME, PROMOTED, SCHEMA, VerdictRecord
from cakravia_verify.report.verdict.recheck import contradictions

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

_LARGEST: Final = 64 * 1024 * 1024
_PROBLEMS_SHOWN: Final = 3


@dataclass(frozen=True)
class ReadVerdict:
    """A verdict that was read from its file.

    `sent` and `lost` count requests; None if they were not measured. `raw` holds the whole file.
    """

    path: Path
    decision: Decision
    why: str
    outcome: str
    exit_status: int
    release: str
    version: str
    digest: str
    checks: tuple[Check, ...]
    sent: int | None
    lost: int | None
    files: Mapping[str, str]
    raw: VerdictRecord = field(repr=False)


def read_verdict(path: Path) -> ReadVerdict:
    """Return the verdict in a file, or in the report folder that holds it.

    Raises UsageError if the file is missing, cut, edited into another shape, or ambiguous.
    """
    file = path / FILE_NAME if path.is_dir() else path
    value = _decoded(file)
    if isinstance(value, dict) and value.get("schema") != SCHEMA:
        raise UsageError(
            f"{file} has another schema than {SCHEMA}: {value.get('schema')!r}",
            remedy="read it with the version of Cakravia Verify that wrote it",
        )
    record = _validated(value, file)
    measured = record["evidence"]["measured"]
    return ReadVerdict(
        path=file,
        decision=record["decision"],
        why=record["why"],
        outcome=record["outcome"],
        exit_status=record["exit_status"],
        release=record["release"],
        version=record["version"],
        digest=record["digest"],
        checks=tuple(Check(**check) for check in record["checks"]),
        sent=measured["sent"] if measured else None,
        lost=measured["lost"] if measured else None,
        files=record["files"],
        raw=record,
    )


def _validated(value: Any, file: Path) -> VerdictRecord:
    from pydantic import ValidationError

    try:
        return _adapter().validate_python(value)
    except ValidationError as error:
        problems = list(_problems(error))
        more = f"; and {len(problems) - _PROBLEMS_SHOWN} more" if len(problems) > _PROBLEMS_SHOWN else ""
        raise UsageError(
            f"{file} is not a complete verdict: {'; '.join(problems[:_PROBLEMS_SHOWN])}{more}",
            remedy="it was edited or cut; use the file that the release wrote, or release again",
        ) from error


@cache
def _adapter() -> TypeAdapter[VerdictRecord]:
    from pydantic import TypeAdapter

    return TypeAdapter(VerdictRecord)


def _problems(error: ValidationError) -> Iterator[str]:
    """Yield one sentence for each value that is not as the types require, without the value itself."""
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        # A name in the file may be anything, so it is shown as ASCII and cut.
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{ascii(part)[1:-1][:60]}" for part in each["loc"])
        yield f"{place.lstrip('.') or 'the verdict'}: {each['msg']}"


def _decoded(file: Path) -> Any:
    try:
        # A FIFO or a device must not keep the reader waiting, and a link leads to another folder.
        if oddity := oddity_of(file.lstat().st_mode):
            raise UsageError(f"{file} is {oddity}, and no verdict", remedy="name the verdict.json of a release")
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
            content = opened.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(
            f"the verdict {file} cannot be read: {error.strerror}",
            remedy="name the verdict.json of a release, such as reports/latest/verdict.json",
        ) from error
    if len(content) > _LARGEST:
        raise UsageError(f"{file} is larger than any verdict", remedy="name the verdict.json of a release")
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_without_twins, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{file} is not a verdict: {error}", remedy="use the file that the release wrote, or release again"
        ) from error


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise ValueError("an object has one name twice, so two readers may read different values")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no number {name}")


def still_holds(read: ReadVerdict, *, version: str, digest: str, release: str = "") -> list[str]:
    """Return every reason against promoting `version` with `digest`; empty if the verdict allows it.

    The caller names what is to be promoted, and may name the `release` that must have promoted it. A verdict on
    another build gives a reason, and so does a verdict that does not follow from its own evidence.
    """
    reasons = []
    if read.decision is not Decision.PROMOTE:
        reasons.append(f"the decision is {read.decision}: {read.why}")
    if read.outcome != PROMOTED:
        reasons.append(f"the release ended {read.outcome or 'without an outcome'!r}, not promoted")
    if read.exit_status != Exit.PROMOTED:
        reasons.append(f"the release's exit status is {read.exit_status}, not 0")
    if not version or read.version != version:
        reasons.append(f"the verdict is for version {read.version!r}, not {version!r}")
    if not digest or read.digest != digest:
        reasons.append(f"the verdict is for the artifact {read.digest!r}, not {digest!r}")
    if release and read.release != release:
        reasons.append(f"the verdict is for the release {read.release!r}, not {release!r}")
    if not read.checks:
        reasons.append("the verdict has no checks")
    reasons += [
        f"{check.title}: {check.standing} ({check.value}; required: {check.threshold})"
        for check in read.checks
        if check.standing is not CheckStatus.PASSED
    ]
    if not read.sent:
        reasons.append("no request was measured")
    if read.decision is Decision.PROMOTE:
        reasons += [f"the verdict contradicts itself: {each}" for each in contradictions(read.raw, read.checks)]
    return reasons
