"""The only clock and the only sleep of this package."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from cakravia_verify.errors import DeadlineExceeded

T = TypeVar("T")

if TYPE_CHECKING:

    class Microseconds:
        """An instant or a length of time in whole microseconds. At run time it is `int`.

        mypy accepts an `int`, and a `NewType` of it, wherever seconds (`float`) are expected. This type it refuses.
        """

        def __init__(self, value: int, /) -> None: ...
        def __int__(self) -> int: ...
        def __index__(self) -> int: ...
        def __hash__(self) -> int: ...
        def __bool__(self) -> bool: ...
        def __neg__(self) -> Microseconds: ...
        def __add__(self, other: Microseconds, /) -> Microseconds: ...
        def __sub__(self, other: Microseconds, /) -> Microseconds: ...
        def __mul__(self, times: int, /) -> Microseconds: ...
        def __rmul__(self, times: int, /) -> Microseconds: ...
        def __mod__(self, other: Microseconds, /) -> Microseconds: ...
        def __floordiv__(self, other: Microseconds, /) -> int: ...
        def __truediv__(self, other: Microseconds | float, /) -> float: ...
        def __lt__(self, other: Microseconds, /) -> bool: ...
        def __le__(self, other: Microseconds, /) -> bool: ...
        def __gt__(self, other: Microseconds, /) -> bool: ...
        def __ge__(self, other: Microseconds, /) -> bool: ...
else:
    Microseconds = int

SECOND = Microseconds(1_000_000)
NOT_YET = Microseconds(0)
"""The instant of what has not happened; it is false."""
NEVER = Microseconds(1 << 62)
"""Later than any instant of CLOCK_MONOTONIC."""


def to_microseconds(seconds: float) -> Microseconds:
    """Return the seconds in microseconds, rounded to the nearest whole one."""
    return Microseconds(round(seconds * 1_000_000))


def to_seconds(microseconds: Microseconds) -> float:
    """Return the microseconds in seconds."""
    return microseconds / SECOND


class Clock(Protocol):
    """Monotonic seconds, wall-clock seconds since 1970, and sleep."""

    def monotonic(self) -> float: ...
    def wall(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The clock of this machine. All its processes share CLOCK_MONOTONIC."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True)
class Deadline:
    """A limit for a wait, in seconds from `started`. `what` names the condition in the error."""

    what: str
    seconds: float
    clock: Clock = SYSTEM_CLOCK
    started: float = field(default=-1.0)

    def __post_init__(self) -> None:
        if self.started < 0:
            object.__setattr__(self, "started", self.clock.monotonic())

    @property
    def elapsed(self) -> float:
        return self.clock.monotonic() - self.started

    @property
    def remaining(self) -> float:
        return max(0.0, self.seconds - self.elapsed)

    @property
    def is_over(self) -> bool:
        return self.elapsed >= self.seconds

    def exceeded(self, observed: str, *, remedy: str = "") -> DeadlineExceeded:
        return DeadlineExceeded(f"{self.what}: not within {self.seconds:g} s; {observed}", remedy=remedy)


def poll(
    question: Callable[[], T | None],
    *,
    deadline: Deadline,
    every: float = 0.05,
    observed: Callable[[], str] = lambda: "no answer",
) -> T:
    """Call `question` every `every` seconds until its result is neither None nor False. Return that result.

    `question` is called at least once. Raises DeadlineExceeded with the text of `observed`.
    """
    while True:
        answer = question()
        if answer is not None and answer is not False:
            return answer
        if deadline.is_over:
            raise deadline.exceeded(observed())
        deadline.clock.sleep(min(every, max(deadline.remaining, 0.001)))
