"""Samples what the candidate uses while users are on it, and says what grows."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from cakravia_verify.analysis.growth import UseSample, are_enough, errors_in_words, growth_in_words
from cakravia_verify.analysis.model import Measurement
from cakravia_verify.errors import CakraviaError
from cakravia_verify.release.machine import Release
from cakravia_verify.slots import Colour

# Each look costs a system call for every process, and of a container one request to its engine.
EVERY_SECONDS: Final = 1.0
LOG_LINES: Final = 1_000


class GrowthWatch:
    """The candidate's memory, descriptors and threads since the switch, and the errors in its log."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._samples: list[UseSample] = []

    def look(self) -> None:
        """Take a sample if the last one is old enough and users are on the candidate."""
        now, facts = self._release.site.clock.monotonic(), self._release.facts
        if facts.candidate is None or len(facts.switchovers) != 1:
            return
        if self._samples and now - self._samples[-1].at < EVERY_SECONDS:
            return
        try:
            use = self._release.site.platform.use(facts.candidate.colour)
        except CakraviaError:
            return  # the health rounds say it if the slot is gone
        if use is not None:
            self._samples.append(UseSample(now, use))

    def added_to(self, measurement: Measurement) -> Measurement:
        """Return the measurement with what grows, in words: None if the bake is too short for it.

        A rollback is not held up by growth: users want to be away from another version.
        """
        words: tuple[str, ...] | None = ()
        if not self._release.intent.policy.goes_back:
            limit = self._release.site.settings.slots.memory_bytes
            words = (*growth_in_words(self._samples, memory_limit=limit), *filter(None, [self._errors()]))
            words = words if words or are_enough(self._samples) else None
        return replace(measurement, measured=replace(measurement.measured, growth=words))

    def _errors(self) -> str:
        facts, active = self._release.facts, self._release.intent.active
        if facts.candidate is None or active is None or len(facts.switchovers) != 1:
            return ""
        return errors_in_words(self._log(facts.candidate.colour), self._log(active))

    def _log(self, colour: Colour) -> str:
        try:
            return self._release.site.platform.logs(colour, lines=LOG_LINES)
        except CakraviaError:
            return ""
