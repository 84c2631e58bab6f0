"""The in-toto Statement about one release, with the predicate release-verdict/v1 (docs/RELEASE_VERDICT.md)."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from cakravia_verify.report.verdict.model import VerdictRecord

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:cakravia:release-verdict/v1"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_DIGEST: Final = re.compile("sha256:([0-9a-f]{64})")

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
MaybeCount = Annotated[int, Field(ge=0)] | None


class SignedPart(BaseModel):
    """A part of the statement. Names are in camel case on the wire, as in all of in-toto; unknown names are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True
    )


class Sha256(SignedPart):
    """A digest set with the one algorithm that is used here."""

    sha256: Digest


class Described(SignedPart):
    """A resource: a name and its digest."""

    name: Annotated[str, Field(min_length=1)]
    digest: Sha256


class SignedCounts(SignedPart):
    """Requests of the traffic, counted without any retry; null means not measured."""

    sent: MaybeCount
    lost: MaybeCount
    errors: MaybeCount
    lost_bound: str


class ReleaseVerdict(SignedPart):
    """The predicate: what one release did on one site, and why the gate decided as it did."""

    site: str
    platform: str
    release: str
    kind: str
    version: str
    previous_version: str
    decision: str
    outcome: str
    exit_status: int
    started_on: AwareDatetime
    finished_on: AwareDatetime
    counts: SignedCounts
    budget: dict[str, Any]
    checks: dict[str, str]
    policy: Sha256
    settings: Sha256
    evidence: tuple[Described, ...]
    tool: str


class Statement(SignedPart):
    """An in-toto Statement v1 about exactly one artifact."""

    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[tuple[Described, ...], Field(min_length=1, max_length=1)]
    predicate_type: Literal["urn:cakravia:release-verdict/v1"]
    predicate: ReleaseVerdict

    @property
    def digest(self) -> str:
        """The digest of the artifact, as the platforms and verdict.json write it."""
        return f"sha256:{self.subject[0].digest.sha256}"

    @property
    def policy(self) -> str:
        return f"sha256:{self.predicate.policy.sha256}"


def is_artifact(digest: str) -> bool:
    """Return whether a statement can be about an artifact with this digest."""
    return _DIGEST.fullmatch(digest) is not None


def statement_of(record: VerdictRecord, *, verdict_sha256: str) -> Statement:
    """Return the statement about the release of a verdict. `verdict_sha256` is that of verdict.json itself."""
    measured = record["evidence"]["measured"]
    evidence = {"verdict.json": verdict_sha256} | record["files"]
    return Statement(
        type=STATEMENT_TYPE,
        subject=(described(record["version"], hex_of(record["digest"])),),
        predicate_type=PREDICATE_TYPE,
        predicate=ReleaseVerdict(
            site=record["site"],
            platform=record["platform"],
            release=record["release"],
            kind=record["kind"],
            version=record["version"],
            previous_version=record["previous_version"],
            decision=str(record["decision"]),
            outcome=record["outcome"],
            exit_status=record["exit_status"],
            started_on=record["started_at"],  # type: ignore[arg-type]  # pydantic reads ISO 8601
            finished_on=record["finished_at"],  # type: ignore[arg-type]
            counts=SignedCounts(
                sent=measured["sent"] if measured else None,
                lost=measured["lost"] if measured else None,
                errors=measured.get("errors") if measured else None,
                lost_bound=measured.get("lost_bound", "") if measured else "",
            ),
            budget=dict(record["budget"]),
            checks={check["name"]: str(check["standing"]) for check in record["checks"]},
            policy=Sha256(sha256=policy_digest(record)),
            settings=Sha256(sha256=hex_of(record["settings_digest"])),
            evidence=tuple(described(name, digest) for name, digest in sorted(evidence.items())),
            tool=record["tool"],
        ),
    )


def policy_digest(record: VerdictRecord) -> str:
    """Return the SHA-256 of what the release was held to: its budget and the names of its required checks."""
    policy = {"budget": record["budget"], "required": sorted(record["evidence"]["required"])}
    text = json.dumps(policy, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def described(name: str, digest: str) -> Described:
    """Return a resource with its digest, in hexadecimal."""
    return Described(name=name, digest=Sha256(sha256=digest))


def hex_of(digest: str) -> str:
    """Return the digits of a digest."""
    return digest.removeprefix("sha256:")
