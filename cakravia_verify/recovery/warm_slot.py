"""Start again the slot that stands by for failover and for a warm rollback."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cakravia_verify.errors import CakraviaError, DeadlineExceeded
from cakravia_verify.history.releases import Record, is_taken_down, last_holding, records
from cakravia_verify.recovery.outages import missing_warm_slot, wants_warm_slot, warm_artifact
from cakravia_verify.release.conditions import complaints, is_healthy
from cakravia_verify.release.roles import correct_roles
from cakravia_verify.site.site import Site, SiteState
from cakravia_verify.slots import Slot
from cakravia_verify.system.clock import Deadline, poll


def warm_again(site: Site, *, is_over: Callable[[], bool] = lambda: False) -> Iterator[str]:
    """Start the version before the promoted one again in the idle slot, if it stood by there. Yields at most one line.

    Users are served meanwhile, so an error is a line too. Nothing is started if users are not on the promoted version.
    The wait for its health ends when `is_over` returns True; the slot then goes on without failover.
    """
    if is_over():
        return
    try:
        entries = site.journal.entries()
        last = last_holding(entries)
        if last is None or is_taken_down(entries) or not wants_warm_slot(site, last):
            return
        state = site.observe()
        if state.served is not last.intent.candidate or site.doubt_about_history(state.active):
            return
        yield from _allow_failover(site, state, last)
        yield from restart_warm_slot(site, is_over=is_over)
    except (CakraviaError, OSError) as error:
        yield f"the version before does not stand by: {error.message if isinstance(error, CakraviaError) else error}"


def failover_again(site: Site) -> Iterator[str]:
    """Allow failover to the version before the promoted one, if it stands by and is healthy. Yields at most one line.

    A repair of users withdraws failover, also if the proxy alone had died.
    """
    entries = site.journal.entries()
    last = last_holding(entries)
    if last is None or is_taken_down(entries) or not wants_warm_slot(site, last):
        return
    state = site.observe()
    if state.served is last.intent.candidate and not site.doubt_about_history(state.active):
        yield from _allow_failover(site, state, last)


def restart_warm_slot(site: Site, *, is_over: Callable[[], bool] = lambda: False) -> Iterator[str]:
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
        is_ready = _becomes_healthy(site, slot, is_over)
    except DeadlineExceeded:
        site.platform.stop(colour, deadline=Deadline(f"{colour} stops", grace, clock=site.clock))
        raise
    correct_roles(site)
    if is_ready:
        site.proxy.set_failover(allowed=True)
        yield f"{slot} stands by again"


def _allow_failover(site: Site, state: SiteState, last: Record) -> Iterator[str]:
    """Allow failover to a slot that runs the version before and is healthy. An interrupted start left it without."""
    proxy = site.settings.proxy
    is_possible = proxy.failover and proxy.switch == "flag" and not state.proxy.has_failover
    slot = state.slots.at(last.intent.candidate.other)
    if not is_possible or slot is None or slot.colour is not last.intent.active:
        return
    is_before = (slot.version, slot.digest) == (last.intent.active_version, last.intent.active_digest)
    if is_before and is_healthy(site, slot):
        site.proxy.set_failover(allowed=True)
        yield f"{slot} stands by again"


def _becomes_healthy(site: Site, slot: Slot, is_over: Callable[[], bool]) -> bool:
    """Wait until the slot is healthy. Returns False if `is_over` ended the wait. Raises DeadlineExceeded."""
    health = site.settings.health
    poll(
        lambda: is_over() or is_healthy(site, slot),
        deadline=Deadline(f"{slot} is healthy", health.deadline, clock=site.clock),
        every=health.interval,
        observed=lambda: complaints(site.readings(slot)),
    )
    return not is_over()
