"""nginx's words for the names of the site, for strangers, and for redirects."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cakravia_verify.settings.names import Redirect, RedirectKind
from cakravia_verify.settings.proxy import ProxySettings

HTTPS_PORT = 443


@dataclass(frozen=True)
class Redirects:
    """The redirects with one status: the target by host, for plain http, and by a regular expression of the path.

    An empty target: a redirect with another status comes first there.
    """

    status: int
    hosts: tuple[tuple[str, str], ...]
    plain: str
    paths: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Names:
    """`known` are the hosts that are no strangers, empty if everybody is served. `strangers` get that status."""

    known: tuple[str, ...]
    strangers: int
    redirects: tuple[Redirects, ...]

    @property
    def are_used(self) -> bool:
        return bool(self.known or self.redirects)


STRANGERS = {"serve": 0, "close": 444, "page": 421}


def names_of(settings: ProxySettings, *, scheme: str, host: str) -> Names:
    """Return the names in nginx's words. `scheme` and `host` are those of a request."""
    refused = STRANGERS[settings.strangers]
    known = settings.known_names if refused else ()
    statuses = sorted({each.status for each in settings.redirects})
    return Names(known, refused, tuple(_redirects(settings, status, scheme, host) for status in statuses))


def _redirects(settings: ProxySettings, status: int, scheme: str, host: str) -> Redirects:
    """Return the redirects with this status. One with another status is there too, without a target."""
    by_kind = {kind: [each for each in settings.redirects if each.kind is kind] for kind in RedirectKind}
    goes_secure = by_kind[RedirectKind.SCHEME]
    own_scheme = "https" if goes_secure else scheme
    plain = f"$path_redirect_{status}"
    if goes_secure:
        plain = f"https://$asked_name{_port_of_tls(settings)}$request_uri" if goes_secure[0].status == status else ""
    hosts = [
        (each.source.lower(), _other_host(each, own_scheme) if each.status == status else "")
        for each in by_kind[RedirectKind.HOST]
    ]
    paths = [_by_path(each, f"{scheme}://{host}") for each in by_kind[RedirectKind.PATH] if each.status == status]
    return Redirects(status, tuple(hosts), plain, tuple(paths))


def _other_host(redirect: Redirect, scheme: str) -> str:
    base = redirect.to if "://" in redirect.to else f"{scheme}://{redirect.to}"
    return f"{base}$request_uri"


def _by_path(redirect: Redirect, base: str) -> tuple[str, str]:
    """Return a regular expression for the request line's path, and the target. The rest of the path stays encoded."""
    source, to = redirect.source.removesuffix("*"), redirect.to.removesuffix("*")
    target = to if "://" in to else f"{base}{to}"
    is_prefix = redirect.source.endswith("*")
    pattern = rf"~^{re.escape(source)}{'(?<redirect_rest>[^?]*)' if is_prefix else ''}(\?|$)"
    if redirect.to.endswith("*"):
        target += "$redirect_rest"
    return pattern, target if "?" in to or "#" in to else f"{target}$is_args$args"


def _port_of_tls(settings: ProxySettings) -> str:
    """Return the port behind a host's name in https. Behind a proxy that speaks TLS it is the usual one."""
    address = settings.tls_address
    return f":{address.port}" if address is not None and address.port != HTTPS_PORT else ""
