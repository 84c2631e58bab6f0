"""Signals that end a session through pytest's own interrupt path, and a time in which they only wait."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from types import FrameType
from typing import Final

from cakravia_verify.system.clock import SYSTEM_CLOCK

# A second signal within this many seconds changes nothing: pytest is ending the session already.
REPEAT_SECONDS: Final = 3.0
INTERRUPTING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns SIGINT, SIGTERM and SIGHUP into KeyboardInterrupt, and keeps the name of the first in `received`.

    Without this, SIGTERM and SIGHUP skip every teardown. While signals are held they are only reported, so a rollback
    is never interrupted. A signal that was ignored when the session began stays ignored: `nohup` ignores SIGHUP, and a
    shell without job control ignores SIGINT for its background processes.
    """

    def __init__(self) -> None:
        self.received = ""
        self._raised_at = 0.0
        self._is_held = False
        self._on_signal: Callable[[str], None] = lambda _: None
        self._before: dict[signal.Signals, object] = {}

    def install(self) -> None:
        for number in INTERRUPTING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)

    def restore(self) -> None:
        """Put the former handlers back. After a signal, keep ignoring further ones until the process ends.

        More signals may follow the first, and the exit status is set at the very end.
        """
        if self.received:
            self.hold(lambda _: None)
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()

    @property
    def is_held(self) -> bool:
        return self._is_held

    def hold(self, on_signal: Callable[[str], None]) -> None:
        """From now on, call `on_signal` with the name of each signal and do nothing else."""
        self._on_signal = on_signal
        self._is_held = True

    def _handle(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        is_first = not self.received
        self.received = self.received or name
        if self._is_held:
            # The signal may arrive in the middle of a write to the same terminal.
            with contextlib.suppress(Exception):
                self._on_signal(name)
            return
        # Python ignores an exception that is raised in a destructor. A later signal therefore raises again.
        now = SYSTEM_CLOCK.monotonic()
        if is_first or now - self._raised_at > REPEAT_SECONDS:
            self._raised_at = now
            raise KeyboardInterrupt(name)
