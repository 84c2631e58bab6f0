"""Tells waiting browsers that there is something new. It holds no queue: all that counts is the newest number."""

from __future__ import annotations

import threading


class Doorbell:
    """A number that grows. Waiting ends when it has grown, or when the monitor ends."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._number = 0
        self._waiting = 0
        self._is_over = False

    @property
    def number(self) -> int:
        with self._news:
            return self._number

    @property
    def is_over(self) -> bool:
        with self._news:
            return self._is_over

    def ring(self) -> None:
        with self._news:
            self._number += 1
            self._news.notify_all()

    def end(self) -> None:
        """Let everybody go who waits, now and later."""
        with self._news:
            self._is_over = True
            self._news.notify_all()

    def wait(self, known: int, *, seconds: float) -> int:
        """Return the number, at once when it is not `known` any more, else after some seconds."""
        with self._news:
            self._news.wait_for(lambda: self._number != known or self._is_over, timeout=seconds)
            return self._number
