"""The keys of signed verdicts: a private one that signs on one site, and a public file that others trust."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from cakravia_verify.errors import UsageError
from cakravia_verify.report.attestation.plain_file import decoded, read_plain
from cakravia_verify.system.files import write_atomically

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

SCHEMA: Final = "cakravia-key/1"
_REMEDY: Final = "make a key with `cakravia keys init`"
_TRUST_REMEDY: Final = "name the file *.pub.json that `cakravia keys init` wrote on the site that signs"


class PublicKey(BaseModel):
    """The file of a public key. Review it before you trust it. `revoked` is the reason why trust in it has ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["cakravia-key/1"]
    site: Annotated[str, Field(min_length=1)]
    ed25519: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    created: AwareDatetime
    expires: AwareDatetime
    revoked: str = ""


@dataclass(frozen=True)
class TrustedKey:
    """A public key that verdicts of its site may be signed with."""

    file: Path
    facts: PublicKey

    def as_key(self) -> SSlibKey:
        """Return the key in the library's form. Its id follows from the key, so a file cannot claim another one."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from securesystemslib.signer import SSlibKey

        return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.facts.ed25519)))


def make_keys(private: Path, public: Path, *, site: str, wall: float, days: float) -> PublicKey:
    """Write a new pair of keys: `private` with mode 0600, `public` readable by all. Returns the public one.

    Raises UsageError if one of the files exists: a key is never overwritten.
    """
    from securesystemslib.signer import CryptoSigner

    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise UsageError(
                f"{path} exists already", remedy="nothing was changed; move it away first, and revoke the old key"
            )
    signer = CryptoSigner.generate_ed25519()
    created = datetime.fromtimestamp(wall, UTC).replace(microsecond=0)
    facts = PublicKey(
        format=SCHEMA,
        site=site,
        ed25519=signer.public_key.keyval["public"],
        created=created,
        expires=created + timedelta(days=days),
    )
    try:
        write_atomically(private, signer.private_bytes, mode=0o600)
        _write_public(public, facts)
    except OSError as error:
        raise UsageError(
            f"the keys cannot be written: {error.strerror}", remedy="correct the folder's rights"
        ) from error
    return facts


def revoke(public: Path, *, reason: str) -> PublicKey:
    """Write into the public file that no verdict of this key is trusted any more. Returns its new content."""
    facts = read_trusted(public).facts.model_copy(update={"revoked": reason})
    _write_public(public, facts)
    return facts


def read_trusted(file: Path) -> TrustedKey:
    """Return the public key in a file. Raises UsageError if the file holds no such key."""
    content = read_plain(file, remedy=_TRUST_REMEDY)
    if b"PRIVATE KEY" in content:
        raise UsageError(f"{file} is a private key", remedy=f"keep it secret; {_TRUST_REMEDY}")
    try:
        return TrustedKey(file, PublicKey.model_validate(decoded(content)))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{file} is no public key: {place}: {first['msg']}", remedy=_TRUST_REMEDY) from error
    except ValueError as error:
        raise UsageError(f"{file} is no public key: {error}", remedy=_TRUST_REMEDY) from error


def read_signer(private: Path) -> CryptoSigner:
    """Return what signs with a private key. Raises UsageError if others can read the file, or if it is no such key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    content = read_plain(private, remedy=_REMEDY)
    if stat.S_IMODE(private.stat().st_mode) & 0o077:
        raise UsageError(f"others can read the signing key {private}", remedy=f"type: chmod 600 {private}")
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{private} is no signing key: {error}", remedy=_REMEDY) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{private} is no ed25519 key", remedy=_REMEDY)
    return CryptoSigner(key)


def _write_public(public: Path, facts: PublicKey) -> None:
    write_atomically(public, facts.model_dump_json(indent=2).encode() + b"\n", mode=0o644)
