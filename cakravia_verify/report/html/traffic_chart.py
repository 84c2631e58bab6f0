"""Requests and latencies over time as shapes: what each slot answered, what was lost, how long answers took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cakravia_verify.analysis.model import Bucket
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.html.scales import Scale, Tick, count_ticks, latency_scale, latency_ticks, time_ticks
from cakravia_verify.report.html.timeline import Mark, marks_of, time_axis
from cakravia_verify.report.text.wording import count_in_words, one_line, seconds_in_words

_COLUMNS = 240
_SLOTS = ("blue", "green")
_NO_SLOT = "unnamed"
_NEAR = 12


@dataclass(frozen=True)
class Layer:
    """The answers of one slot, stacked; `path` is in a box of 100 by 100, `look` one of blue, green and other.
    `middle` is the percent of the time axis by which half of the answers were given."""

    slot: str
    look: str
    path: str
    answers: int
    middle: float


@dataclass(frozen=True)
class Blemish:
    """A moment in which requests were lost or answered with an error."""

    at: float
    kind: str
    symbol: str
    text: str


@dataclass(frozen=True)
class TrafficChart:
    """Both panels. Paths are in boxes of 100 by 100; places are percent; `column_seconds` is what one column spans."""

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
    """The chart, or None where no traffic was recorded over time."""
    if not document.buckets or document.bucket_seconds <= 0:
        return None
    columns, span = _columns(document.buckets, document.bucket_seconds)
    time = time_axis(document)
    peak = max(sum(column.by_slot.values()) or column.answered for column in columns) / span
    rate = Scale(0.0, max(peak * 1.15, 1.0))
    seen = [value for column in columns for value in (column.p50, column.p99) if value is not None]
    budget = document.budget.p99
    # A budget far above everything seen would press the latencies into a flat line at the bottom.
    is_near = bool(seen) and 0 < budget <= _NEAR * max(seen)
    latency = latency_scale([*seen, budget] if is_near else seen)
    return TrafficChart(
        layers=tuple(_layers(columns, time=time, rate=rate, span=span)),
        blemishes=tuple(_blemishes(columns, time=time, span=span)),
        median=_line([(column.at + span / 2, column.p50) for column in columns], time, latency),
        tail=_line([(column.at + span / 2, column.p99) for column in columns], time, latency),
        rate_ticks=tuple(count_ticks(rate)),
        latency_ticks=tuple(latency_ticks(latency)),
        budget_at=latency.percent(budget) if is_near else None,
        time_ticks=tuple(time_ticks(time)),
        marks=marks_of(document, time),
        column_seconds=span,
        in_words=_in_words(columns, peak=peak),
    )


def _columns(buckets: Sequence[Bucket], seconds: float) -> tuple[list[Bucket], float]:
    """The buckets, joined where there are more than the chart has columns: counts add up, latencies keep the worst."""
    in_order = sorted(buckets, key=lambda one: one.at)
    first, last = in_order[0].at, in_order[-1].at
    joined = max(1, math.ceil((last - first) / seconds / _COLUMNS))
    groups: dict[int, list[Bucket]] = {}
    for bucket in in_order:
        groups.setdefault(math.floor((bucket.at - first) / seconds / joined + 1e-6), []).append(bucket)
    return [_joined(group) for group in groups.values()], seconds * joined


def _joined(group: Sequence[Bucket]) -> Bucket:
    by_slot: dict[str, int] = {}
    for bucket in group:
        for slot, answers in bucket.by_slot.items():
            by_slot[slot] = by_slot.get(slot, 0) + answers
    return Bucket(
        at=group[0].at,
        answered=sum(bucket.answered for bucket in group),
        lost=sum(bucket.lost for bucket in group),
        errors=sum(bucket.errors for bucket in group),
        p50=_worst(bucket.p50 for bucket in group),
        p99=_worst(bucket.p99 for bucket in group),
        by_slot=by_slot,
    )


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None and math.isfinite(value)), default=None)


def _layers(columns: Sequence[Bucket], *, time: Scale, rate: Scale, span: float) -> Iterable[Layer]:
    named = {slot for column in columns for slot in column.by_slot}
    order = [slot for slot in _SLOTS if slot in named] + sorted(named - set(_SLOTS))
    floor = [0.0] * len(columns)
    for slot in order or [""]:
        heights = [column.by_slot.get(slot, 0) if order else column.answered for column in columns]
        roof = [low + height / span for low, height in zip(floor, heights, strict=True)]
        steps = []
        for column, low, high in zip(columns, floor, roof, strict=True):
            if high > low:
                left, right = time.percent(column.at), time.percent(column.at + span)
                top, bottom = 100 - rate.percent(high), 100 - rate.percent(low)
                steps.append(f"M{left:g} {bottom:g}V{top:g}H{right:g}V{bottom:g}Z")
        look = slot if slot in _SLOTS else "other"
        middle = time.percent(_middle(columns, heights) + span / 2)
        yield Layer(slot or _NO_SLOT, look, "".join(steps), sum(heights), middle)
        floor = roof


def _middle(columns: Sequence[Bucket], heights: Sequence[int]) -> float:
    """The beginning of the column by whose end half of the answers were given."""
    half, given = sum(heights) / 2, 0
    for column, height in zip(columns, heights, strict=True):
        given += height
        if given >= half:
            return column.at
    return columns[-1].at


def _blemishes(columns: Sequence[Bucket], *, time: Scale, span: float) -> Iterable[Blemish]:
    for column in columns:
        at = time.percent(column.at + span / 2)
        when = f"at {seconds_in_words(max(column.at, 0.0))}"
        if column.lost:
            yield Blemish(at, "lost", "▼", f"{column.lost:,} lost {when}")
        if column.errors:
            yield Blemish(at, "error", "◆", f"{column.errors:,} error answers {when}")


def _line(points: Sequence[tuple[float, float | None]], time: Scale, latency: Scale) -> str:
    """A path through the points, interrupted where there is no value."""
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
