"""What the rules look at: the newest facts of every source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cakravia_verify.monitor.facts import (
    CertificateFacts,
    DriftFacts,
    HostFacts,
    PlatformFacts,
    ProbeTarget,
    ReleaseStatus,
    Round,
    TrafficFacts,
    VantageFacts,
)
from cakravia_verify.proxy.protocol import Admission
from cakravia_verify.site.maintenance import Maintenance
from cakravia_verify.slots import Colour

# How much earlier than the proxy's flags the record of a maintenance may change.
RECORD_SECONDS: Final = 5.0


@dataclass(frozen=True)
class View:
    """The newest facts of every source, None for a source that reported nothing.

    `silent` maps a source that should have reported to the instant of its last report. `settled_at` is the end of the
    last planned change and its after-effects.
    """

    now: float
    rounds: Mapping[ProbeTarget, Round] = field(default_factory=dict)
    release: ReleaseStatus | None = None
    platform: PlatformFacts | None = None
    host: HostFacts | None = None
    certificate: CertificateFacts | None = None
    drift: DriftFacts | None = None
    vantage: VantageFacts | None = None
    traffic: TrafficFacts | None = None
    silent: Mapping[str, float] = field(default_factory=dict)
    settled_at: float = 0.0
    restarted: Mapping[Colour, float] = field(default_factory=dict)
    trouble: str = ""

    @property
    def is_busy(self) -> bool:
        """Whether a release or another command changes the site, or did so a moment ago."""
        return (self.release is not None and self.release.is_busy) or self.now < self.settled_at

    @property
    def is_planned_downtime(self) -> bool:
        """Whether users need not get answers. This is assumed until the history was read, or cannot be read."""
        if self.release is None:
            return "release" not in self.silent
        return self.release.is_planned_downtime

    @property
    def maintenance(self) -> Maintenance | None:
        """The maintenance that lasts. The record is believed until the proxy was seen to let users in."""
        noted = self.release.maintenance if self.release else None
        admission = self.platform.admission if self.platform else None
        seen_at = self.platform.at if self.platform else 0.0
        if noted is not None and noted.ended is None:
            is_stale = admission is Admission.OPEN and seen_at > noted.began + RECORD_SECONDS
            return None if is_stale else noted
        if admission is not Admission.MAINTENANCE:
            return None
        # What the proxy was seen to do before the recorded end is over.
        is_over = noted is not None and noted.ended is not None and seen_at <= noted.ended + RECORD_SECONDS
        return None if is_over else Maintenance(seen_at, "a command that left no record")

    @property
    def are_users_away(self) -> bool:
        """Whether it is planned that users get no answers of the application."""
        return self.is_planned_downtime or self.maintenance is not None

    @property
    def active(self) -> Colour | None:
        """The slot that users get: by their own answers, else by the history."""
        users = self.rounds.get(ProbeTarget.USERS)
        if users is not None and users.served_slot is not None:
            return users.served_slot
        return self.intended

    @property
    def intended(self) -> Colour | None:
        """The slot that should have the users, by the history. While failover serves them, it is not `active`."""
        return self.release.active if self.release else None
