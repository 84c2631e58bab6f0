"""What lies beside a verdict: the sealed files of its folder, and newer releases of the same version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.report.folder import runs_in
from cakravia_verify.report.sealing import contents, fingerprint
from cakravia_verify.report.verdict.file import ReadVerdict, read_verdict
from cakravia_verify.report.verdict.model import PROMOTED

# What every run leaves, and what every measured run leaves.
PAGES: Final = ("junit.xml", "report.html")
RECORDS: Final = ("ledger.json", "requests.csv")
_RELEASES: Final = ("deploy", "rollback")
_STAMP: Final = len("20260101-000000-")


def altered_files(read: ReadVerdict) -> list[str]:
    """Return one line for each file of the report that is not as the release left it; empty if all are.

    A file that is missing, changed, not sealed, or no regular file gives a line, and so does a list of files that
    lacks what every report has. Nothing is opened but regular files in the folder.
    """
    folder = read.path.parent
    try:
        found = dict(contents(folder))
    except OSError as error:
        return [f"{shown(str(folder))}: cannot be read: {error.strerror}"]
    lines = {name: _difference(folder, name, found.get(name), read.files.get(name)) for name in {*found, *read.files}}
    required = (*PAGES, *(RECORDS if read.raw["evidence"]["measured"] else ()))
    lines |= {name: "is not in the list of sealed files" for name in required if name not in read.files}
    return [f"{shown(name)}: {line}" for name, line in sorted(lines.items()) if line]


def _difference(folder: Path, name: str, oddity: str | None, sealed: str | None) -> str:
    """Return how a file differs from its seal. `oddity` is what it is instead of a regular file; None if missing."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return "is outside of the report"
    if oddity is None:
        return "is missing"
    if oddity:
        return f"is {oddity}, and no file of the report"
    if sealed is None:
        return "is not in the list of sealed files"
    try:
        return "" if fingerprint(folder / name) == sealed else "was changed after the release"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def newer_failures(read: ReadVerdict) -> list[str]:
    """Return one line for each newer release of the same version beside this report that did not promote it."""
    return list(_newer_failures(read))


def _newer_failures(read: ReadVerdict) -> Iterator[str]:
    folder = read.path.resolve().parent
    for other in runs_in(folder.parent):
        if other.name[:_STAMP] <= read.release[:_STAMP] or other == folder:
            continue
        try:
            newer = read_verdict(other)
        except UsageError:
            if other.name[_STAMP:].startswith(f"{read.version}-"):
                yield f"a newer release of {read.version} left no verdict: {shown(other.name)}"
            continue
        if newer.version == read.version and newer.raw["kind"] in _RELEASES and newer.outcome != PROMOTED:
            outcome = newer.outcome or "ended without an outcome"
            yield f"a newer release of {read.version} did not promote it: {shown(other.name)} ({shown(outcome)})"


def shown(name: str) -> str:
    """Return a name from outside as one short line of ASCII."""
    return json.dumps(name)[1:-1][:200]
