"""The certificate for users: match, chain, expiry, names."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem, warning
from cakravia_verify.proxy.certificate import read_certificate

_RENEW: Final = "renew the certificate, or name the right files in [proxy] tls_certificate and tls_key"


def _find(ground: Ground) -> Iterator[CheckFinding]:
    certificate = read_certificate(ground.settings.proxy)
    if certificate is None:
        return
    from cakravia_verify.proxy.certificate_checks import inspect  # slow to import

    state = inspect(certificate, now=datetime.fromtimestamp(ground.site.clock.wall(), UTC))
    for each in state.problems:
        yield problem(f"[proxy] tls_certificate: {each}", needed="a certificate that browsers accept", remedy=_RENEW)
    for each in state.warnings:
        yield warning(f"[proxy] tls_certificate: {each}", remedy=_RENEW)
    if missing := state.lacks(ground.settings.host_names):
        yield problem(
            f"[proxy] tls_certificate is for {', '.join(state.names) or 'no name'}",
            needed=f"the name {', '.join(missing)} of this site",
            remedy="get a certificate that names it, or correct [site] host, [proxy] server_names and redirects",
        )
    key = Path(ground.settings.proxy.tls_key)
    if key.stat().st_mode & stat.S_IROTH:
        yield problem(
            f"[proxy] tls_key: every user of this machine can read {key}",
            needed="a key that only its owner can read",
            remedy=f"chmod 600 {key}",
        )
    yield ok(f"{', '.join(state.names) or 'no name'}, until {state.ends:%Y-%m-%d}")


CHECK: Final = SiteCheck(
    "certificate", "The certificate fits", _find, applies=lambda settings: bool(settings.proxy.tls_listen)
)
