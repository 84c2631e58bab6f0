"""What the proxy tells the slots of its site, and knows of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cakravia_verify.settings.models import Settings

# nginx's name for the scheme by which a request reaches the proxy.
PROXY_SCHEME: Final = "$scheme"
_PLAIN_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]*(\?|$)")


@dataclass(frozen=True)
class SiteFacts:
    """The scheme that slots are told for users, and for smoke requests.

    `health_paths` are the paths of the health endpoints, the one that tells whether a slot is alive first.
    """

    scheme: str = PROXY_SCHEME
    smoke_scheme: str = PROXY_SCHEME
    health_paths: tuple[str, ...] = ("/",)


PLAIN_SITE: Final = SiteFacts()


def facts_of(settings: Settings) -> SiteFacts:
    """Return what the proxy tells the slots of this site.

    A proxy without TLS of its own does not see that users come by https: TLS ends in front of it. Smoke requests come
    to the plain address, and stand for users of the site.
    """
    told = "https" if settings.site.scheme == "https" else PROXY_SCHEME
    return SiteFacts(
        scheme=PROXY_SCHEME if settings.proxy.tls_listen else told,
        smoke_scheme=told,
        health_paths=_health_paths(settings.contract.endpoints),
    )


def _health_paths(endpoints: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths that nginx's configuration can contain, "live" first."""
    ordered = sorted(endpoints.items(), key=lambda each: each[0] != "live")
    return tuple(path.partition("?")[0] for _, path in ordered if _PLAIN_PATH.match(path))
