"""A session of the nightly regression."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cakravia_verify.kinds import REGRESSION
from cakravia_verify.release.machine import StepEvent
from cakravia_verify.report.facts import instant
from cakravia_verify.runs.check_run import CheckRun
from cakravia_verify.runs.failover import FailoverOnCopy
from cakravia_verify.runs.failover_trials import HOLD
from cakravia_verify.runs.regression import Regression
from cakravia_verify.runs.regression_figures import (
    FILE,
    NightFigures,
    append_night,
    earlier_nights,
    figure_lines,
    worse_figures,
)
from cakravia_verify.site.site import Site


@dataclass(frozen=True)
class Night:
    """One night: what was done and what went wrong, by chapter, and the figures that are worse than before."""

    rounds: int
    done: Mapping[str, int]
    problems: Mapping[str, Sequence[str]]
    worse: Sequence[str]


class RegressionRun(CheckRun):
    """Rounds on a copy for `duration` seconds. The live site gives its version and settings, and is not touched."""

    def __init__(
        self,
        site: Site,
        *,
        duration: float,
        pairs: Sequence[tuple[str, Any]],
        on_event: Callable[[StepEvent], None],
        told: Callable[[str], None],
    ) -> None:
        super().__init__(site, duration=duration, on_event=on_event, pairs=pairs, told=told, kind=REGRESSION)
        self._lines: list[str] = []

    @property
    def introduction(self) -> tuple[str, ...]:
        first = f"Regression of {self.settings.site.name} on a copy for {self._duration:g} s: {self.subject}"
        return (first, f"regression {self.id}")

    def night(self) -> Night:
        """Do the rounds, and compare their figures with those of earlier nights. Raises CakraviaError."""
        failover = FailoverOnCopy(self.site, folder=self.folder, hold=HOLD, pairs=self._pairs, told=self._told)
        regression = Regression(failover, told=self._told)
        try:
            failover.open()
            regression.run(self._duration)
        finally:
            failover.close()
        file = self.settings.reports / FILE
        earlier = earlier_nights(file)
        at = instant(self.site.clock.wall())
        figures = NightFigures.of(regression.samples, run=self.id, at=at)
        append_night(file, figures)
        done = ", ".join(f"{number} {chapter}" for chapter, number in regression.done.items())
        self._lines = [f"{regression.rounds} rounds: {done}", *figure_lines(earlier, figures)]
        return Night(regression.rounds, regression.done, regression.problems, [*worse_figures(earlier, figures)])

    def users_saw(self) -> Iterator[str]:
        yield from self._lines
