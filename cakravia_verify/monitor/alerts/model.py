"""The facts of an alert. Everything here is frozen; `machine` makes the next fact from the last one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from cakravia_verify.monitor.notify.message import Urgency


class State(StrEnum):
    """Where an alert is. RESOLVED is the good state, also before anything ever happened."""

    RESOLVED = "resolved"
    PENDING = "pending"
    FIRING = "firing"
    RECOVERING = "recovering"
    NO_DATA = "no data"


class Judgement(StrEnum):
    """What one reading says. UNDECIDED changes nothing: a value between two limits, or a planned change."""

    GOOD = "good"
    BAD = "bad"
    UNDECIDED = "undecided"
    MISSING = "missing"


@dataclass(frozen=True)
class AlertReading:
    """One judgement about one alert. `at` is when its data was taken, in seconds since 1970."""

    verdict: Judgement
    at: float
    detail: str = ""


@dataclass(frozen=True)
class Policy:
    """When an alert fires, resolves and is told again. Times in seconds.

    It fires after `down` bad readings in a row, or when `share` of the last `window` readings are bad. It resolves
    after `up` good readings in a row. When it fires again within `memory`, it must also stay good for a `quiet` time
    that grows with each firing.
    """

    urgency: Urgency = Urgency.WARNING
    down: int = 2
    up: int = 5
    window: int = 10
    share: float = 0.5
    memory: float = 6 * 3600.0
    quiet: tuple[float, ...] = (0.0, 1800.0, 7200.0)
    remind: float = 4 * 3600.0
    longest_remind: float = 86_400.0


@dataclass(frozen=True)
class Alert:
    """One alert as it stands. Instants are in seconds since 1970, 0 for never.

    An episode begins when the alert fires and ends when it resolves; `is_open` says that it lasts. `began_at` is the
    first bad reading of it. `is_told` says that receivers were told of the open episode.
    """

    name: str
    state: State = State.RESOLVED
    since: float = 0.0
    detail: str = ""
    last_at: float = 0.0
    last_bad_at: float = 0.0
    bad_run: int = 0
    good_run: int = 0
    recent: tuple[bool, ...] = ()
    episode: int = 0
    is_open: bool = False
    began_at: float = 0.0
    fired_at: float = 0.0
    firings: tuple[float, ...] = ()
    is_told: bool = False
    told_at: float = 0.0
    reminders: int = 0
    acknowledged_by: str = ""
    messages: int = 0

    @property
    def is_flapping(self) -> bool:
        return len(self.firings) > 1


@dataclass(frozen=True)
class Silence:
    """Alerts that send no message until an instant. `pattern` is a name with `*` for any text."""

    number: int
    pattern: str
    until: float
    reason: str
    who: str


class Change(StrEnum):
    """What happened to an alert, for its history."""

    FIRED = "fired"
    RESOLVED = "resolved"
    LOST_DATA = "lost data"
    HAS_DATA = "has data again"
    ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True)
class AlertEvent:
    """One change of one alert."""

    at: float
    name: str
    change: Change
    detail: str = field(default="")
