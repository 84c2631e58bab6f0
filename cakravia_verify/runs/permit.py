"""What a signed verdict of another site permits: one promotion of one artifact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cakravia_verify.errors import UsageError
from cakravia_verify.history.journal_file import JournalEntry
from cakravia_verify.history.releases import records

if TYPE_CHECKING:
    from cakravia_verify.report.attestation.verification import Wanted


@dataclass(frozen=True)
class Permit:
    """The artifact that may be released, when it was promoted, and by which release. `given_at` has a time zone."""

    digest: str
    given_at: datetime
    origin: str


def permit_of(file: Path, *, trust: Sequence[Path], wanted: Wanted, now: float) -> Permit:
    """Return what a signed verdict permits. Raises UsageError with every reason if it does not permit `wanted`."""
    # Only a release that needs a permit imports what verifies signatures.
    from cakravia_verify.report.attestation.keys import read_trusted
    from cakravia_verify.report.attestation.verification import verify

    if not trust:
        raise UsageError("--require-verdict needs --trust", remedy="name the public key of the site that signed it")
    keys = [read_trusted(each) for each in trust]
    found = verify(file, keys, wanted=wanted, now=now)
    if found.statement is None or found.key is None or found.reasons:
        raise UsageError(
            f"{file} does not permit this release: {'; '.join(found.reasons)}",
            remedy="nothing was changed; release this version on the other site, and use the verdict of that release",
        )
    predicate = found.statement.predicate
    origin = f"release {predicate.release} of the site {predicate.site}, signed with {found.key.file.name}"
    return Permit(found.statement.digest, predicate.finished_on, origin)


def require_unused(permit: Permit, entries: Iterable[JournalEntry]) -> None:
    """Raise UsageError if the artifact was promoted here after the verdict was given.

    Users were moved off it since, or it still serves them. The old verdict says nothing about a second promotion.
    """
    for record in records(entries):
        if record.holds_users and record.digest == permit.digest and _instant(record.at) >= permit.given_at:
            raise UsageError(
                f"this verdict was used: release {record.intent.release} promoted the same artifact on {record.at}",
                remedy="nothing was changed; a verdict permits one promotion. Release the version on the other site "
                "again, and use its new verdict",
            )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
