"""The watch over the candidate while users are on it, in every step after the switch."""

from __future__ import annotations

from typing import Final

from cakravia_verify.errors import NotHealthy
from cakravia_verify.release.conditions import complaints, take_round
from cakravia_verify.release.machine import Release
from cakravia_verify.slots import Slot

TOLERATED_ROUNDS: Final = 1
SHORTEST_INTERVAL: Final = 0.25


class CandidateWatch:
    """Reads the candidate's health during the waits of a step. The release ends early if it dies or stays unhealthy."""

    def __init__(self, release: Release, slot: Slot) -> None:
        self._release = release
        self._slot = slot
        self._clock = release.site.clock
        self._interval = max(release.site.settings.health.interval, SHORTEST_INTERVAL)
        self._due = self._clock.monotonic()
        self._bad_in_a_row = 0

    def pause(self, seconds: float) -> None:
        """Sleep for `seconds` and look at the candidate meanwhile. Raises NotHealthy, or a watcher's objection."""
        until = self._clock.monotonic() + seconds
        self.look()
        while (left := until - self._clock.monotonic()) > 0:
            self._release.pause(min(left, max(self._due - self._clock.monotonic(), 0.01)))
            self.look()

    def look(self) -> None:
        """Take a round of readings if one is due.

        Raises NotHealthy if the candidate's process ended, or after more bad rounds in a row than are tolerated.
        """
        if self._clock.monotonic() < self._due:
            return
        readings = take_round(self._release, self._slot)
        self._bad_in_a_row = 0 if all(reading.is_healthy for reading in readings) else self._bad_in_a_row + 1
        if self._bad_in_a_row > TOLERATED_ROUNDS:
            raise NotHealthy(f"{self._slot} became unhealthy under traffic: {complaints(readings)}")
        self._due = self._clock.monotonic() + self._interval
