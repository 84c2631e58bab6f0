"""Carry messages from the outbox to one channel: in order, with backoff, until the channel accepts them."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from cakravia_verify.errors import CakraviaError
from cakravia_verify.monitor.notify.channel import Channel
from cakravia_verify.monitor.notify.message import Message, Urgency
from cakravia_verify.monitor.notify.outbox import FIRST_WAIT, LONGEST_WAIT, Outbox
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock

# Another process, such as a release, may put messages into the same outbox: it is asked again this often.
LONGEST_REST: Final = 5.0
MOST_REMEMBERED: Final = 100


class Courier(threading.Thread):
    """One thread for one channel, so that a slow channel delays no other.

    `carry` hands over messages that a full disk keeps out of the outbox. They are sent from memory, and once more when
    the process ends before they are stored.
    """

    def __init__(
        self,
        outbox: Outbox,
        channel: Channel,
        *,
        least: Urgency = Urgency.INFO,
        log: Callable[[str], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name=f"courier-{channel.name}", daemon=True)
        self._outbox = outbox
        self._channel = channel
        self._least = least
        self._unstored: deque[Message] = deque(maxlen=MOST_REMEMBERED)
        self._accepted: deque[str] = deque(maxlen=MOST_REMEMBERED)
        self._log = log
        self._clock = clock
        self._news = threading.Event()
        self._is_over = False

    def wake(self) -> None:
        """Look into the outbox now."""
        self._news.set()

    def carry(self, unstored: Iterable[Message]) -> None:
        """Send messages that are not in the outbox, as soon as nothing older waits there."""
        known = {message.id for message in self._unstored}
        for message in unstored:
            if message.urgency.rank >= self._least.rank and message.id not in known:
                self._unstored.append(message)

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
            return self._deliver_unstored()
        if due.message.id in self._accepted:
            self._outbox.mark_delivered(self._channel.name, due, at=self._clock.wall())
            return 0.0
        early = due.due - self._clock.wall()
        # A message that is due later than any backoff says so because the clock was set back.
        if 0 < early <= LONGEST_WAIT:
            return early
        if reason := self._refusal(due.message):
            self._outbox.mark_failed(self._channel.name, due, at=self._clock.wall(), error=reason)
        else:
            self._outbox.mark_delivered(self._channel.name, due, at=self._clock.wall())
        return 0.0

    @property
    def has_work(self) -> bool:
        """Whether a message of the outbox waits for the channel."""
        return self._outbox.head(self._channel.name) is not None

    def _deliver_unstored(self) -> float:
        if not self._unstored:
            return LONGEST_REST
        message = self._unstored[0]
        if message.id not in self._accepted and self._refusal(message):
            return FIRST_WAIT
        self._unstored.popleft()
        return 0.0

    def _refusal(self, message: Message) -> str:
        """Send a message. Return why the channel did not accept it, '' when it did."""
        name = self._channel.name
        try:
            self._channel.send(message)
        except Exception as error:
            reason = error.message if isinstance(error, CakraviaError) else type(error).__name__
            self._log(f"message {message.id} was not delivered by {name}: {reason}")
            return reason
        self._accepted.append(message.id)
        self._log(f"message {message.id} was delivered by {name}")
        return ""
