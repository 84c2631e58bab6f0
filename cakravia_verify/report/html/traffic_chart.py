"""Requests and latencies over time as shapes: answers by slot, failures, and latency."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cakravia_verify.analysis.model import Bucket
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.html.scales import Scale, Tick, count_ticks, latency_scale, latency_ticks, time_ticks
from cakravia_verify.report.html.timeline import Mark, marks_of, time_axis
from cakravia_verify.report.text.formats import count_in_words, one_line, seconds_in_words

_SLOTS = ("blue", "green")
_NO_SLOT = "unnamed"
_NEAR = 12


@dataclass(frozen=True)
class Layer:
    """The answers of one slot, stacked on those below.

    `path` is in a box of 100 by 100. `look` is blue, green or other. `middle` is the percent of the time axis by which
    half of the answers were given.
    """

    slot: str
    look: str
    path: str
    answers: int
    middle: float


@dataclass(frozen=True)
class Blemish:
    """A column in which requests were lost or got an error answer."""

    at: float
    kind: str
    symbol: str
    text: str


@dataclass(frozen=True)
class TrafficChart:
    """Both panels. Paths are in boxes of 100 by 100, places are percent. One column spans `column_seconds`."""

    layers: tuple[Layer, ...]
    blemishes: tuple[Blemish, ...]
    median: str
    tail: str
    rate_ticks: tuple[Tick, ...]
    latency_ticks: tuple[Tick, ...]
    budget_at: float | None
    time_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    column_seconds: float
    in_words: str


def traffic_chart_of(document: ReleaseDocument) -> TrafficChart | None:
    """Return the chart; None if no traffic was recorded."""
    columns = sorted(document.buckets, key=lambda one: one.at)
    if not columns:
        return None
    time = time_axis(document)
    peak = max((sum(column.by_slot.values()) or column.answered) / column.seconds for column in columns)
    rate = Scale(0.0, max(peak * 1.15, 1.0))
    values = [value for column in columns for value in (column.p50, column.p99) if value is not None]
    budget = document.budget.p99
    # With a budget far above all values, the latencies would be a flat line at the bottom.
    is_near = bool(values) and 0 < budget <= _NEAR * max(values)
    latency = latency_scale([*values, budget] if is_near else values)
    return TrafficChart(
        layers=tuple(_layers(columns, time=time, rate=rate)),
        blemishes=tuple(_blemishes(columns, time=time)),
        median=line_through([(_centre(column), column.p50) for column in columns], time, latency),
        tail=line_through([(_centre(column), column.p99) for column in columns], time, latency),
        rate_ticks=tuple(count_ticks(rate)),
        latency_ticks=tuple(latency_ticks(latency)),
        budget_at=latency.percent(budget) if is_near else None,
        time_ticks=tuple(time_ticks(time)),
        marks=marks_of(document, time),
        column_seconds=columns[0].seconds,
        in_words=_in_words(columns, peak=peak),
    )


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None and math.isfinite(value)), default=None)


def _layers(columns: Sequence[Bucket], *, time: Scale, rate: Scale) -> Iterable[Layer]:
    named = {slot for column in columns for slot in column.by_slot}
    order = [slot for slot in _SLOTS if slot in named] + sorted(named - set(_SLOTS))
    floor = [0.0] * len(columns)
    for slot in order or [""]:
        heights = [column.by_slot.get(slot, 0) if order else column.answered for column in columns]
        roof = [low + height / one.seconds for low, height, one in zip(floor, heights, columns, strict=True)]
        steps = []
        for column, low, high in zip(columns, floor, roof, strict=True):
            if high > low:
                left, right = time.percent(column.at), time.percent(column.at + column.seconds)
                top, bottom = 100 - rate.percent(high), 100 - rate.percent(low)
                steps.append(f"M{left:g} {bottom:g}V{top:g}H{right:g}V{bottom:g}Z")
        look = slot if slot in _SLOTS else "other"
        middle = time.percent(_middle(columns, heights))
        yield Layer(slot or _NO_SLOT, look, "".join(steps), sum(heights), middle)
        floor = roof


def _middle(columns: Sequence[Bucket], heights: Sequence[int]) -> float:
    """Return the centre of the column by whose end half of the answers were given."""
    half, given = sum(heights) / 2, 0
    for column, height in zip(columns, heights, strict=True):
        given += height
        if given >= half:
            return _centre(column)
    return _centre(columns[-1])


def _centre(column: Bucket) -> float:
    return column.at + column.seconds / 2


def _blemishes(columns: Sequence[Bucket], *, time: Scale) -> Iterable[Blemish]:
    for column in columns:
        at = time.percent(_centre(column))
        when = f"at {seconds_in_words(max(column.at, 0.0))}"
        if column.lost:
            yield Blemish(at, "lost", "▼", f"{column.lost:,} lost {when}")
        if column.errors:
            yield Blemish(at, "error", "◆", f"{column.errors:,} error answers {when}")


def line_through(points: Sequence[tuple[float, float | None]], time: Scale, latency: Scale) -> str:
    """Return a path through the points, with a gap for each point without a value."""
    path, pen = [], "M"
    for at, value in points:
        if value is None or value <= 0 or not math.isfinite(value):
            pen = "M"
            continue
        path.append(f"{pen}{time.percent(at):g} {100 - latency.percent(value):g}")
        pen = "L"
    return "".join(path)


def _in_words(columns: Sequence[Bucket], *, peak: float) -> str:
    answered = sum(column.answered for column in columns)
    lost, errors = sum(column.lost for column in columns), sum(column.errors for column in columns)
    worst = _worst(column.p99 for column in columns)
    return one_line(
        f"{count_in_words(answered)} answers, at most {peak:,.0f} a second; {lost:,} lost; {errors:,} error answers; "
        f"worst 99th percentile of a column {seconds_in_words(worst)}"
    )
