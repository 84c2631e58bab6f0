"""The protocol of every proxy, and the facts about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.clock import Deadline, Microseconds, to_seconds


class Admission(StrEnum):
    """Whether users reach the slots: at once, not at all (503), or after waiting until the hold ends."""

    OPEN = "open"
    MAINTENANCE = "maintenance"
    HOLD = "hold"


@dataclass(frozen=True)
class ProxyState:
    """The state of the proxy.

    `chosen` is the slot that new requests go to. `generation` names the worker processes and changes with every
    reload. `has_master`: what starts a worker that dies runs too.
    """

    is_running: bool
    chosen: Colour
    has_failover: bool
    generation: str
    has_master: bool = True
    admission: Admission = Admission.OPEN


@dataclass(frozen=True)
class Switchover:
    """One change of the slot that users are sent to. Both instants are CLOCK_MONOTONIC microseconds of this machine.

    `decided_at` is before the system call. `effective_at` is after its return: no request that begins later may be
    answered by the old slot.
    """

    colour: Colour
    decided_at: Microseconds
    effective_at: Microseconds

    @classmethod
    def timed(cls, colour: Colour, *, decided: float, effective: float) -> Switchover:
        """Return a switchover from instants in seconds. The first is rounded down, the second up."""
        return cls(
            colour,
            decided_at=Microseconds(math.floor(decided * 1_000_000)),
            effective_at=Microseconds(math.ceil(effective * 1_000_000)),
        )

    @property
    def seconds(self) -> float:
        """How long the switch took, from the decision to the effect."""
        return to_seconds(self.effective_at - self.decided_at)


@dataclass(frozen=True)
class ConfigurationState:
    """The proxy's configuration, three times; '' for each one that is not known.

    `wanted` is what the present settings make, `written` is in place, `loaded` is what the running proxy has read.
    `refusal` is the proxy's own message if it refuses the one in place.
    """

    wanted: str = ""
    written: str = ""
    loaded: str = ""
    refusal: str = ""


@dataclass(frozen=True)
class ProxyUsage:
    """The connections of the fullest worker, how many a worker may have, and what the other slot answered.

    `stand_ins` counts the requests that the other slot answered since its log was last emptied, `stand_ins_today` those
    of the last 24 hours.
    """

    connections: int
    limit: int
    stand_ins: int = 0
    stand_ins_today: int = 0

    @property
    def is_nearly_full(self) -> bool:
        return self.connections > self.limit * 0.8


# A worker looks at most once a second, and its clock may be behind.
ADMISSION_SECONDS: Final = 2.0


class Proxy(Protocol):
    """Routes the requests of users. No method retries or drops a user's request."""

    @property
    def address(self) -> Address: ...

    @property
    def tls_address(self) -> Address | None:
        """The address at which this machine reaches the site by TLS. None if it cannot."""
        ...

    @property
    def access_log(self) -> Path | None:
        """The log of measured requests, or its copy (see `fetch_logs`). None if there is no log."""
        ...

    def fetch_logs(self) -> None:
        """Bring the file `access_log` up to date."""
        ...

    def bound_logs(self) -> None:
        """Shorten logs that are longer than their limit. Not called during a measured run."""
        ...

    def logs(self, *, lines: int) -> str:
        """Return the last lines of the proxy's own log."""
        ...

    def path_to(self, colour: Colour) -> str:
        """Return the path under which this proxy passes requests to the slot, wherever users are."""
        ...

    @property
    def passing_header(self) -> Mapping[str, str]:
        """The header that gets a request of the site's own past maintenance. `{file:PATH}` stands for its key."""
        ...

    def check(self) -> None:
        """Raise UsageError if this proxy cannot run here. Changes nothing."""
        ...

    def observe(self) -> ProxyState: ...

    def usage(self) -> ProxyUsage | None:
        """Return how full the running proxy is, None if that is unknown."""
        ...

    def configuration_state(self) -> ConfigurationState:
        """Return the configuration as it should be, as it is in place and as it runs. Changes nothing."""
        ...

    def start(self, colour: Colour, *, deadline: Deadline) -> Switchover:
        """Start the proxy with users on `colour`. A running proxy gets the present configuration and is switched."""
        ...

    def refresh(self, *, deadline: Deadline) -> bool:
        """Bring the running proxy to the rendered configuration, with all its files and a master process.

        Returns True if the configuration changed or files were missing.
        """
        ...

    def point_at(self, colour: Colour, *, deadline: Deadline) -> Switchover:
        """Send every request that begins after this returns to `colour`."""
        ...

    def set_failover(self, *, allowed: bool) -> None:
        """Allow or forbid the idle slot to answer if the active slot cannot."""
        ...

    def set_admission(self, admission: Admission) -> None:
        """Let users in, send them away or let them wait. Every worker knows it after `ADMISSION_SECONDS`."""
        ...

    def pin(self, colour: Colour, version: str) -> None:
        """Let the slot answer requests that name `version` while users are on the other slot (`[proxy.skew]`).

        The pin ends by itself after the maximum age. Without `[proxy.skew]` this does nothing. Raises ProxyError.
        """
        ...

    def unpin(self, colour: Colour) -> None:
        """End every pin of the slot at once. Raises ProxyError."""
        ...

    def keep_files(self, colour: Colour, files: Mapping[str, Path]) -> None:
        """Serve exactly these files, by URL path, instead of the slot while users are on it. Raises ProxyError."""
        ...

    def test(self) -> None:
        """Raise UsageError if the proxy refuses the configuration of the present settings. What runs stays."""
        ...

    def changes(self) -> tuple[str, ...]:
        """Return what `refresh` would change in the running configuration, one line for each setting."""
        ...

    def stop(self, *, deadline: Deadline) -> None: ...
