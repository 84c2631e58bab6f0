"""The progress of a session: one line per step, the same on a terminal and in a CI log. -q shows only what failed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import pytest

from cakravia_verify.foreign_text import harmless
from cakravia_verify.release.machine import StepEvent
from cakravia_verify.runs.session_run import SessionRun

MARKS = {"done": "ok", "failed": "FAILED", "undone": "undone", "undo failed": "UNDO FAILED"}
FAILURES = frozenset({"failed", "undo failed"})
COLOURS = {"done": {}, "failed": {"red": True, "bold": True}, "undone": {"yellow": True}, "undo failed": {"red": True}}


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
        lines = run.introduction[:1] if self._is_quiet else run.introduction
        for number, line in enumerate(lines):
            self.line(line, bold=number == 0)
        for notice in run.notices:
            self.line(f"  note: {notice}", yellow=True)

    def event(self, event: StepEvent) -> None:
        if event.kind == "begins" or (self._is_quiet and event.kind not in FAILURES):
            return
        from cakravia_verify.report.text.live_screen import step_line

        self.line(
            step_line(event.step, MARKS[event.kind], seconds=event.seconds, note=event.note), **COLOURS[event.kind]
        )

    @property
    def _is_quiet(self) -> bool:
        return int(self._config.option.verbose) < 0
