"""Spread items evenly by weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Spread:
    """Quantiles of microseconds in constant memory, each within 1.6% of the true one (64 steps per power of two)."""

    _STEPS = 6

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.maximum = 0

    def add(self, value: int) -> None:
        value = max(0, value)
        shift = max(0, value.bit_length() - self._STEPS - 1)
        key = (shift << self._STEPS) + (value >> shift)
        self._counts[key] = self._counts.get(key, 0) + 1
        self.count += 1
        self.maximum = max(self.maximum, value)

    @property
    def counts(self) -> dict[str, int]:
        """What was added, as JSON can carry it to `merge`."""
        return {str(key): number for key, number in self._counts.items()}

    def merge(self, counts: Mapping[str, int], *, maximum: int) -> None:
        """Takes over what another one was given."""
        for key, number in counts.items():
            self._counts[int(key)] = self._counts.get(int(key), 0) + number
            self.count += number
        self.maximum = max(self.maximum, maximum)

    def quantile(self, share: float) -> int:
        """The smallest value that at least `share` of all do not exceed; 0 without values."""
        needed = max(1, share * self.count)
        seen = 0
        for key in sorted(self._counts):
            seen += self._counts[key]
            if seen >= needed:
                return min(self.maximum, self._highest(key))
        return 0

    def _highest(self, key: int) -> int:
        # Keys below 2 << _STEPS are the values themselves; above, each power of two has 1 << _STEPS keys of its own.
        shift = max(0, (key >> self._STEPS) - 1)
        return (((key - (shift << self._STEPS)) + 1) << shift) - 1
