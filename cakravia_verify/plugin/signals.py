"""Signals that end a session through pytest's own interrupt path, and a stretch in which they only wait."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from types import FrameType

from cakravia_verify.system.clock import SYSTEM_CLOCK

IMPATIENCE = 3.0
INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt and are remembered by name; without this, SIGTERM and SIGHUP
    would skip every teardown. Once held, they are noted and told and nothing else: a rollback is not interrupted.

    A signal that was ignored when the session began stays ignored: so `nohup` asks for SIGHUP, and a shell without job
    control for the SIGINT of what it starts in the background."""

    def __init__(self) -> None:
        self.seen = ""
        self._raised_at = 0.0
        self._is_held = False
        self._told: Callable[[str], None] = lambda _: None
        self._before: dict[signal.Signals, object] = {}

    def install(self) -> None:
        for number in INTERRUPTING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._arrived)

    def restore(self) -> None:
        """Signals do what they did before; not after one came, for more of them may be on their way, and the exit
        status of an interrupted release is told by its very end."""
        if self.seen:
            self.hold(lambda _: None)
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()

    @property
    def is_held(self) -> bool:
        return self._is_held

    def hold(self, told: Callable[[str], None]) -> None:
        """From now on until `restore`, signals only wait; `told` hears their names."""
        self._told = told
        self._is_held = True

    def _arrived(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        is_first = not self.seen
        self.seen = self.seen or name
        if self._is_held:
            # The signal may have come in the middle of a write to the same terminal.
            with contextlib.suppress(Exception):
                self._told(name)
            return
        # While pytest makes its way out, an impatient second Ctrl-C would only hit the way out itself. Should the
        # first have been lost (Python ignores what is raised in a destructor), one a while later counts again.
        now = SYSTEM_CLOCK.monotonic()
        if is_first or now - self._raised_at > IMPATIENCE:
            self._raised_at = now
            raise KeyboardInterrupt(name)
