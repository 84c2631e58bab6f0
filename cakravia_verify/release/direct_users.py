"""The only place that sends users to a slot."""

from __future__ import annotations

from typing import Final

from cakravia_verify.errors import CakraviaError
from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.release.conditions import require_confirmed
from cakravia_verify.release.roles import correct_roles, set_roles
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Colour, Slot
from cakravia_verify.system.clock import Deadline

# A proxy command ends within milliseconds; a reload waits for its new workers.
PROXY_SECONDS: Final = 15.0


def proxy_deadline(site: Site, what: str) -> Deadline:
    """Return the deadline of one proxy command; `what` names the expected state in the error."""
    return Deadline(what, PROXY_SECONDS, clock=site.clock)


def direct_users(site: Site, slot: Slot, *, confirmations: int, deadline: Deadline) -> Switchover:
    """Route new requests to the slot and wait until answers confirm it. Start the proxy if it is down.

    `confirmations` is how many answers in a row must name the slot; with 0, the caller confirms. `deadline` bounds the
    proxy's command; `[release] confirm_timeout` bounds the wait for the answers. The command is also sent if the proxy
    names the slot already: an interrupted switch may be written down and not in force.

    Failover is left as it is. A caller whose proof must come from the slot itself withdraws failover first.

    Raises ProxyError if the proxy refuses, NotConfirmed if the answers do not name the slot.
    """
    switchover = _route(site, slot.colour, deadline)
    set_roles(site, slot.colour)
    require_confirmed(site, slot, count=confirmations)
    return switchover


def direct_users_to_empty_slot(site: Site, colour: Colour, *, deadline: Deadline) -> Switchover:
    """Route new requests to a slot in which nothing runs. This undoes a switch before which no version was active."""
    return _route(site, colour, deadline)


def _route(site: Site, colour: Colour, deadline: Deadline) -> Switchover:
    """Route new requests to the slot. No slot has the active role meanwhile, so that never two have it."""
    state = site.proxy.observe()
    if not (state.is_running and state.chosen is colour):
        set_roles(site, None)
    try:
        if state.is_running:
            return site.proxy.point_at(colour, deadline=deadline)
        return site.proxy.start(colour, deadline=deadline)
    except CakraviaError:
        correct_roles(site)
        raise
