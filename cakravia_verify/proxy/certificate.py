"""The certificate for users' TLS connections, read from files of the releasing machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from cakravia_verify.errors import UsageError
from cakravia_verify.settings.proxy import ProxySettings


@dataclass(frozen=True)
class Certificate:
    """A PEM chain and its private key. The repr contains neither."""

    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        """A short name for this pair. A renewed certificate has another digest."""
        return hashlib.sha256(self.chain + b"\0" + self.key).hexdigest()[:16]


def read_certificate(settings: ProxySettings) -> Certificate | None:
    """Return the certificate, None without tls_listen. Raises UsageError with the setting and the file."""
    if not settings.tls_listen:
        return None
    chain = _read("tls_certificate", settings.tls_certificate, holds=b"CERTIFICATE-----")
    key = _read("tls_key", settings.tls_key, holds=b"PRIVATE KEY-----")
    if b"ENCRYPTED" in key:
        raise UsageError(
            f"[proxy] tls_key: {settings.tls_key} has a passphrase, and nginx starts without a terminal to enter it",
            remedy=f"write a copy without it, readable only for you: (umask 077; openssl pkey -in {settings.tls_key} "
            f"-out {settings.tls_key}.plain), then name the copy in tls_key",
        )
    return Certificate(chain, key)


def _read(name: str, path: str, *, holds: bytes) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(
            f"[proxy] {name}: {path} cannot be read: {error.strerror}",
            remedy="name a PEM file that the releasing user can read; users still get the present certificate",
        ) from error
    if holds not in content:
        raise UsageError(
            f"[proxy] {name}: {path} contains no PEM block that ends in {holds.decode()!r}",
            remedy="name the right PEM file; users still get the present certificate",
        )
    return content
