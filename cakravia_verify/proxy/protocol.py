"""What every proxy can do for a release, and what can be known of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.clock import Deadline, Microseconds, to_seconds


@dataclass(frozen=True)
class ProxyState:
    """What the proxy is told to do. `chosen` is the slot that new requests go to; `generation` names the running
    configuration's worker processes and changes with every reload."""

    is_running: bool
    chosen: Colour
    has_failover: bool
    generation: str


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


class Proxy(Protocol):
    """Users reach the site through this. No method retries a user's request or drops one knowingly."""

    @property
    def address(self) -> Address: ...

    @property
    def access_log(self) -> Path | None:
        """The log of measured requests, or a copy that `fetch_logs` brings up to date; None where there is none."""
        ...

    def fetch_logs(self) -> None:
        """The file that `access_log` names holds everything written up to now."""
        ...

    def bound_logs(self) -> None:
        """No log that the proxy writes is longer than its bound. Called where no measured run reads one."""
        ...

    def logs(self, *, lines: int) -> str:
        """The last lines that the proxy wrote about itself."""
        ...

    def check(self) -> None:
        """Whether this proxy could run here. Raises UsageError; changes nothing."""
        ...

    def observe(self) -> ProxyState: ...

    def start(self, colour: Colour, *, deadline: Deadline) -> Switchover:
        """The proxy runs and sends users to `colour`; a running one is brought up to the present configuration."""
        ...

    def refresh(self, *, deadline: Deadline) -> bool:
        """The running configuration is the rendered one, whole, under a master. True where it is another one than
        before, or had lost files."""
        ...

    def point_at(self, colour: Colour, *, deadline: Deadline) -> Switchover:
        """Every request that begins after this returns goes to `colour`."""
        ...

    def set_failover(self, *, allowed: bool) -> None:
        """Whether the other slot answers where the chosen one cannot."""
        ...

    def stop(self, *, deadline: Deadline) -> None: ...
