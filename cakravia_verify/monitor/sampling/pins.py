"""The watch over the idle slot that still answers requests which name its version (`[proxy.skew]`)."""

from __future__ import annotations

from typing import Final

from cakravia_verify.monitor.sampling.source import Collected
from cakravia_verify.release.conditions import is_healthy
from cakravia_verify.release.open_pages import unpin_ill_slot
from cakravia_verify.site.site import Site

PINS_EVERY: Final = 5.0
# One bad reading may be chance.
BAD_IN_A_ROW: Final = 2


class PinSource:
    """Ends the pins of an idle slot that is not healthy any more. Users are on the other slot, and stay there."""

    name = "pins"
    every = PINS_EVERY
    deadline = 12 * PINS_EVERY

    def __init__(self, site: Site) -> None:
        self._site = site
        self._bad = 0

    def collect(self) -> Collected:
        state = self._site.proxy.observe()
        idle = self._site.platform.observe(state.chosen.other) if state.is_running else None
        self._bad = 0 if idle is None or is_healthy(self._site, idle) else self._bad + 1
        if self._bad >= BAD_IN_A_ROW:
            unpin_ill_slot(self._site, idle)
        return Collected()
