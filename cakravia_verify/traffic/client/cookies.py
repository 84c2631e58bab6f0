"""The cookies of one journey, as a browser keeps them for one host (RFC 6265, section 5)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import NamedTuple


class Cookie(NamedTuple):
    """One stored cookie. `expires` is in seconds since 1970; None lasts as long as the journey."""

    name: str
    path: str
    value: str
    expires: float | None


class JourneyCookies:
    """The cookies of one journey. All of its requests go to one site.

    A Secure cookie is kept only if users come by https (`is_secure`). A cookie for another domain is not kept.
    """

    def __init__(self, *, is_secure: bool) -> None:
        self._is_secure = is_secure
        self._kept: dict[tuple[str, str], Cookie] = {}

    def keep(self, lines: Iterable[bytes], *, host: str, path: str) -> None:
        """Keep what the Set-Cookie headers of an answer say. `path` is that of the request."""
        for line in lines:
            pair, *attributes = line.decode("latin-1").split(";")
            name, equals, value = pair.partition("=")
            if not equals or not name.strip():
                continue
            given = {key.strip().lower(): rest.strip() for key, _, rest in (each.partition("=") for each in attributes)}
            if not _is_for(host, given.get("domain", "")) or ("secure" in given and not self._is_secure):
                continue
            own = given.get("path", "")
            cookie = Cookie(
                name.strip(), own if own.startswith("/") else _folder_of(path), value.strip(), _expiry_of(given)
            )
            self._kept[cookie.name, cookie.path] = cookie

    def header(self, path: str) -> bytes:
        """Return the Cookie header of a request, with its end of line; empty without a cookie for that path."""
        plain, now = path.partition("?")[0], time.time()
        mine = [
            cookie
            for cookie in self._kept.values()
            if _covers(cookie.path, plain) and (cookie.expires is None or cookie.expires > now)
        ]
        # The longer path first; cookies of one length stay in the order in which they came.
        mine.sort(key=lambda cookie: -len(cookie.path))
        pairs = "; ".join(f"{cookie.name}={cookie.value}" for cookie in mine)
        return b"Cookie: %s\r\n" % pairs.encode("latin-1") if pairs else b""


def _is_for(host: str, domain: str) -> bool:
    name, domain = host.partition(":")[0].lower(), domain.lower().removeprefix(".")
    return not domain or name == domain or (name.endswith(f".{domain}") and not name.replace(".", "").isdigit())


def _folder_of(path: str) -> str:
    """Return the default path of a cookie: the folder of the request's path."""
    return path.partition("?")[0].rpartition("/")[0] or "/"


def _covers(own: str, path: str) -> bool:
    return path == own or path.startswith(own if own.endswith("/") else f"{own}/")


def _expiry_of(given: dict[str, str]) -> float | None:
    """Return when a cookie expires. Max-Age counts more than Expires; what cannot be read does not count."""
    seconds = given.get("max-age", "")
    if seconds.removeprefix("-").isdecimal():
        return time.time() + int(seconds) if not seconds.startswith("-") and len(seconds) < 12 else 0.0
    try:
        return parsedate_to_datetime(given["expires"].replace("-", " ")).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
