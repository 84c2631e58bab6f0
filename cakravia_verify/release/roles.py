"""The role of each slot: an application reads in a file whether users are on it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from cakravia_verify.errors import CakraviaError, JournalError
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Colour


def set_roles(site: Site, active: Colour | None) -> None:
    """Tell each slot whether users are on it. None: users are on none.

    A role that cannot be written is recorded, and stops nothing: users come before schedulers.
    """
    _recording_failure(site, lambda: site.platform.set_roles(active))


def correct_roles(site: Site) -> None:
    """Tell each slot the role that the proxy's choice gives it. A killed release may have left another one."""

    def correct() -> None:
        state = site.proxy.observe()
        site.platform.set_roles(state.chosen if state.is_running else None)

    _recording_failure(site, correct)


def _recording_failure(site: Site, act: Callable[[], None]) -> None:
    try:
        act()
    except (CakraviaError, OSError) as error:
        reason = error.message if isinstance(error, CakraviaError) else str(error)
        with contextlib.suppress(JournalError):
            site.journal.append("roles.failed", error=reason)
