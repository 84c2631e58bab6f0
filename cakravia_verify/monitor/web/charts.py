"""The charts of the page as shapes: slots over time, latency, days. Places are in percent of an axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cakravia_verify.monitor.web.snapshot import (
    Day,
    Lanes,
    LatencyPoint,
    ReleaseRow,
    StepEnd,
    StepSpan,
    Stretch,
    Switch,
)
from cakravia_verify.report.html.scales import Scale, Tick, latency_scale, latency_ticks
from cakravia_verify.report.html.traffic_chart import line_through
from cakravia_verify.report.text.formats import seconds_in_words
from cakravia_verify.slots import Colour

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
_STEPS: Final = (
    *(MINUTE * each for each in (1, 2, 5, 10, 15, 30)),
    *(HOUR * each for each in (1, 2, 3, 6, 12)),
    *(DAY * each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
)
# Percent of the bar of a release: a switch takes a millisecond of minutes.
_LEAST_WIDTH: Final = 2.0
# Narrower than this a label would not fit into its bar.
_LABEL_WIDTH: Final = 12.0


@dataclass(frozen=True)
class Box:
    """A bar on an axis, with a label if it fits."""

    left: float
    width: float
    label: str


@dataclass(frozen=True)
class LaneShapes:
    """One slot: what was in it, and when it had the users."""

    colour: str
    occupied: tuple[Box, ...]
    users: tuple[Box, ...]


@dataclass(frozen=True)
class Symbol:
    """A sign at a place on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class LaneChart:
    lanes: tuple[LaneShapes, ...]
    switches: tuple[Symbol, ...]
    ticks: tuple[Tick, ...]
    in_words: str


@dataclass(frozen=True)
class LatencyChart:
    """Two paths in a box of 100 by 100, and a mark for each minute with failed probes."""

    median: str
    tail: str
    bad: tuple[Symbol, ...]
    switches: tuple[Symbol, ...]
    ticks: tuple[Tick, ...]
    time_ticks: tuple[Tick, ...]
    in_words: str


@dataclass(frozen=True)
class Bars:
    """Bars of several kinds in a box of 100 by 100: one path for each kind, and what they say."""

    paths: tuple[tuple[str, str], ...]
    in_words: str


def lane_chart(lanes: Lanes) -> LaneChart:
    """Return the slots over time."""
    scale = Scale(lanes.since, max(lanes.until, lanes.since + 1))
    return LaneChart(
        lanes=tuple(
            LaneShapes(
                str(colour),
                tuple(_boxes(lanes.occupied, colour, scale, lanes.until)),
                tuple(_boxes(lanes.users, colour, scale, lanes.until)),
            )
            for colour in Colour
        ),
        switches=tuple(_mark(each, scale) for each in lanes.switches),
        ticks=tuple(wall_ticks(scale)),
        in_words="; ".join(
            f"{each.colour} had the users with {each.version} from {moment(each.began)} "
            f"{'until ' + moment(each.ended) if each.ended else 'until now'}"
            for each in lanes.users[-8:]
        )
        or "no slot had users yet",
    )


def latency_chart(points: Sequence[LatencyPoint], switches: Sequence[Switch]) -> LatencyChart | None:
    """Return median and 99th percentile over time; None without any point."""
    if not points:
        return None
    scale = Scale(points[0].at, points[-1].at + MINUTE)
    values = [value for point in points for value in (point.p50, point.p99) if value is not None]
    latency = latency_scale(values)
    bad = [point for point in points if point.bad]
    worst = max((point.p99 for point in points if point.p99 is not None), default=None)
    return LatencyChart(
        median=line_through([(point.at + MINUTE / 2, point.p50) for point in points], scale, latency),
        tail=line_through([(point.at + MINUTE / 2, point.p99) for point in points], scale, latency),
        bad=tuple(Symbol(scale.percent(point.at + MINUTE / 2), "▼") for point in bad),
        switches=tuple(_mark(each, scale) for each in switches if scale.low <= each.at <= scale.high),
        ticks=tuple(latency_ticks(latency)),
        time_ticks=tuple(wall_ticks(scale)),
        in_words=f"{sum(point.bad for point in bad)} failed probes; "
        f"worst 99th percentile of a minute {seconds_in_words(worst)}",
    )


def phase_bar(row: ReleaseRow) -> Bars:
    """Return the steps of a release as parts of one bar. A short step keeps a width that can be seen."""
    known = [(phase, max(phase.seconds or 0.0, 0.0)) for phase in row.phases]
    whole = sum(seconds for _, seconds in known)
    rest = max(0.0, 100.0 - _LEAST_WIDTH * len(known))
    left, paths = 0.0, dict.fromkeys(StepEnd, "")
    for phase, seconds in known:
        width = _LEAST_WIDTH + (rest * seconds / whole if whole else rest / len(known))
        paths[phase.kind] += _bar(left, width - 0.4, height=100)
        left += width
    return Bars(
        tuple((str(kind), path) for kind, path in paths.items()),
        ", ".join(_phase_in_words(phase) for phase, _ in known),
    )


def day_bars(days: Sequence[Day]) -> Bars:
    """Return one bar per day: high (99.9% and more), middle (99% and more), low, or a line for nothing recorded."""
    width = 100.0 / max(len(days), 1)
    heights = {"good": 100, "warning": 70, "bad": 45, "unknown": 12}
    paths = dict.fromkeys(heights, "")
    for number, day in enumerate(days):
        standing = day_standing(day)
        paths[standing] += _bar(number * width, width * 0.8, height=heights[standing])
    below = [f"{moment(day.at)[:10]}: {in_percent(day.availability)}" for day in days if _is_below(day)]
    recorded = sum(day.availability is not None for day in days)
    said = f"{recorded} of {len(days)} days were recorded; {len(below) or 'none'} below 99.9%"
    return Bars(tuple(paths.items()), f"{said}: {', '.join(below)}" if below else said)


def _is_below(day: Day) -> bool:
    return day_standing(day) in ("warning", "bad")


def _bar(left: float, width: float, *, height: int) -> str:
    return f"M{left:.4g} 100h{width:.3g}v-{height}h-{width:.3g}z"


def day_standing(day: Day) -> str:
    if day.availability is None:
        return "unknown"
    return "good" if day.availability >= 0.999 else "warning" if day.availability >= 0.99 else "bad"


def wall_ticks(scale: Scale, *, about: int = 6) -> Iterator[Tick]:
    """Yield about as many round instants of UTC as `about`."""
    rough = (scale.high - scale.low) / about
    step = next((each for each in _STEPS if each >= rough), _STEPS[-1])
    at = (scale.low // step + 1) * step
    while at < scale.high:
        form = "%H:%M" if step < DAY and at % DAY else "%b %d"
        yield Tick(scale.percent(at), datetime.fromtimestamp(at, UTC).strftime(form))
        at += step


def moment(at: float | None) -> str:
    """Return an instant for people, in UTC."""
    if not at:
        return "never"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _boxes(stretches: Sequence[Stretch], colour: Colour, scale: Scale, until: float) -> Iterator[Box]:
    for each in stretches:
        if each.colour != colour:
            continue
        left, right = scale.percent(each.began), scale.percent(each.ended or until)
        width = max(0.3, round(right - left, 3))
        label = each.version if width >= _LABEL_WIDTH and len(each.version) <= width * 0.7 else ""
        yield Box(left, width, label)


def _mark(switch: Switch, scale: Scale) -> Symbol:
    return Symbol(scale.percent(switch.at), "◀" if switch.is_return else "▶")


def _phase_in_words(phase: StepSpan) -> str:
    if phase.kind is StepEnd.UNFINISHED:
        return f"{phase.step} not finished"
    undone = " (undone)" if phase.kind is StepEnd.UNDONE else ""
    return f"{phase.step} {seconds_in_words(phase.seconds)}{undone}"


def in_percent(share: float | None) -> str:
    """Return a share in percent, rounded down: one failure in a day is no 100%."""
    return "not known" if share is None else f"{int(share * 100_000 + 1e-6) / 1000:g}%"
