"""Who may see the page and who may act: a password and a token, of which only hashes are kept.

Both are random and long, so a quick hash is enough. A slow one would hold up nginx's workers, and with them users.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from cakravia_verify.proxy.monitor_pages import USER

_SSHA: Final = "{SSHA}"
_SHA256: Final = "sha256:"
_DIGEST_BYTES: Final = hashlib.sha1(usedforsecurity=False).digest_size


@dataclass(frozen=True)
class Secret:
    """A new secret, and the hash that the settings keep."""

    text: str
    hashed: str


def new_password() -> Secret:
    """Return a random password and its hash in the form that every nginx can check by itself."""
    text, salt = secrets.token_urlsafe(24), secrets.token_bytes(16)
    digest = hashlib.sha1(text.encode() + salt, usedforsecurity=False).digest()
    return Secret(text, _SSHA + base64.b64encode(digest + salt).decode())


def new_token() -> Secret:
    """Return a random token for actions and its hash."""
    text = secrets.token_urlsafe(24)
    return Secret(text, _SHA256 + hashlib.sha256(text.encode()).hexdigest())


def is_password(text: str, hashed: str) -> bool:
    """Whether the text is the password. Without a hash nothing is."""
    try:
        both = base64.b64decode(hashed.removeprefix(_SSHA), validate=True)
    except (binascii.Error, ValueError):
        return False
    digest, salt = both[:_DIGEST_BYTES], both[_DIGEST_BYTES:]
    if not hashed.startswith(_SSHA) or not salt:
        return False
    given = hashlib.sha1(text.encode("utf-8", "surrogateescape") + salt, usedforsecurity=False).digest()
    return hmac.compare_digest(given, digest)


def is_token(text: str, hashed: str) -> bool:
    """Whether the text is the token for actions. Without a hash nothing is."""
    given = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return hashed.startswith(_SHA256) and hmac.compare_digest(given, hashed.removeprefix(_SHA256))


def may_read(authorization: str, hashed: str) -> bool:
    """Whether a header `Authorization: Basic ...` holds user and password."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(user.encode(), USER.encode()) and is_password(password, hashed)
