"""Start again the slot that stands by for failover."""

from __future__ import annotations

from collections.abc import Iterator

from cakravia_verify.errors import DeadlineExceeded
from cakravia_verify.history.releases import last_holding, records
from cakravia_verify.recovery.outages import missing_warm_slot, warm_artifact
from cakravia_verify.release.conditions import complaints, is_healthy
from cakravia_verify.release.roles import correct_roles
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Slot
from cakravia_verify.system.clock import Deadline, poll


def restart_warm_slot(site: Site) -> Iterator[str]:
    """Start the version before the promoted one where it stood by, and allow failover to it. Yields one line.

    Users are served by the promoted version meanwhile. Raises PlatformError or DeadlineExceeded; a slot that does not
    become healthy is stopped again.
    """
    last = last_holding(site.journal.entries())
    if last is None or (colour := missing_warm_slot(site, site.observe(), last)) is None:
        return
    artifact = warm_artifact(site, last)
    if artifact is None:
        return
    before = [each for each in records(site.journal.entries()) if each.digest == artifact.digest and each.holds_users]
    release = before[-1].intent.release if before else last.intent.release
    grace = site.settings.app.grace
    slot = site.platform.start(
        colour, artifact, release=release, deadline=Deadline(f"{colour} starts", grace, clock=site.clock)
    )
    try:
        _await_health(site, slot)
    except DeadlineExceeded:
        site.platform.stop(colour, deadline=Deadline(f"{colour} stops", grace, clock=site.clock))
        raise
    site.proxy.set_failover(allowed=True)
    correct_roles(site)
    yield f"{slot} stands by again"


def _await_health(site: Site, slot: Slot) -> None:
    health = site.settings.health
    poll(
        lambda: is_healthy(site, slot) or None,
        deadline=Deadline(f"{slot} is healthy", health.deadline, clock=site.clock),
        every=health.interval,
        observed=lambda: complaints(site.readings(slot)),
    )
