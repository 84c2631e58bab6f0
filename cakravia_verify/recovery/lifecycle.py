"""Start and stop a site."""

from __future__ import annotations

from collections.abc import Iterator

from cakravia_verify.command_options import with_options
from cakravia_verify.recovery.repair import bring_to_promoted, settle
from cakravia_verify.recovery.serve_users import is_served, serve
from cakravia_verify.release.companions import correct_companions, stop_companions
from cakravia_verify.release.roles import correct_roles
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline


def bring_up(site: Site) -> Iterator[str]:
    """Start the proxy and the promoted version, else a version that runs. Yields one line for each thing done.

    Users who are served already are not moved. Raises RollbackFailed if a release could not be undone; users are served
    first.
    """
    stuck = yield from settle(site)
    state = site.observe()
    if is_served(state):
        yield f"{state.active} serves users at {site.proxy.address.url}; nothing to start"
    else:
        yield serve(site, state)
        if stuck is None:
            yield from bring_to_promoted(site)
    correct_roles(site)
    if stuck is not None:
        raise stuck
    yield from correct_companions(site)


def bring_down(site: Site) -> str:
    """Stop the proxy, which answers its requests in flight, then the slots, then their companions.

    Returns what was done, and what was noticed.
    """
    grace = site.settings.app.grace
    site.proxy.stop(deadline=Deadline("the proxy stops", grace, clock=site.clock))
    stopped = []
    for colour in Colour:
        if slot := site.platform.observe(colour):
            site.platform.stop(colour, deadline=Deadline(f"{colour} stops", grace, clock=site.clock))
            stopped.append(str(slot))
    stopped += stop_companions(site)
    site.journal.append("site.down", stopped=stopped)
    lines = [
        with_options(f"stopped: proxy{''.join(f', {name}' for name in stopped)}; cakravia up starts the site again")
    ]
    return "\n".join([*lines, *site.platform.remarks()])
