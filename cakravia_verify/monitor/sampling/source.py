"""A source of facts, its thread, and the board on which the newest facts of every source stand."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cakravia_verify.errors import CakraviaError
from cakravia_verify.monitor.store.samples import MetricSample
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock

# About ten minutes of samples: what a disk that refuses writes may hold back.
MOST_SAMPLES: Final = 10_000


@dataclass(frozen=True)
class Collected:
    """What one look brought: facts for the alerts (None for none) and samples for the store."""

    facts: Any = None
    samples: Sequence[MetricSample] = ()


class FactSource(Protocol):
    """Reads one part of the site. `collect` may block or raise; its thread alone waits for it.

    It should report every `every` seconds. After `deadline` seconds more without a report it counts as silent.
    """

    @property
    def name(self) -> str: ...

    @property
    def every(self) -> float: ...

    @property
    def deadline(self) -> float: ...

    def collect(self) -> Collected: ...


@dataclass(frozen=True)
class SourceState:
    """How a source does: its last report and its last failure since then ('' for none)."""

    name: str
    reported_at: float
    problem: str


@dataclass
class Board:
    """The newest facts of every source, and the samples that are not stored yet. Bounded, and safe for threads."""

    clock: Clock = SYSTEM_CLOCK
    on_samples: Callable[[Sequence[MetricSample]], None] = lambda _: None
    dropped: int = 0
    _facts: dict[str, Any] = field(default_factory=dict)
    _states: dict[str, SourceState] = field(default_factory=dict)
    _limits: dict[str, float] = field(default_factory=dict)
    _samples: deque[MetricSample] = field(default_factory=deque)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _count: int = 0

    def expect(self, source: FactSource) -> None:
        """Count the source as silent when it reports nothing for long."""
        with self._news:
            self._limits[source.name] = source.every + source.deadline
            self._states[source.name] = SourceState(source.name, self.clock.wall(), "")

    def report(self, name: str, collected: Collected) -> None:
        self.on_samples(collected.samples)
        with self._news:
            self._facts[name] = collected.facts
            self._states[name] = SourceState(name, self.clock.wall(), "")
            self.keep(collected.samples)
            self._count += 1
            self._news.notify_all()

    def fail(self, name: str, problem: str) -> None:
        with self._news:
            state = self._states[name]
            self._states[name] = SourceState(name, state.reported_at, problem)

    def keep(self, samples: Sequence[MetricSample]) -> None:
        """Hold samples until they are stored. The oldest go when there are too many."""
        with self._news:
            self._samples.extend(samples)
            while len(self._samples) > MOST_SAMPLES:
                self._samples.popleft()
                self.dropped += 1

    def take_samples(self) -> list[MetricSample]:
        with self._news:
            taken = list(self._samples)
            self._samples.clear()
            return taken

    def facts(self) -> Mapping[str, Any]:
        with self._news:
            return dict(self._facts)

    def states(self) -> tuple[SourceState, ...]:
        with self._news:
            return tuple(self._states.values())

    def silent(self) -> dict[str, float]:
        """Return the sources that report nothing for longer than they may, with their last report."""
        now = self.clock.wall()
        with self._news:
            return {
                name: state.reported_at
                for name, state in self._states.items()
                if now - state.reported_at > self._limits.get(name, float("inf"))
            }

    def wait_for_news(self, known: int, *, seconds: float) -> int:
        """Return the number of reports so far, at once when it is not `known` any more, else after some seconds."""
        with self._news:
            self._news.wait_for(lambda: self._count != known, timeout=seconds)
            return self._count


class SourceThread(threading.Thread):
    """Asks one source again and again. A source that blocks or fails delays no other."""

    def __init__(self, source: FactSource, board: Board, *, log: Callable[[str], None]) -> None:
        super().__init__(name=f"source-{source.name}", daemon=True)
        self._source = source
        self._board = board
        self._log = log
        self._wake = threading.Event()
        self._is_over = False
        self._last_problem = ""
        board.expect(source)

    def wake(self) -> None:
        """Ask the source now."""
        self._wake.set()

    def stop(self) -> None:
        self._is_over = True
        self._wake.set()

    def run(self) -> None:
        clock = self._board.clock
        due = clock.monotonic()
        while not self._is_over:
            self._wake.clear()
            self._collect()
            due = max(due + self._source.every, clock.monotonic())
            self._wake.wait(max(0.0, due - clock.monotonic()))

    def _collect(self) -> None:
        try:
            self._board.report(self._source.name, self._source.collect())
            problem = ""
        except CakraviaError as error:
            problem = error.message
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            if problem != self._last_problem:
                self._log(traceback.format_exc())
        if problem:
            self._board.fail(self._source.name, problem)
        if problem != self._last_problem:
            self._log(f"source {self._source.name}: {problem or 'reports again'}")
        self._last_problem = problem
