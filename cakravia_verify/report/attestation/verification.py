"""Verifying a signed verdict offline: who signed it, whether it is fresh, and whether it is about this artifact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cakravia_verify.errors import UsageError
from cakravia_verify.gate.model import CheckStatus, Decision, Exit
from cakravia_verify.report.attestation.keys import TrustedKey
from cakravia_verify.report.attestation.plain_file import decoded, read_plain
from cakravia_verify.report.attestation.statement import Statement
from cakravia_verify.report.verdict.model import PROMOTED

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope

# How far the clocks of two machines may differ.
SKEW: Final = timedelta(minutes=5)
LONGEST_AGE: Final = 36_500
_REMEDY: Final = "use the file verdict.intoto.json that the signing site wrote"


@dataclass(frozen=True)
class Wanted:
    """What a signed verdict must be about. An empty digest or policy is not compared; `days` is its greatest age."""

    version: str
    digest: str = ""
    policy: str = ""
    days: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.days <= LONGEST_AGE:
            raise UsageError(f"--max-age {self.days:g} is no age", remedy=f"name 1 to {LONGEST_AGE:,} days")


@dataclass(frozen=True)
class Verified:
    """The result for one envelope: the statement if a trusted key signed it, and every reason against using it."""

    statement: Statement | None
    key: TrustedKey | None
    reasons: tuple[str, ...]


class _Signature(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    keyid: str
    sig: str


class _EnvelopeRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    payload: str
    payloadType: Literal["application/vnd.in-toto+json"]  # noqa: N815 - DSSE's name
    signatures: Annotated[list[_Signature], Field(min_length=1, max_length=16)]


def verify(file: Path, keys: Sequence[TrustedKey], *, wanted: Wanted, now: float) -> Verified:
    """Return whether the envelope in a file permits what is wanted. `now` is in seconds since 1970.

    The payload is read only after a trusted key has verified it. Raises UsageError if the file is no envelope.
    """
    envelope = _envelope(file)
    signed_by = [key for key in keys if _has_signed(key, envelope)]
    if not signed_by:
        return Verified(None, None, (f"{file} is not signed by a trusted key",))
    try:
        statement = Statement.model_validate(decoded(envelope.payload))
    except (ValidationError, ValueError) as error:
        return Verified(None, None, (f"{file} holds no release-verdict/v1: {_first(error)}",))
    instant = datetime.fromtimestamp(now, UTC)
    refusals = {key.file: tuple(_against_key(key, statement, instant)) for key in signed_by}
    good = next((key for key in signed_by if not refusals[key.file]), None)
    reasons = () if good else refusals[signed_by[0].file]
    return Verified(statement, good, (*reasons, *_against(statement, wanted, instant)))


def _envelope(file: Path) -> Envelope:
    from securesystemslib.dsse import Envelope

    content = read_plain(file, remedy=_REMEDY)
    try:
        record = _EnvelopeRecord.model_validate(decoded(content))
        return Envelope.from_dict(record.model_dump())
    except (ValidationError, ValueError) as error:
        raise UsageError(f"{file} is no signed verdict: {_first(error)}", remedy=_REMEDY) from error


def _has_signed(key: TrustedKey, envelope: Envelope) -> bool:
    from securesystemslib.exceptions import VerificationError

    try:
        return bool(envelope.verify([key.as_key()], 1))
    except VerificationError:
        return False


def _against_key(key: TrustedKey, statement: Statement, now: datetime) -> Iterator[str]:
    """Yield why a key that has signed a statement is not believed."""
    facts, predicate = key.facts, statement.predicate
    if facts.revoked:
        yield f"the key {key.file.name} was revoked: {facts.revoked}"
    if now >= facts.expires:
        yield f"the key {key.file.name} expired on {facts.expires:%Y-%m-%d}"
    if predicate.finished_on < facts.created - SKEW:
        yield f"the release ended before the key {key.file.name} was made"
    if predicate.site != facts.site:
        yield f"the key {key.file.name} is of the site {facts.site!r}, and the verdict of {predicate.site!r}"


def _against(statement: Statement, wanted: Wanted, now: datetime) -> Iterator[str]:
    """Yield why a statement does not permit what is wanted."""
    predicate = statement.predicate
    if predicate.decision != Decision.PROMOTE:
        yield f"the decision is {predicate.decision!r}, not {Decision.PROMOTE!s}"
    if (predicate.outcome, predicate.exit_status) != (PROMOTED, Exit.PROMOTED):
        yield f"the release ended {predicate.outcome!r} with exit status {predicate.exit_status}"
    failed = [name for name, standing in predicate.checks.items() if standing != CheckStatus.PASSED]
    if failed or not predicate.checks:
        yield f"checks that did not pass: {', '.join(failed) or 'there are no checks'}"
    if not predicate.counts.sent:
        yield "no request was measured"
    if not wanted.version or predicate.version != wanted.version:
        yield f"it is for version {predicate.version!r}, not {wanted.version!r}"
    if statement.subject[0].name != predicate.version:
        yield f"its subject is {statement.subject[0].name!r}, and its verdict is on {predicate.version!r}"
    if wanted.digest and statement.digest != wanted.digest:
        yield f"it is for the artifact {statement.digest}, not {wanted.digest}"
    if wanted.policy and statement.policy != wanted.policy:
        yield f"the release was held to the policy {statement.policy}, not {wanted.policy}"
    if predicate.finished_on > now + SKEW:
        yield f"it is from the future: the release ended {predicate.finished_on.isoformat()}"
    if predicate.finished_on < now - timedelta(days=wanted.days):
        yield f"it is older than {wanted.days:g} days: the release ended {predicate.finished_on.isoformat()}"


def _first(error: Any) -> str:
    """Return the first problem in one line, without the value itself."""
    if not isinstance(error, ValidationError):
        return str(error)
    problem = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}"


def against_report(statement: Statement, *, release: str, sealed: dict[str, str]) -> list[str]:
    """Return why a statement does not belong to the report beside it. `sealed` are the digests of the report."""
    reasons = []
    if statement.predicate.release != release:
        reasons.append(f"it is signed for the release {statement.predicate.release!r}, not {release!r}")
    signed = {each.name: each.digest.sha256 for each in statement.predicate.evidence}
    if signed != sealed:
        names = sorted(name for name in signed.keys() | sealed.keys() if signed.get(name) != sealed.get(name))
        reasons.append(f"its evidence is not that of the report: {', '.join(names[:5])}")
    return reasons
