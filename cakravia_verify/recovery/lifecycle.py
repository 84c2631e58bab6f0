"""Start and stop a site."""

from __future__ import annotations

from collections.abc import Iterator

from cakravia_verify.recovery.repair import _bring_to_promoted, _is_served, _serve, _settle
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline


def bring_up(site: Site) -> Iterator[str]:
    """The version that has the users by the history serves them, or else one that runs; a line for each thing done.
    Moves nobody who is served already. Raises RollbackFailed where a release could not be undone, users served all the
    same."""
    stuck = yield from _settle(site)
    state = site.observe()
    if _is_served(state):
        yield f"{state.active} serves users at {site.proxy.address.url}; nothing to start"
    else:
        yield _serve(site, state)
        if stuck is None:
            yield from _bring_to_promoted(site)
    if stuck is not None:
        raise stuck


def bring_down(site: Site) -> str:
    """Nothing of the site runs; the proxy ended first, with its requests in flight finished."""
    grace = site.settings.app.grace
    site.proxy.stop(deadline=Deadline("the proxy stops", grace, clock=site.clock))
    stopped = []
    for colour in Colour:
        if slot := site.platform.observe(colour):
            site.platform.stop(colour, deadline=Deadline(f"{colour} stops", grace, clock=site.clock))
            stopped.append(str(slot))
    site.journal.append("site.down", stopped=stopped)
    return f"stopped: proxy{''.join(f', {name}' for name in stopped)}; cakravia up starts the site again"
