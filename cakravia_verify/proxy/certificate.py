"""The certificate that users get by TLS, as it lies on the releaser's side at the moment."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from cakravia_verify.errors import UsageError
from cakravia_verify.settings.proxy import ProxySettings


@dataclass(frozen=True)
class Certificate:
    """A chain and its private key, PEM. Nothing that is printed of it tells the key."""

    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        """Names this pair; a renewed one is another."""
        return hashlib.sha256(self.chain + b"\0" + self.key).hexdigest()[:16]


def read_certificate(settings: ProxySettings) -> Certificate | None:
    """None where users do not come in by TLS. Raises UsageError naming the key of the settings and the file."""
    if not settings.tls_listen:
        return None
    chain = _read("tls_certificate", settings.tls_certificate, holds=b"CERTIFICATE-----")
    key = _read("tls_key", settings.tls_key, holds=b"PRIVATE KEY-----")
    if b"ENCRYPTED" in key:
        raise UsageError(
            f"[proxy] tls_key: {settings.tls_key} has a passphrase, which nobody could type in when nginx starts",
            remedy="openssl pkey -in KEY -out PLAIN writes it without; keep that file readable for the releaser alone",
        )
    return Certificate(chain, key)


def _read(name: str, path: str, *, holds: bytes) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(
            f"[proxy] {name}: {path} cannot be read: {error.strerror}",
            remedy="name a PEM file that the user who releases may read; what users get now is unchanged",
        ) from error
    if holds not in content:
        raise UsageError(
            f"[proxy] {name}: {path} holds no PEM block that ends in {holds.decode()!r}",
            remedy="name the PEM file; what users get now is unchanged",
        )
    return content
