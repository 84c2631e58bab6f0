"""What the page shows of a site at one instant: frozen facts, written as monitor.facts.json.

Instants are seconds since 1970, durations are seconds, shares are from 0 to 1. None means that nothing is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SCHEMA: Final = "cakravia-monitor/1"


class Standing(StrEnum):
    """How a part of the site is."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Headline:
    """The site in one sentence."""

    standing: Standing
    text: str
    detail: str


@dataclass(frozen=True)
class Stretch:
    """A time during which one version was in a slot, or had the users there. `ended` is None when it lasts."""

    colour: str
    version: str
    began: float
    ended: float | None


@dataclass(frozen=True)
class Switch:
    """One change of the slot that users get. `milliseconds` is the time from decision to effect."""

    at: float
    release: str
    version: str
    colour: str
    is_return: bool
    milliseconds: float | None


@dataclass(frozen=True)
class Lanes:
    """The slots over time: what was in them, which one had the users, and every switch."""

    since: float
    until: float
    occupied: tuple[Stretch, ...]
    users: tuple[Stretch, ...]
    switches: tuple[Switch, ...]


class StepEnd(StrEnum):
    """What became of a step."""

    DONE = "done"
    UNDONE = "undone"
    UNFINISHED = "unfinished"


@dataclass(frozen=True)
class StepSpan:
    """One step of a release and how long it took."""

    step: str
    kind: StepEnd
    seconds: float | None


@dataclass(frozen=True)
class RequestWindow:
    """The measured requests before, during or after a switch."""

    name: str
    requests: int
    lost: int
    errors: int
    p50: float | None
    p99: float | None
    longest_gap: float | None


@dataclass(frozen=True)
class MeasuredTraffic:
    """What the users of a release saw, from its verdict. `lost_rows` holds the first lost requests."""

    sent: int | None
    lost: int | None
    lost_bound: str
    windows: tuple[RequestWindow, ...]
    lost_columns: tuple[str, ...]
    lost_rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ReleaseRow:
    """One release of the history. `report` is the address of its report below that of all reports, '' for none."""

    release: str
    kind: str
    version: str
    from_version: str
    colour: str
    at: float
    seconds: float
    standing: Standing
    outcome: str
    why: str
    who: str
    reason: str
    phases: tuple[StepSpan, ...]
    report: str
    traffic: MeasuredTraffic | None


@dataclass(frozen=True)
class RollbackReadiness:
    """Whether a rollback would succeed, to which version or why not, and when users would be back."""

    at: float
    is_possible: bool
    detail: str
    users_back: float | None
    basis: str
    command: str


@dataclass(frozen=True)
class HealthCell:
    """One endpoint at one target: the newest probe, and the last day."""

    endpoint: str
    standing: Standing
    problem: str
    availability: float | None
    p50: float | None
    p99: float | None


@dataclass(frozen=True)
class HealthRow:
    """All endpoints at one target: users' way through the proxy, or one slot."""

    target: str
    is_active: bool
    is_there: bool
    version: str
    cells: tuple[HealthCell, ...]


@dataclass(frozen=True)
class LatencyPoint:
    """One minute of the probes through the proxy. `bad` counts failed probes."""

    at: float
    p50: float | None
    p99: float | None
    bad: int


@dataclass(frozen=True)
class ResourceUse:
    """One resource against its limit. `limit` is None for a resource without one. `unit` is cores, bytes or share."""

    what: str
    value: float | None
    limit: float | None
    unit: str
    standing: Standing
    note: str


@dataclass(frozen=True)
class BurnWindow:
    """Requests of the last `seconds`."""

    seconds: int
    failed: int
    total: int


@dataclass(frozen=True)
class ErrorBudget:
    """How much of the permitted failures is used up. `basis` says what was counted. `used` may be more than 1."""

    objective: float
    days: int
    basis: str
    failed: int
    total: int
    used: float | None
    windows: tuple[BurnWindow, ...]


@dataclass(frozen=True)
class Day:
    """The share of good probes of users' way in one day, None without any."""

    at: float
    availability: float | None


@dataclass(frozen=True)
class AlertRow:
    name: str
    state: str
    urgency: str
    is_open: bool
    since: float
    detail: str
    acknowledged_by: str
    is_flapping: bool
    is_silenced: bool


@dataclass(frozen=True)
class EventRow:
    at: float
    name: str
    change: str
    detail: str


@dataclass(frozen=True)
class SilenceRow:
    number: int
    pattern: str
    until: float
    reason: str
    who: str


@dataclass(frozen=True)
class WaitingRow:
    """Messages of one channel that were not delivered yet."""

    channel: str
    count: int
    oldest: float
    error: str


@dataclass(frozen=True)
class SourceRow:
    """How one source of the monitor does. `reported_at` is its last report, None while it is in time."""

    name: str
    standing: Standing
    reported_at: float | None
    problem: str


@dataclass(frozen=True)
class MonitorHealth:
    """The monitor itself. `store_bytes` is the size of its samples on disk."""

    version: str
    started_at: float
    trouble: str
    dropped_samples: int
    store_bytes: int
    sources: tuple[SourceRow, ...]
    waiting: tuple[WaitingRow, ...]


@dataclass(frozen=True)
class Snapshot:
    """Everything that the page shows. `every` is how often the monitor writes it while it works."""

    site: str
    at: float
    every: float
    headline: Headline
    active: str
    version: str
    purpose: str
    alerts: tuple[AlertRow, ...]
    silences: tuple[SilenceRow, ...]
    events: tuple[EventRow, ...]
    lanes: Lanes
    releases: tuple[ReleaseRow, ...]
    rollback: RollbackReadiness | None
    health: tuple[HealthRow, ...]
    latency: tuple[LatencyPoint, ...]
    usages: tuple[ResourceUse, ...]
    budget: ErrorBudget
    days: tuple[Day, ...]
    drift: tuple[str, ...]
    drift_at: float | None
    monitor: MonitorHealth


@dataclass(frozen=True)
class PublicSnapshot:
    """What the public may see: whether the site works, and how it did."""

    site: str
    at: float
    every: float
    headline: Headline
    days: tuple[Day, ...]
