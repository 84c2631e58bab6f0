"""Repair a site: interrupted releases, users without an answer, and users on another version than the promoted one."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final

from cakravia_verify.errors import (
    NotConfirmed,
    PlatformError,
    ProxyError,
    ReleaseError,
    RollbackFailed,
    UsageError,
)
from cakravia_verify.history.releases import Record, is_taken_down, last_holding, unfinished
from cakravia_verify.recovery.interrupted import doubt_about_history, left_behind, recover
from cakravia_verify.recovery.serve_users import is_served, restart_promoted, serve
from cakravia_verify.release.companions import correct_companions
from cakravia_verify.release.conditions import is_confirmed, is_healthy, require_confirmed, require_healthy
from cakravia_verify.release.direct_users import direct_users, proxy_deadline
from cakravia_verify.release.hooks import end_left_hooks
from cakravia_verify.release.open_pages import unpin_ill_slot
from cakravia_verify.release.roles import correct_roles
from cakravia_verify.release.steps import STEPS
from cakravia_verify.site.site import Site, SiteState
from cakravia_verify.slots import Slot
from cakravia_verify.system.clock import Deadline

# The proxy's check of a slot that failed is made again after 10 s.
TRIED_AGAIN_AFTER: Final = 12.0


def repair(site: Site) -> Iterator[str]:
    """Repair the site. Yields one line for each repair, and for each problem that is left.

    In this order: reconnect parts, finish or undo interrupted releases, serve users who get no answer, bring users to
    the promoted version, run its companions. Raises RollbackFailed if a release could not be undone; users are served
    first.
    """
    stuck = yield from settle(site)
    yield from serve_again(site)
    if stuck is not None:
        raise stuck
    yield from bring_to_promoted(site)
    correct_roles(site)
    if not is_taken_down(site.journal.entries()):
        yield from correct_companions(site)


def settle(site: Site) -> Generator[str, None, RollbackFailed | None]:
    """Reconnect the parts of the site, end hooks that still run, then finish or undo interrupted releases.

    Yields one line for each.

    Returns the error of an undo that failed: the caller serves users first, then raises it.
    """
    yield from reconnect(site)
    yield from end_left_hooks(site)
    try:
        yield from finish_or_undo(site)
    except RollbackFailed as error:
        return error
    return None


def reconnect(site: Site) -> list[str]:
    """Reconnect running parts that lost their network. Returns one line per part."""
    lines = list(site.platform.reconnect())
    if lines:
        site.journal.append("site.reconnected", parts=lines)
    if lines and site.proxy.observe().is_running:
        # A slot may have another address than the proxy knows.
        site.proxy.refresh(deadline=proxy_deadline(site, "the proxy loads its configuration"))
        await_users_on_chosen(site)
    return lines


def await_users_on_chosen(site: Site) -> None:
    """Wait until users reach the chosen slot again, if it is healthy. The proxy leaves out a slot that was dead."""
    chosen = site.platform.observe(site.proxy.observe().chosen)
    if chosen is None or not is_healthy(site, chosen):
        return
    deadline = Deadline(f"users reach {chosen} again", TRIED_AGAIN_AFTER, clock=site.clock)
    while not is_confirmed(site, chosen, count=site.settings.release.confirmations) and not deadline.is_over:
        continue


def take_up_changes(site: Site) -> list[str]:
    """Load changed settings and certificates into a running proxy, and cut long logs. Returns a line after a reload.

    Raises ProxyError or UsageError if the proxy cannot run with them; it then keeps its old configuration.
    """
    site.bound_logs()
    deadline = proxy_deadline(site, "the proxy loads its configuration")
    state = site.proxy.observe()
    if state.is_running:
        unpin_ill_slot(site, site.platform.observe(state.chosen.other))
    if not state.is_running or not site.proxy.refresh(deadline=deadline):
        return []
    site.journal.append("site.refreshed")
    return ["the proxy loaded its changed configuration"]


def finish_or_undo(site: Site) -> Iterator[str]:
    """Finish or undo every interrupted release. Yields one line for each. Raises RollbackFailed."""
    if doubt := doubt_about_history(site):
        if any(unfinished(site.journal.entries())):
            yield f"{doubt}; no release is finished or undone"
        return
    for record in left_behind(site):
        outcome = recover(site, record, STEPS, on_event=lambda _: None)
        yield f"release {record.intent.release} ({record.intent.version}): {outcome}"


def serve_again(site: Site) -> list[str]:
    """Give users who get no answer a healthy slot. Returns one line for what was done.

    Users who are served are not moved. A site that was taken down stays down.
    """
    state, entries = site.observe(), site.journal.entries()
    runs_nothing = state.slots.blue is None and state.slots.green is None
    if (runs_nothing and last_holding(entries) is None) or (state.is_empty and is_taken_down(entries)):
        return []
    return _choose_failover_slot(site, state) if is_served(state) else [serve(site, state)]


def _choose_failover_slot(site: Site, state: SiteState) -> list[str]:
    """Point the proxy at the slot that serves users by failover only: the next release withdraws failover."""
    chosen, serving = state.slots.at(state.proxy.chosen), state.active
    if serving is None or serving.colour is state.proxy.chosen:
        return []
    if chosen is not None and is_healthy(site, chosen):
        return []
    count = site.settings.release.confirmations
    direct_users(site, serving, confirmations=count, deadline=proxy_deadline(site, f"users stay on {serving}"))
    site.journal.append("site.repaired", version=serving.version, slot=str(serving.colour))
    return [f"{state.proxy.chosen} gives no answer, so failover served users; they are on {serving} now"]


def bring_to_promoted(site: Site) -> list[str]:
    """Bring users to the slot that the history promoted; start it again if it died. Returns one line.

    Whatever moved users (a death, a person, another tool) had no verdict. If the promoted version cannot serve, users
    stay where they are, and the line says why. Raises NotConfirmed if users get no answer there.
    """
    state, last = site.observe(), last_holding(site.journal.entries())
    refuge = state.active
    if last is None or state.served is None or refuge is None or refuge.colour is last.intent.candidate:
        return []
    if doubt := site.doubt_about_history(refuge):
        return [f"{doubt}; users stay on {refuge}"]
    try:
        slot, is_restarted = _promoted_slot(site, last)
        _move_users(site, slot, refuge=refuge)
    except (ReleaseError, PlatformError, ProxyError, UsageError) as error:
        promoted = f"{last.intent.candidate} ({last.intent.version})"
        problem = f"the history promoted {promoted}, which cannot serve: {error.message}"
        try:
            require_confirmed(site, refuge, count=1)
        except NotConfirmed as lost:
            raise NotConfirmed(f"{problem}; {lost.message}", remedy=lost.remedy) from error
        return [f"{problem}; users stay on {refuge}"]
    # As after the promotion: failover may use the version before it, never a version that users were rolled back from.
    was_before = (refuge.version, refuge.digest) == (last.intent.active_version, last.intent.active_digest)
    is_fit = was_before and last.intent.policy.keeps_old_slot_as_failover
    site.proxy.set_failover(allowed=is_fit and is_healthy(site, refuge))
    site.journal.append("site.repaired", version=slot.version, slot=str(slot.colour))
    why = f"{slot} had ended and was started again" if is_restarted else f"{refuge} is not what the history promoted"
    return [f"{why}; users are on {slot} now"]


def _promoted_slot(site: Site, last: Record) -> tuple[Slot, bool]:
    """Return the healthy slot of the version that was promoted last, and whether it had to be started.

    Raises PlatformError or ReleaseError; a slot that was started for this is stopped again then.
    """
    slot = site.platform.observe(last.intent.candidate)
    if slot is None:
        try:
            return restart_promoted(site), True
        except ReleaseError:
            deadline = Deadline(f"{last.intent.candidate} stops", site.settings.app.grace, clock=site.clock)
            site.platform.stop(last.intent.candidate, deadline=deadline)
            raise
    if slot.version != last.intent.version or last.digest not in ("", slot.digest):
        raise PlatformError(f"its slot runs {slot}, {slot.digest[:19]}")
    require_healthy(site, slot)
    return slot, False


def _move_users(site: Site, slot: Slot, *, refuge: Slot) -> None:
    """Bring users to `slot`. Raises NotConfirmed or ProxyError; the proxy points at `refuge` again then."""
    site.proxy.set_failover(allowed=False)
    try:
        count = site.settings.release.confirmations
        direct_users(site, slot, confirmations=count, deadline=proxy_deadline(site, f"users reach {slot}"))
    except (NotConfirmed, ProxyError):
        direct_users(site, refuge, confirmations=0, deadline=proxy_deadline(site, f"users stay on {refuge}"))
        raise
