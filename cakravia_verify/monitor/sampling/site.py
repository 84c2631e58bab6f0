"""The slow looks at a site: drift, and whether a rollback would succeed."""

from __future__ import annotations

from typing import Final

from cakravia_verify.monitor.facts import DriftFacts, RollbackFacts
from cakravia_verify.monitor.sampling.source import Collected
from cakravia_verify.recovery.rollback_target import preview_rollback
from cakravia_verify.site.site import Site
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock

DRIFT_EVERY: Final = 30.0
ROLLBACK_EVERY: Final = 600.0


class DriftSource:
    """Compares journal, proxy, platform and answers, and reads how full the proxy is."""

    name = "drift"
    every = DRIFT_EVERY
    deadline = 4 * DRIFT_EVERY

    def __init__(self, site: Site, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._site = site
        self._clock = clock

    def collect(self) -> Collected:
        return Collected(DriftFacts(self._clock.wall(), self._site.observe().drift, self._site.proxy.usage()))


class RollbackSource:
    """Previews a rollback; nothing is changed. It is woken as soon as an alert is pending that a rollback may end."""

    name = "rollback"
    every = ROLLBACK_EVERY
    deadline = 2 * ROLLBACK_EVERY

    def __init__(self, site: Site, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._site = site
        self._clock = clock

    def collect(self) -> Collected:
        preview = preview_rollback(self._site)
        refused = next((check.detail for check in preview.checks if not check.is_ok), "")
        version = preview.target.version if preview.target else ""
        return Collected(
            RollbackFacts(
                at=self._clock.wall(),
                is_possible=preview.is_possible,
                detail=version if preview.is_possible else refused or "there is no version to go back to",
                users_back=preview.estimate.users_back if preview.estimate else None,
                basis=preview.estimate.basis if preview.estimate else "",
            )
        )
