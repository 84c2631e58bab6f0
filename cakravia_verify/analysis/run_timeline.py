"""The run's timeline: when the slots were touched and when users were switched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.system.clock import Microseconds


@dataclass(frozen=True)
class RunTimeline:
    """The instants of a release that its traffic is compared with, in CLOCK_MONOTONIC microseconds.

    - `touched`: when the release first changed anything.
    - `until`: the instant up to which every planned request has ended; None once the traffic has stopped.
    - `rate`: the planned rate in requests/s.
    - `has_previous`: False on a first release, which has no old slot.
    - `grace`: how long after the effect of a switch the old slot may still answer; 0 if users are switched by a flag.
    - `followed`: the requests by outcome, as counted while they were recorded. None of them may be missing later.
    - `expected`: how many arrivals the plan has in its first seconds; None if that is seconds times rate.
    - `warm_up`: what the comparison leaves out at the beginning of each side; None if there is no comparison.
    - `streams`: the names of requests that are held open on purpose. Their duration is no latency.
    - `entries`: the names of the kinds of requests in the mix.
    - `version`: the version that the first switch leads to; empty if there is no switch.
    """

    touched: Microseconds | None
    switchovers: tuple[Switchover, ...]
    until: Microseconds | None
    rate: float
    has_previous: bool = True
    grace: Microseconds = field(default=Microseconds(0))
    followed: Mapping[str, int] = field(default_factory=dict)
    expected: Callable[[float], float] | None = None
    streams: tuple[str, ...] = ()
    warm_up: Microseconds | None = None
    version: str = ""
    entries: tuple[str, ...] = ()

    @property
    def first(self) -> Switchover | None:
        """The switch to the candidate; None if users were not switched."""
        return self.switchovers[0] if self.switchovers else None
