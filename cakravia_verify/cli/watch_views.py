"""How `cakravia watch` shows a release: a live screen with the lines above it, lines alone, or JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, Protocol

import click

from cakravia_verify.foreign_text import harmless

if TYPE_CHECKING:
    from cakravia_verify.history.journal_file import JournalEntry
    from cakravia_verify.report.live.follower import LiveRelease
    from cakravia_verify.system.terminal_region import TerminalRegion

_MARKS: Final = {
    "step.done": "ok",
    "step.failed": "FAILED",
    "undo.done": "undone",
    "undo.failed": "UNDO FAILED",
}
_COLOURS: Final = {"step.failed": "31", "undo.failed": "31", "undo.done": "33", "release.started": "1"}


class WatchView(Protocol):
    """Shows the entries of a release as they come, and what it does now."""

    def add(self, entries: Iterable[JournalEntry]) -> None: ...
    def draw(self, live: LiveRelease | None) -> None: ...
    def close(self) -> None: ...


def watch_view(*, as_json: bool) -> WatchView:
    """Return the view that suits standard output."""
    if as_json:
        return _JsonView()
    from cakravia_verify.system.terminal_region import TerminalRegion, can_redraw

    return _LinesView(TerminalRegion(sys.stdout) if can_redraw(sys.stdout, os.environ) else None)


class _JsonView:
    """Prints each entry of the journal as one JSON object."""

    def add(self, entries: Iterable[JournalEntry]) -> None:
        for entry in entries:
            facts = asdict(entry)
            click.echo(json.dumps(facts | facts.pop("facts"), default=str))

    def draw(self, live: LiveRelease | None) -> None:
        """Show nothing between the entries."""

    def close(self) -> None:
        """Leave nothing behind."""


class _LinesView:
    """Prints a line for each step, and draws the live screen below them if there is a region for it."""

    def __init__(self, region: TerminalRegion | None) -> None:
        self._region = region
        self._has_colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def add(self, entries: Iterable[JournalEntry]) -> None:
        from cakravia_verify.report.text.live_screen import STEP_INDENT, folded

        for entry in entries:
            text = _line_of(entry)
            if not text:
                continue
            width = self._region.columns if self._region else None
            lines = [*folded(harmless(text), width=width, indent=STEP_INDENT)] if width else [harmless(text)]
            code = _COLOURS.get(entry.event, "")
            painted = [f"\x1b[{code}m{line}\x1b[0m" if code and self._has_colours else line for line in lines]
            self._write("".join(f"{line}\n" for line in painted))

    def draw(self, live: LiveRelease | None) -> None:
        if self._region is None or live is None:
            return
        from cakravia_verify.report.text.live_screen import screen_lines
        from cakravia_verify.system.clock import SYSTEM_CLOCK

        lines = screen_lines(live, now=SYSTEM_CLOCK.wall(), width=self._region.columns, colour=self._has_colours)
        self._region.show(lines)

    def close(self) -> None:
        if self._region is not None:
            self._region.close()

    def _write(self, text: str) -> None:
        if self._region is not None:
            self._region.write(text)
        else:
            click.echo(text, nl=False)


def _line_of(entry: JournalEntry) -> str:
    """Return what people read of an entry; empty if nothing."""
    from cakravia_verify.report.text.live_screen import step_line

    facts = entry.facts
    match entry.event:
        case "release.started":
            users = f"users are on {facts['from_slot']} ({facts.get('from_version') or 'unknown'})"
            return (
                f"{facts.get('kind')} {facts.get('version')} into {facts.get('slot')}; "
                f"{users if facts.get('from_slot') else 'the site is empty'}"
            )
        case "notice":
            return f"  note: {facts.get('text')}"
        case "release.verdict":
            return f"  verdict  {facts.get('decision')}: {facts.get('why')}"
        case event if event in _MARKS:
            seconds = facts.get("seconds")
            note = str(facts.get("note") or facts.get("error") or "")
            return step_line(entry.step, _MARKS[event], seconds=None if seconds is None else float(seconds), note=note)
    return ""
