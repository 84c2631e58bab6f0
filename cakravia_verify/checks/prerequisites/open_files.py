"""The limits of open files for the proxy and for the measured traffic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem, warning
from cakravia_verify.proxy.nginx.render import worker_limits

# Records, the ledger, flags and logs of a release.
FOR_RELEASE: Final = 256


def _find(ground: Ground) -> Iterator[CheckFinding]:
    settings = ground.settings
    _, hard = ground.machine.open_files()
    needed = settings.traffic.users + FOR_RELEASE
    if hard < needed:
        yield problem(
            f"this user may open {hard:,} files at once",
            needed=f"{needed:,}: one for each of {settings.traffic.users} connections of the measured traffic, and "
            f"{FOR_RELEASE} for the release",
            remedy=f"raise the limit: ulimit -Hn {needed}, or nofile in /etc/security/limits.conf; or lower "
            "[traffic] users",
        )
    elif settings.site.platform == "process" and worker_limits(settings.proxy, open_files=hard).connections < (
        settings.proxy.connections
    ):
        limits = worker_limits(settings.proxy, open_files=hard)
        yield warning(
            f"this user may open {hard:,} files at once: a worker of nginx gets {limits.connections:,} connections",
            needed=f"{settings.proxy.connections * 3 // 2 + 64:,} for [proxy] connections = "
            f"{settings.proxy.connections:,}",
            remedy="raise nofile in /etc/security/limits.conf, or lower [proxy] connections",
        )
    else:
        yield ok(f"{hard:,} open files")
    if (usage := ground.site.proxy.usage()) is None:
        return
    used = f"the fullest worker of nginx has {usage.connections:,} of {usage.limit:,} connections"
    if usage.is_nearly_full:
        yield warning(
            used,
            needed="a fifth of them free: past the limit users get 503",
            remedy="raise [proxy] connections or workers; see who holds them: ss -tn state established",
        )
    else:
        yield ok(used)


CHECK: Final = SiteCheck("open files", "Enough files can be open at once", _find)
