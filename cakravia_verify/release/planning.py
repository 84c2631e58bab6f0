"""The plan of a release, made from what the site looks like now."""

from __future__ import annotations

from cakravia_verify.history.releases import Intent
from cakravia_verify.release.conditions import is_healthy
from cakravia_verify.site.site import Site, SiteState
from cakravia_verify.slots import Artifact


def planned(
    site: Site,
    state: SiteState,
    *,
    release: str,
    kind: str,
    version: str,
    target: Artifact | None = None,
    reason: str = "",
) -> Intent:
    """Return the plan to bring users to the version in the idle slot. `target` is the artifact to go back to."""
    active, idle = state.active, state.slots.idle
    return Intent(
        release=release,
        kind=kind,
        version=version,
        candidate=state.slots.idle_colour,
        active=state.slots.active_colour,
        active_version=active.version if active else "",
        active_digest=active.digest if active else "",
        is_warm=bool(target and idle and (idle.version, idle.digest) == (target.version, target.digest)),
        proxy_was_running=state.proxy.is_running,
        reason=reason,
        had_failover=state.proxy.has_failover,
        was_ill=active is not None and state.served is active.colour and not is_healthy(site, active),
    )
