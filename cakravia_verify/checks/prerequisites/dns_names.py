"""Names that the site and its requests need."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem, warning


def _find(ground: Ground) -> Iterator[CheckFinding]:
    settings = ground.settings
    names = {"[slots] host": settings.slots.host}
    names |= {f"[proxy] {key} {address}": address.host for key, address in settings.proxy.addresses}
    if settings.docker.host and settings.site.platform == "docker" and (named := urlsplit(settings.docker.host)):
        names |= {"[docker] host": named.hostname} if named.hostname and named.scheme in ("tcp", "https") else {}
    for key, name in names.items():
        if not _is_address(name) and not ground.machine.addresses_of(name):
            yield problem(
                f"{key}: the name {name} does not resolve",
                needed="a name that this machine resolves, or an address",
                remedy=f"correct it, or add {name} to /etc/hosts; getent hosts {name} shows what it resolves to",
            )
    host = settings.site.host.partition(":")[0]
    if host and not _is_address(host) and not ground.machine.addresses_of(host):
        yield warning(
            f"[site] host: {host} does not resolve here",
            needed="users find the site by this name",
            remedy=f"add a DNS record for {host}, or correct [site] host",
        )
    yield ok(f"names: {', '.join(dict.fromkeys(filter(None, (*names.values(), host))))}")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


CHECK: Final = SiteCheck("names", "Names resolve", _find)
