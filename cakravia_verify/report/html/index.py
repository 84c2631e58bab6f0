"""The index of a folder of reports: one page without outside files, with the trends of the newest runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cakravia_verify.gate.model import Decision
from cakravia_verify.report.document import RunFigures
from cakravia_verify.report.html.page import templates
from cakravia_verify.report.text.formats import count_in_words, one_line, seconds_in_words

_GOOD = (Decision.PROMOTE, Decision.WITHIN_BUDGET, Decision.PASSED)
_BAD = (Decision.ROLL_BACK, Decision.OVER_BUDGET, Decision.FAILED)


@dataclass(frozen=True)
class TrendBar:
    """One run in a trend. `height` is in percent of the highest; None if it was not measured."""

    height: float | None
    text: str
    tone: str


@dataclass(frozen=True)
class Trend:
    """One figure over all runs, oldest first. `largest` is the highest value in words."""

    title: str
    largest: str
    bars: tuple[TrendBar, ...]


def render_index(runs: Sequence[RunFigures]) -> str:
    """Return the page. `runs` are oldest first; the table shows the newest first."""
    return (
        templates()
        .get_template("index.html.j2")
        .render(
            runs=[(run, _tone(run)) for run in reversed(runs)],
            trends=_trends(runs),
            count=count_in_words,
            duration=seconds_in_words,
            one_line=one_line,
        )
    )


def _trends(runs: Sequence[RunFigures]) -> list[Trend]:
    return [
        _trend("lost requests", runs, lambda run: run.lost, _count),
        _trend("p99", runs, lambda run: run.p99, seconds_in_words),
        _trend("switch time", runs, lambda run: run.switch_seconds, seconds_in_words),
        _trend("duration", runs, lambda run: run.seconds, seconds_in_words),
    ]


def _trend(
    title: str,
    runs: Sequence[RunFigures],
    value_of: Callable[[RunFigures], float | None],
    words: Callable[[float | None], str],
) -> Trend:
    values = [_finite(value_of(run)) for run in runs]
    largest = max((value for value in values if value is not None), default=0.0)
    bars = tuple(
        TrendBar(
            None if value is None else round(100 * value / largest, 2) if largest else 0.0,
            one_line(f"{run.folder.name}: {words(value)}"),
            _tone(run),
        )
        for run, value in zip(runs, values, strict=True)
    )
    return Trend(title, words(largest) if any(bar.height is not None for bar in bars) else "not measured", bars)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def _count(value: float | None) -> str:
    return count_in_words(None if value is None else int(value))


def _tone(run: RunFigures) -> str:
    if run.decision in _GOOD:
        return "good"
    return "bad" if run.decision in _BAD else "unsure"
