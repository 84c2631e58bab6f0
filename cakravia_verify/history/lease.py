"""The lease of a site: the right to change it. A platform that several machines reach keeps a lease for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from cakravia_verify.system.processes import is_surely_ended, this_machine

# The purpose of a lease under which the supervisor mends the site: an outage, and no plan of a person.
SUPERVISION: Final = "cakravia supervise"


@dataclass(frozen=True)
class Lease:
    """The holder of the site, since when, and for what.

    `process` identifies the process beyond its id, which the kernel reuses, and `machine` the place where that id is
    valid. `token` is the fencing token: it grows with every lease. `run` is the URL of the CI job and its runner,
    if there is one.
    """

    owner: str
    pid: int
    host: str
    process: str
    since: str
    purpose: str
    token: int
    released: bool = False
    machine: str = ""
    run: str = ""

    def __str__(self) -> str:
        run = f" ({self.run})" if self.run else ""
        return f"{self.owner}, process {self.pid} on {self.host}, since {self.since}: {self.purpose}{run}"

    @property
    def is_here(self) -> bool:
        """Whether the holder is a process that this one could see."""
        return bool(self.machine) and self.machine == this_machine()

    @property
    def has_surely_ended(self) -> bool:
        """Whether the holder ran here and has ended. False if that cannot be known here."""
        return self.is_here and is_surely_ended(self.process)


@dataclass(frozen=True)
class Taken:
    """A lease that was taken. `dead` is the lease of a holder that ended without a release, else None."""

    lease: Lease
    dead: Lease | None = None
    notices: tuple[str, ...] = ()


class SharedHistory(Protocol):
    """The copy of a history that all machines of a site share. Only the holder of the shared lease writes to it."""

    def require_held(self) -> None:
        """Raise SiteLost if another process has taken the lease over. Without a shared lease this does nothing."""
        ...

    def push(self) -> None:
        """Bring the shared copy up to date with the local file. Raises SiteLost or PlatformError."""
        ...


class SharedLease(SharedHistory, Protocol):
    """The lease of a site for all machines and state folders that release to it."""

    def take(self, lease: Lease) -> Taken:
        """Take the lease, with a token of at least `lease.token`, and bring the local history up to date.

        Raises LockHeld, which names the holder, if it lives.
        """
        ...

    def holder(self) -> Lease | None:
        """Return the lease of the living holder, None if the site is free."""
        ...

    def lag(self) -> str:
        """Return a line if the local history lacks entries of the shared one, '' if not."""
        ...

    def release(self) -> None:
        """Free the lease. A second call does nothing."""
        ...
