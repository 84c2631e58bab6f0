"""What is wrong with a certificate before users see it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes, PublicKeyTypes
from cryptography.x509.oid import ExtensionOID

from cakravia_verify.errors import UsageError
from cakravia_verify.proxy.certificate import Certificate

SHORTEST_RSA: Final = 2048
WEAK_HASHES: Final = ("md5", "sha1")
SOON: Final = timedelta(days=14)


@dataclass(frozen=True)
class CertificateState:
    """The facts about a certificate. `problems` keep browsers away; `warnings` may."""

    names: tuple[str, ...]
    ends: datetime
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    def lacks(self, hosts: Iterable[str]) -> tuple[str, ...]:
        """Return those hosts that no name of the certificate covers. A `*` stands for one label."""
        return tuple(host for host in dict.fromkeys(hosts) if not any(_covers(name, host) for name in self.names))


def inspect(certificate: Certificate, *, now: datetime) -> CertificateState:
    """Return the facts about the certificate at the instant `now`. Raises UsageError if it cannot be read."""
    try:
        chain = x509.load_pem_x509_certificates(certificate.chain)
        key = serialization.load_pem_private_key(certificate.key, password=None).public_key()
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"[proxy] tls_certificate or tls_key cannot be read: {error}",
            remedy="name PEM files with the certificate's chain and its key; users still get the present certificate",
        ) from error
    leaf = chain[0]
    return CertificateState(
        names=_names(leaf),
        ends=leaf.not_valid_after_utc,
        problems=tuple(_problems(leaf, key, now)),
        warnings=tuple(_warnings(chain, now)),
    )


def require_usable(certificate: Certificate, *, loaded: str, now: datetime) -> None:
    """Raise UsageError if the certificate is new and browsers would refuse it.

    The configuration `loaded` names the present certificate. That one is not refused: a rollback must go on.
    """
    if certificate.digest in loaded:
        return
    state = inspect(certificate, now=now)
    if state.problems:
        raise UsageError(
            f"[proxy] tls_certificate: {'; '.join(state.problems)}",
            remedy="renew the certificate, or name the right files; users still get the present certificate",
        )


def _problems(leaf: x509.Certificate, key: PublicKeyTypes, now: datetime) -> Iterator[str]:
    if now > leaf.not_valid_after_utc:
        yield f"it expired on {leaf.not_valid_after_utc:%Y-%m-%d}"
    if now < leaf.not_valid_before_utc:
        yield f"it is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    if _encoded(leaf.public_key()) != _encoded(key):
        yield "the key belongs to another certificate (key values mismatch)"
    public = leaf.public_key()
    if isinstance(public, rsa.RSAPublicKey) and public.key_size < SHORTEST_RSA:
        yield f"its RSA key has {public.key_size} bits; browsers want {SHORTEST_RSA}"
    algorithm = leaf.signature_hash_algorithm
    if algorithm is not None and algorithm.name in WEAK_HASHES:
        yield f"it is signed with {algorithm.name}, which browsers refuse"


def _warnings(chain: list[x509.Certificate], now: datetime) -> Iterator[str]:
    leaf = chain[0]
    if now < leaf.not_valid_after_utc < now + SOON:
        yield f"it expires on {leaf.not_valid_after_utc:%Y-%m-%d}"
    if not _names(leaf):
        yield "it names no host (subjectAltName)"
    if leaf.issuer != leaf.subject and leaf.issuer not in [each.subject for each in chain[1:]]:
        yield "the file has no certificate of its issuer; put the whole chain into it"


def _covers(name: str, host: str) -> bool:
    return name.count(".") == host.count(".") and fnmatch.fnmatch(host.lower(), name.lower())


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    if not isinstance(names, x509.SubjectAlternativeName):
        return ()
    addresses = names.get_values_for_type(x509.IPAddress)
    return (*names.get_values_for_type(x509.DNSName), *(str(address) for address in addresses))


def _encoded(key: PublicKeyTypes | CertificateIssuerPublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
