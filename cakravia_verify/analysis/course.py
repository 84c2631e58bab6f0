"""The run's timeline: when the slots were touched and when users were switched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cakravia_verify.slots import Colour


@dataclass(frozen=True)
class Switch:
    """One change of the slot users are sent to, in CLOCK_MONOTONIC microseconds; `old` is None on a first release.

    `grace` is how long after the effect the old slot may still rightly answer: 0 where users move by a flag.
    """

    old: Colour | None
    new: Colour
    decided: int
    effective: int
    grace: int = 0


@dataclass(frozen=True)
class RunTimeline:
    """The instants of a release that its traffic is measured against, in CLOCK_MONOTONIC microseconds.

    `touched` is when the release first changed anything; `until` is the instant up to which every planned request has
    ended, None when the traffic has been stopped; `rate` is the planned rate in requests/s. `followed` counts the
    requests by outcome as they were read while they were recorded: what was seen once cannot be missing later.
    `expected` tells how many arrivals the plan has in its first seconds, where that is not seconds times rate.
    `judge_warm_up` is what the bake judgement leaves out at the beginning of each side, None where none is asked for.
    `streams` names the requests that are held open on purpose: how long that was is no latency. `version` is the one
    that the first switch leads to, empty where there is none.
    """

    touched: int | None
    switches: tuple[Switch, ...]
    until: int | None
    rate: float
    reload: bool = False
    followed: Mapping[str, int] = field(default_factory=dict)
    expected: Callable[[float], float] | None = None
    streams: tuple[str, ...] = ()
    judge_warm_up: int | None = None
    version: str = ""
