"""Carry messages from the outbox to one channel: in order, with backoff, until the channel accepts them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import Final

from cakravia_verify.errors import CakraviaError
from cakravia_verify.monitor.notify.channel import Channel
from cakravia_verify.monitor.notify.outbox import LONGEST_WAIT, Outbox
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock

# Another process, such as a release, may put messages into the same outbox: it is asked again this often.
LONGEST_REST: Final = 5.0


class Courier(threading.Thread):
    """One thread for one channel, so that a slow channel delays no other."""

    def __init__(
        self, outbox: Outbox, channel: Channel, *, log: Callable[[str], None], clock: Clock = SYSTEM_CLOCK
    ) -> None:
        super().__init__(name=f"courier-{channel.name}", daemon=True)
        self._outbox = outbox
        self._channel = channel
        self._log = log
        self._clock = clock
        self._news = threading.Event()
        self._is_over = False

    def wake(self) -> None:
        """Look into the outbox now."""
        self._news.set()

    def stop(self) -> None:
        """End after the message that is under way."""
        self._is_over = True
        self._news.set()

    def run(self) -> None:
        while not self._is_over:
            self._news.clear()
            try:
                rest = self.deliver_next()
            except sqlite3.Error as error:
                self._log(f"the outbox cannot be read or written: {error}")
                rest = LONGEST_REST
            if rest > 0 and not self._is_over:
                self._news.wait(min(rest, LONGEST_REST))

    def deliver_next(self) -> float:
        """Try the oldest message when it is due. Return the seconds until there is something to do again."""
        due = self._outbox.head(self._channel.name)
        if due is None:
            return LONGEST_REST
        early = due.due - self._clock.wall()
        # A message that is due later than any backoff says so because the clock was set back.
        if 0 < early <= LONGEST_WAIT:
            return early
        try:
            self._channel.send(due.message)
        except Exception as error:
            reason = error.message if isinstance(error, CakraviaError) else f"{type(error).__name__}"
            self._outbox.mark_failed(self._channel.name, due, at=self._clock.wall(), error=reason)
            self._log(f"message {due.message.id} was not delivered by {self._channel.name}: {reason}")
            return 0.0
        self._outbox.mark_delivered(self._channel.name, due, at=self._clock.wall())
        self._log(f"message {due.message.id} was delivered by {self._channel.name}")
        return 0.0
