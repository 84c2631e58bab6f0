"""The verdict as an artefact: what gates on a release reads this file, never an exit status alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final

from cakravia_verify.errors import CakraviaError, UsageError
from cakravia_verify.gate.model import Check, CheckStatus, Decision, Exit
from cakravia_verify.history.releases import PROMOTED
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.folder import fingerprint
from cakravia_verify.report.text.wording import returned_at, switch_seconds, switched_at, what_happened, what_to_do
from cakravia_verify.report.verdict.recheck import contradictions
from cakravia_verify.report.verdict.schema import problems, verdict_schema
from cakravia_verify.system.files import write_atomically

SCHEMA: Final = "cakravia-verdict/1"
FILE_NAME: Final = "verdict.json"
_MODE: Final = 0o644
_LARGEST: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class ReadVerdict:
    """A verdict read back from its file. `sent` and `lost` count requests, None where that was not measured; `raw`
    holds everything the file says."""

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
    raw: Mapping[str, Any] = field(repr=False)


def as_json(document: ReleaseDocument) -> dict[str, Any]:
    """The document as plain JSON values, by the shipped schema. The same document always gives the same values."""
    value = _plain(
        {
            "schema": SCHEMA,
            "decision": document.verdict.decision,
            "why": document.verdict.why,
            "outcome": document.outcome,
            "exit_status": document.exit_status,
            "what_happened": what_happened(document),
            "next_step": what_to_do(document),
            "release": document.release,
            "kind": document.kind,
            "version": document.version,
            "digest": document.digest,
            "slot": document.slot,
            "previous_version": document.previous_version,
            "site": document.site,
            "platform": document.platform,
            "host": document.host,
            "who": document.who,
            "reason": document.reason,
            "tool": document.tool,
            "settings_digest": document.settings_digest,
            "started_at": document.started_at,
            "finished_at": document.finished_at,
            "seconds": document.seconds,
            "switch": {
                "at": switched_at(document),
                "returned_at": returned_at(document),
                "seconds": switch_seconds(document),
            },
            "checks": [asdict(check) for check in document.verdict.checks],
            "budget": asdict(document.budget),
            "evidence": asdict(document.evidence),
            "timeline": [asdict(event) for event in document.timeline],
            "windows": [asdict(window) for window in document.windows],
            "lost_rows": list(document.lost_rows),
            "traffic": document.traffic,
            "findings": document.findings,
            "drift": document.drift,
            "files": dict(sorted(document.files.items())),
        }
    )
    assert isinstance(value, dict)
    return value


def _plain(value: object) -> Any:
    """`value` in the types JSON knows; a number that is none (NaN, infinity) becomes null: it was not measured."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)]
    return str(value)


def write_verdict(document: ReleaseDocument, folder: Path) -> Path:
    """`folder`/verdict.json holds this verdict whole and durably, readable by all. Raises CakraviaError where the disk
    refuses it."""
    path = folder / FILE_NAME
    text = json.dumps(as_json(document), indent=2, allow_nan=False) + "\n"
    try:
        write_atomically(path, text.encode("ascii"), mode=_MODE)
        # The umask of a pipeline may have taken the right to read from those who gate on this file.
        path.chmod(_MODE)
    except OSError as error:
        raise CakraviaError(
            f"the verdict {path} cannot be written: {error.strerror}",
            remedy="free space or mend the permissions of the folder; without this file nothing may be promoted",
        ) from error
    return path


def read_verdict(path: Path) -> ReadVerdict:
    """The verdict in a file, or in the report folder that holds it. Raises UsageError for anything else."""
    file = path / FILE_NAME if path.is_dir() else path
    value = _decoded(file)
    if isinstance(value, dict) and value.get("schema") != SCHEMA:
        raise UsageError(
            f"{file} is not a verdict of the kind {SCHEMA}: its schema is {value.get('schema')!r}",
            remedy="read it with the version of Cakravia Verify that wrote it",
        )
    if wrong := problems(value, verdict_schema()):
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UsageError(
            f"{file} is not a whole verdict: {'; '.join(wrong[:3])}{more}",
            remedy="it was edited or cut; take the file that the release left, or release again",
        )
    measured = value["evidence"]["measured"] or {}
    return ReadVerdict(
        path=file,
        decision=Decision(value["decision"]),
        why=value["why"],
        outcome=value["outcome"],
        exit_status=int(value["exit_status"]),
        release=value["release"],
        version=value["version"],
        digest=value["digest"],
        checks=tuple(Check(**row | {"standing": CheckStatus(row["standing"])}) for row in value["checks"]),
        sent=measured.get("sent"),
        lost=measured.get("lost"),
        files=value["files"],
        raw=value,
    )


def _decoded(file: Path) -> Any:
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(
            f"there is no verdict to read at {file}: {error.strerror}",
            remedy="name the verdict.json of a release, such as reports/latest/verdict.json",
        ) from error
    if len(content) > _LARGEST:
        raise UsageError(f"{file} is larger than any verdict", remedy="name the verdict.json of a release")
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_without_twins, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{file} is not a verdict: {error}", remedy="take the file that the release left, or release again"
        ) from error


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise ValueError("a name stands twice in one object, so readers may disagree on what it says")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def still_holds(read: ReadVerdict, *, version: str, digest: str, release: str = "") -> list[str]:
    """Every reason why this verdict does not allow `version` with `digest` to go on; empty where it does.

    Whoever gates on it names what they are about to promote, and may name the `release` that must have done so. A
    verdict on something else allows nothing, nor does one that does not follow from its own evidence.
    """
    reasons = []
    if read.decision is not Decision.PROMOTE:
        reasons.append(f"the decision is {read.decision}: {read.why}")
    if read.outcome != PROMOTED:
        reasons.append(f"the release ended {read.outcome or 'without an outcome'!r}, not promoted")
    if read.exit_status != Exit.PROMOTED:
        reasons.append(f"the release's exit status is {read.exit_status}, not 0")
    if not version or read.version != version:
        reasons.append(f"the verdict is on version {read.version!r}, not {version!r}")
    if not digest or read.digest != digest:
        reasons.append(f"the verdict is on the artifact {read.digest!r}, not {digest!r}")
    if release and read.release != release:
        reasons.append(f"the verdict is on the release {read.release!r}, not {release!r}")
    if not read.checks:
        reasons.append("nothing was checked")
    reasons += [
        f"{check.title}: {check.standing} ({check.value}; required: {check.threshold})"
        for check in read.checks
        if check.standing is not CheckStatus.PASSED
    ]
    if not read.sent:
        reasons.append("no request was measured")
    if read.decision is Decision.PROMOTE:
        reasons += [f"it contradicts itself: {each}" for each in contradictions(read.raw, read.checks)]
    return reasons


def altered_files(read: ReadVerdict) -> list[str]:
    """Every file beside the verdict that is missing or not as it was sealed; empty where all are."""
    reasons = []
    for name, sealed in sorted(read.files.items()):
        file = read.path.parent / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            reasons.append(f"{name}: lies outside of the report")
        elif not file.is_file():
            reasons.append(f"{name}: is missing")
        elif fingerprint(file) != sealed:
            reasons.append(f"{name}: is not what the release left")
    return reasons
