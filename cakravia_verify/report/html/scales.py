"""The place of values on an axis, and the round values that are shown there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cakravia_verify.report.text.formats import seconds_in_words

# Seconds. Beyond them a logarithmic axis would leave the range of a float.
_SHORTEST, _LONGEST = 1e-9, 1e12


@dataclass(frozen=True)
class Tick:
    """A named place on an axis, in percent of its length."""

    at: float
    text: str


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`, linear or logarithmic."""

    low: float
    high: float
    is_logarithmic: bool = False

    def percent(self, value: float) -> float:
        """Return the place of `value` in percent of the length. A value beyond an end gets the place of that end."""
        low, high, here = self.low, self.high, min(max(value, self.low), self.high)
        if self.is_logarithmic:
            low, high, here = math.log(low), math.log(high), math.log(here)
        return round(100 * (here - low) / (high - low), 3) if high > low else 0.0


def time_scale(events: list[float]) -> Scale:
    """Return an axis of seconds that holds every moment and is never empty."""
    finite = [event for event in events if math.isfinite(event)]
    low = min([0.0, *finite])
    return Scale(low, max([low + 0.001, *finite]))


def latency_scale(latencies: list[float]) -> Scale:
    """Return a logarithmic axis of seconds that holds every latency, with some room at both ends."""
    positive = [min(max(one, _SHORTEST), _LONGEST) for one in latencies if one > 0 and math.isfinite(one)]
    if not positive:
        return Scale(0.001, 1.0, is_logarithmic=True)
    return Scale(min(positive) / 1.5, max(positive) * 2.5, is_logarithmic=True)


def time_ticks(scale: Scale, *, about: int = 7) -> list[Tick]:
    """Return about as many round seconds as `about`."""
    return [Tick(scale.percent(value), _second_mark(value)) for value in _round_values(scale.low, scale.high, about)]


def count_ticks(scale: Scale, *, about: int = 3) -> list[Tick]:
    """Return round counts above zero."""
    values = [value for value in _round_values(scale.low, scale.high, about) if value > 0]
    return [Tick(scale.percent(value), f"{value:,.0f}") for value in values if value >= 1]


def latency_ticks(scale: Scale) -> list[Tick]:
    """Return one, two and five of each power of ten, at most five in total."""
    lowest, highest = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    for leads in ((1, 2, 5), (1, 3), (1,)):
        values = [lead * 10.0**power for power in range(lowest, highest + 1) for lead in leads]
        inside = [value for value in values if scale.low <= value <= scale.high]
        if len(inside) <= 5:
            break
    return [Tick(scale.percent(value), seconds_in_words(value)) for value in inside]


def _round_values(low: float, high: float, about: int) -> list[float]:
    rough = max(high - low, 1e-9) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(lead * power for lead in (1, 2, 5, 10) if lead * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 9) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _second_mark(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".") + " s"
