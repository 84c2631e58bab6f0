"""The timeline of a release as shapes: a bar for each step, and a mark for each switch of users."""

from __future__ import annotations

from dataclasses import dataclass

from cakravia_verify.report.document import Event, ReleaseDocument
from cakravia_verify.report.html.scales import Scale, Tick, time_scale, time_ticks
from cakravia_verify.report.switch_times import returned_at, switched_at
from cakravia_verify.report.text.formats import one_line, seconds_in_words

_SYMBOLS = {"done": "✓", "failed": "✗", "undone": "↩", "undo failed": "‼", "begins": "…"}
_WORDS = {"begins": "not finished"}


@dataclass(frozen=True)
class Bar:
    """A step as a bar. `left` and `width` are percent of the axis. `side` is where its label fits."""

    step: str
    kind: str
    symbol: str
    begins: float
    seconds: float
    left: float
    width: float
    label: str
    note: str
    side: str


@dataclass(frozen=True)
class Mark:
    """An instant at which users were switched."""

    at: float
    kind: str
    text: str
    is_late: bool


@dataclass(frozen=True)
class Timeline:
    """The content of the picture and of its table."""

    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]
    in_words: str


def time_axis(document: ReleaseDocument) -> Scale:
    """Return the axis of timeline and traffic, so that an instant has the same place in both."""
    moments = [document.seconds, *(event.at for event in document.timeline)]
    moments += [end for bucket in document.buckets for end in (bucket.at, bucket.at + bucket.seconds)]
    return time_scale(moments)


def marks_of(document: ReleaseDocument, scale: Scale) -> tuple[Mark, ...]:
    """Return the marks for the switch to the candidate and for the switch back, if they happened."""
    there, back = switched_at(document), returned_at(document)
    marks = []
    if there is not None:
        at = scale.percent(there)
        marks.append(Mark(at, "switch", f"▶ switch {seconds_in_words(there)}", at > 60))
    if back is not None:
        at = scale.percent(back)
        marks.append(Mark(at, "back", f"◀ back {seconds_in_words(back)}", at > 60))
    return tuple(marks)


def timeline_of(document: ReleaseDocument) -> Timeline:
    """Return the steps of the release in the order in which they began."""
    scale = time_axis(document)
    bars = tuple(_bar(event, began, scale) for event, began in _stretches(document.timeline))
    marks = marks_of(document, scale)
    words = [f"{bar.step} {_WORDS.get(bar.kind, bar.kind)} after {seconds_in_words(bar.seconds)}" for bar in bars]
    words += [one_line(mark.text[2:]) for mark in marks]
    return Timeline(bars, marks, tuple(time_ticks(scale)), "; ".join(words) or "no step was recorded")


def _stretches(events: tuple[Event, ...]) -> list[tuple[Event, float]]:
    """Return every event that ends a step, with the beginning of the step. A step without an end stays open."""
    open_steps: dict[str, Event] = {}
    ended: list[tuple[Event, float]] = []
    for event in sorted(events, key=lambda one: one.at):
        if event.kind == "begins":
            open_steps[event.step] = event
        elif event.kind in ("done", "failed") and event.step in open_steps:
            ended.append((event, min(open_steps.pop(event.step).at, event.at)))
        else:
            ended.append((event, max(event.at - event.seconds, 0.0)))
    ended += [(event, event.at) for event in open_steps.values()]
    return sorted(ended, key=lambda stretch: stretch[1])


def _bar(event: Event, began: float, scale: Scale) -> Bar:
    is_open = event.kind == "begins"
    ends = scale.high if is_open else event.at
    left, right = scale.percent(began), scale.percent(ends)
    side = "inside" if right - left > 55 else "right" if right <= 60 else "left"
    return Bar(
        step=event.step,
        kind=event.kind,
        symbol=_SYMBOLS.get(event.kind, "•"),
        begins=began,
        seconds=ends - began,
        left=left,
        width=round(max(right - left, 0.0), 3),
        label=f"{event.step} {seconds_in_words(ends - began)}",
        note=event.note,
        side=side,
    )
