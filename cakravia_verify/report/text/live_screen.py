"""A running release as a few lines of a terminal: the slots as lanes, the step with its time, the traffic."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from typing import Final

from rich.cells import cell_len, set_cell_size

from cakravia_verify.foreign_text import one_line
from cakravia_verify.report.live.follower import LiveRelease
from cakravia_verify.report.live.progress import ReleaseProgress
from cakravia_verify.report.text.formats import seconds_in_words
from cakravia_verify.slots import Colour

NARROWEST: Final = 24
_WIDEST: Final = 100
_LONGEST_BAR: Final = 30
_GREEN, _RED, _YELLOW, _BOLD = "32", "31", "33", "1"


def screen_lines(live: LiveRelease, *, now: float, width: int, colour: bool) -> list[str]:
    """Return the lines of the screen. None is wider than `width`. `now` is in seconds since 1970."""
    room = max(NARROWEST, min(width, _WIDEST))
    progress = live.progress
    intent = progress.intent
    painted = [
        (_title(f"{intent.kind} {intent.version}", _clock(now - progress.began), room), _BOLD),
        *((_lane(progress, slot, room), _GREEN if slot is progress.users else "") for slot in Colour),
        _step(progress, now=now, room=room),
        _traffic(live),
    ]
    if progress.failure:
        painted.append((f"why     {progress.failure}", _RED))
    return [_painted(_fitted(text, room), code, colour) for text, code in painted]


def _title(subject: str, clock: str, room: int) -> str:
    subject = _fitted(one_line(subject), room - len(clock) - 9)
    return f"-- {subject} {'-' * max(1, room - cell_len(subject) - len(clock) - 8)} {clock} --"


def _lane(progress: ReleaseProgress, slot: Colour, room: int) -> str:
    intent = progress.intent
    is_candidate = slot is intent.candidate
    version = intent.version if is_candidate else intent.active_version if slot is intent.active else ""
    if slot is progress.users:
        mark, state = "=====>", "users are here"
    elif is_candidate:
        mark, state = "", str(progress.candidate)
    elif intent.active is None or not version:
        mark, state = "", "empty"
    elif progress.users is None:
        mark, state = "", "gets no users"
    else:
        mark, state = "", "drained, stands by" if progress.is_drained else "drains"
    return f"{slot:<6}  {mark:<6}  {_fitted(one_line(version), min(24, room // 3)):<16}  {state}"


def _step(progress: ReleaseProgress, *, now: float, room: int) -> tuple[str, str]:
    if progress.is_finished:
        return f"end     {progress.outcome}", _GREEN if progress.outcome == "promoted" else _YELLOW
    step = progress.step
    if step is None:
        if progress.decision:
            return f"verdict {progress.decision}", _BOLD
        return (f"after   {progress.last}" if progress.last else "begins"), ""
    took = max(0.0, now - step.began)
    name = f"{'undo ' if step.is_undo else ''}{step.name}"
    code = _YELLOW if step.is_undo else ""
    if step.limit is None or step.limit <= 0:
        return f"{name:<7} {_clock(took)}", code
    words = f"{_clock(math.ceil(max(0.0, step.limit - took)))} left of {seconds_in_words(step.limit)}"
    length = min(_LONGEST_BAR, room - len(words) - max(8, len(name) + 1) - 4)
    filled = round(length * min(1.0, took / step.limit)) if length >= 4 else 0
    bar = f"[{'#' * filled}{'.' * (length - filled)}]  " if length >= 4 else ""
    return f"{name:<7} {bar}{words}", code


def _traffic(live: LiveRelease) -> tuple[str, str]:
    figures = live.figures
    if not figures.sent:
        return "traffic none yet", ""
    parts = [f"sent {figures.sent:,}", f"lost {figures.lost:,}", f"p95 {seconds_in_words(figures.p95)}"]
    if figures.p95 is None:
        parts.pop()
    parts += [f"errors {figures.errors:,}"] if figures.errors else []
    return f"traffic {'  '.join(parts)}", _RED if figures.lost or figures.errors else ""


def step_line(name: str, mark: str, *, seconds: float | None = None, note: str = "") -> str:
    """Return the line of one step that ended, or of one check."""
    return f"  {name:<8} {mark:<7} {_took(seconds)}  {note}".rstrip()


def _took(seconds: float | None) -> str:
    if seconds is None:
        return " " * 8
    return f"{seconds:6.2f} s" if seconds >= 0.005 else " <0.01 s"


STEP_INDENT: Final = len(step_line("", "", seconds=1.0)) + 2


def folded(text: str, *, width: int, indent: int = 0) -> Iterator[str]:
    """Yield the text on lines of at most `width` cells, broken between words. Later lines begin with `indent` spaces.

    Only a word that is longer than a line is broken.
    """
    if cell_len(text) <= width:
        yield text
        return
    room = max(NARROWEST, width)
    indent = indent if indent <= room // 2 else 4
    lead = text[: len(text) - len(text.lstrip())]
    yield from textwrap.wrap(
        text.strip(),
        room,
        initial_indent=lead,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}"


def _fitted(text: str, room: int) -> str:
    if cell_len(text) <= room:
        return text
    return f"{set_cell_size(text, max(1, room - 3)).rstrip()}..."


def _painted(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text
