"""The progress of a session: one line per step, the same on a terminal and in a CI log."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import pytest

from cakravia_verify.foreign_text import harmless
from cakravia_verify.release.machine import StepEvent
from cakravia_verify.runs.session_run import SessionRun

MARKS = {"done": "ok", "failed": "FAILED", "undone": "undone", "undo failed": "UNDO FAILED"}
COLOURS = {"done": {"green": True}, "failed": {"red": True}, "undone": {"yellow": True}, "undo failed": {"red": True}}


class Progress:
    """Writes events of the session to pytest's terminal, apart from captured output."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @property
    def _terminal(self) -> pytest.TerminalReporter | None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        return reporter if isinstance(reporter, pytest.TerminalReporter) else None

    def line(self, text: str, **markup: bool) -> None:
        text = harmless(text)
        terminal = self._terminal
        if terminal is None:
            # Before the session begins there is no reporter yet, and a wait for the lock must be visible.
            with self._uncaptured():
                print(text, flush=True)
            return
        with self._uncaptured():
            terminal.ensure_newline()
            terminal.write_line(text, **markup)
            terminal.flush()

    def _uncaptured(self) -> AbstractContextManager[None]:
        """Steps run inside fixtures, whose output pytest captures: show their lines as they happen."""
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        return capture.global_and_fixture_disabled() if capture is not None else nullcontext()

    def introduce(self, run: SessionRun) -> None:
        """Write what the run will do, and what was noticed while it was prepared."""
        for number, line in enumerate(run.introduction):
            self.line(line, bold=number == 0)
        for notice in run.notices:
            self.line(f"  note: {notice}", yellow=True)

    def event(self, event: StepEvent) -> None:
        if event.kind == "begins":
            return
        seconds = f"{event.seconds:6.2f} s" if event.seconds >= 0.005 else "   <0.01 s"[-8:]
        text = f"  {event.step:<8} {MARKS[event.kind]:<7} {seconds}  {event.note}"
        self.line(text.rstrip(), **COLOURS[event.kind])
