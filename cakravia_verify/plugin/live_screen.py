"""The live screen of a release: a thread that draws it below the lines of the session."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TextIO

import pytest

from cakravia_verify.plugin.reporter import SessionReporter
from cakravia_verify.system.clock import SYSTEM_CLOCK
from cakravia_verify.system.terminal_region import TerminalRegion, can_redraw

if TYPE_CHECKING:
    from cakravia_verify.report.live.follower import ReleaseFollower

EVERY: Final = 0.25
_END_SECONDS: Final = 2.0


class LiveScreen:
    """Draws a release that runs. It reads the run's own files, as `cakravia watch` does, and changes nothing."""

    def __init__(self, follower: ReleaseFollower, region: TerminalRegion, *, colour: bool) -> None:
        self._follower = follower
        self._region = region
        self._colour = colour
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="cakravia-live-screen", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Remove the screen. What is written later stays."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(_END_SECONDS)
        self._region.close()

    def _draw(self) -> None:
        from cakravia_verify.errors import CakraviaError
        from cakravia_verify.report.text.live_screen import screen_lines

        while not self._is_over.wait(EVERY):
            try:
                self._follower.new_entries()
                live = self._follower.now()
                if live is not None:
                    now = SYSTEM_CLOCK.wall()
                    self._region.show(screen_lines(live, now=now, width=self._region.columns, colour=self._colour))
            except (CakraviaError, OSError, ValueError):
                return  # the lines of the session go on without it


class _AboveRegion:
    """The terminal as pytest's writer sees it: what it writes goes above the region."""

    def __init__(self, stream: TextIO, region: TerminalRegion) -> None:
        self._stream = stream
        self._region = region

    def write(self, text: str) -> int:
        self._region.write(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: the region flushes each text."""

    def isatty(self) -> bool:
        return True

    @property
    def encoding(self) -> str:
        return self._stream.encoding


def live_screen(config: pytest.Config, follower: Callable[[], ReleaseFollower]) -> LiveScreen | None:
    """Return the screen of this session, None if lines suit better: no terminal, a small one, -q, -v, -s or --pdb."""
    option, reporter = config.option, config.pluginmanager.get_plugin("terminalreporter")
    if not isinstance(reporter, SessionReporter) or reporter.is_quiet:
        return None
    if option.capture == "no" or option.usepdb or option.trace or not can_redraw(sys.stdout, os.environ):
        return None
    # pytest captures standard output while a check runs. This descriptor stays on the terminal.
    stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding, errors="backslashreplace")
    region = TerminalRegion(stream)
    reporter.write_to(_AboveRegion(stream, region))
    return LiveScreen(follower(), region, colour=reporter.hasmarkup)
