"""Writing verdict.json, the file that pipelines gate on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any, Final

from cakravia_verify.errors import CakraviaError
from cakravia_verify.foreign_text import shortened
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.switch_times import returned_at, switch_seconds, switched_at
from cakravia_verify.report.text.sentences import what_happened, what_to_do
from cakravia_verify.report.verdict.model import FILE_NAME, SCHEMA
from cakravia_verify.system.files import write_atomically

_MODE: Final = 0o644


def as_json(document: ReleaseDocument) -> dict[str, Any]:
    """Return the document as JSON values that follow the shipped schema. Equal documents give equal values."""
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
    """Return `value` in the types of JSON.

    NaN and infinity become null, which means "not measured". Half of a surrogate pair is no text and becomes U+FFFD.
    """
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, str):
        return shortened(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_plain(str(name)): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)]
    return _plain(str(value))


def write_verdict(document: ReleaseDocument, folder: Path) -> Path:
    """Write the verdict to `folder`/verdict.json, readable by all, and sync it to the disk.

    The file is whole or absent. Raises CakraviaError if the disk refuses it.
    """
    path = folder / FILE_NAME
    text = json.dumps(as_json(document), indent=2, allow_nan=False) + "\n"
    try:
        write_atomically(path, text.encode("ascii"), mode=_MODE)
        # The umask may have removed the right to read from the pipeline that gates on this file.
        path.chmod(_MODE)
    except OSError as error:
        raise CakraviaError(
            f"the verdict {path} cannot be written: {error.strerror}",
            remedy="free space or correct the permissions of the folder; without this file no release is promoted",
        ) from error
    return path
