"""What the sources report of a site: frozen facts, each with the instant it was taken (seconds since 1970)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cakravia_verify.history.lease import SUPERVISION
from cakravia_verify.proxy.protocol import Admission, ProxyUsage
from cakravia_verify.site.maintenance import Maintenance
from cakravia_verify.slots import Colour

# Commands during which users wait or get no answer on purpose.
_DOWNTIME: Final = ("cakravia down", "cakravia up", "cakravia hold")


class ProbeTarget(StrEnum):
    """Whom the probes ask: users' way through the proxy, by plain HTTP, TLS or from outside, and each slot."""

    USERS = "users"
    TLS = "tls"
    OUTSIDE = "outside"
    BLUE = "blue"
    GREEN = "green"


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of one endpoint. `problem` is empty for a good answer; `slot` and `version` are what it named."""

    endpoint: str
    problem: str
    slot: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One probe of every endpoint of a target. `is_there` is false for a slot in which nothing runs."""

    target: ProbeTarget
    at: float
    probes: tuple[Probe, ...]
    is_there: bool = True

    @property
    def is_good(self) -> bool:
        return self.is_there and not any(probe.problem for probe in self.probes)

    @property
    def served_slot(self) -> Colour | None:
        named = next((probe.slot for probe in self.probes if probe.slot), None)
        return Colour(named) if named in set(Colour) else None

    def problems(self) -> str:
        """Return the problems, endpoints with the same one together, as in "health, ready: connection refused"."""
        by_problem: dict[str, list[str]] = {}
        for probe in self.probes:
            if probe.problem:
                by_problem.setdefault(probe.problem, []).append(probe.endpoint)
        return "; ".join(f"{', '.join(endpoints)}: {problem}" for problem, endpoints in by_problem.items())


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """One slot as the platform and the kernel see it. Sizes in bytes, `cpu` in cores; None for what is not known.

    `restarts` counts restarts by the engine since the container was made. `exit_code` is that of a stopped container.
    """

    colour: Colour
    version: str
    identity: str
    is_running: bool
    started_at: float
    restarts: int | None = None
    exit_code: int | None = None
    is_out_of_memory: bool = False
    cpu: float | None = None
    memory: int | None = None
    memory_limit: int | None = None
    received: int | None = None
    sent: int | None = None


@dataclass(frozen=True, slots=True)
class PlatformFacts:
    """Both slots and the proxy. `admission` is None if it was not looked at."""

    at: float
    slots: tuple[SlotFacts, ...]
    is_proxy_running: bool
    admission: Admission | None = None

    def slot(self, colour: Colour) -> SlotFacts | None:
        return next((slot for slot in self.slots if slot.colour is colour), None)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """This machine. `disks` maps a folder to the share of its disk in use; `load` is of one minute."""

    at: float
    load: float
    cores: int
    memory: float
    disks: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """The certificate that users get by TLS. `ends_at` is the end of its validity."""

    at: float
    ends_at: float


@dataclass(frozen=True, slots=True)
class DriftFacts:
    """Disagreements between journal, proxy, platform and answers, in words; and how full the proxy is."""

    at: float
    drift: tuple[str, ...]
    usage: ProxyUsage | None = None


@dataclass(frozen=True, slots=True)
class VantageFacts:
    """Whether this machine reaches anything beside the site."""

    at: float
    is_online: bool
    detail: str


@dataclass(frozen=True, slots=True)
class TrafficFacts:
    """Real requests of users. `windows` maps a length in seconds to (failed, all) requests in it."""

    at: float
    windows: Mapping[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class LastChange:
    """The newest entry of the history that changed what users get."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class ReleaseStatus:
    """What lease and history say. `purpose` is that of the holder of the lease, '' when the site is free.

    `has_users` says that a release once gave users to a version; `is_down` that the site was taken down on purpose;
    `left` describes a release that died, '' when there is none. `supervised` is what the supervisor did last.
    `maintenance` is the newest one that was recorded, also when it is over.
    """

    at: float
    purpose: str
    has_users: bool
    is_down: bool
    active: Colour | None
    has_previous: bool
    left: str
    last_change: LastChange | None
    supervised: LastChange | None = None
    maintenance: Maintenance | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a release or a command changes the site. What the supervisor mends was no plan."""
        return self.purpose not in ("", SUPERVISION)

    @property
    def is_planned_downtime(self) -> bool:
        return self.is_down or not self.has_users or self.purpose in _DOWNTIME


@dataclass(frozen=True, slots=True)
class RollbackFacts:
    """Whether a rollback would succeed, and after how many seconds users would be back (None: not known)."""

    at: float
    is_possible: bool
    detail: str
    users_back: float | None
    basis: str
