"""A health answer comes in time, every time."""

from __future__ import annotations

from collections.abc import Sequence

from cakravia_verify.settings.models import Settings

READINGS = 5


def latency_limit(settings: Settings) -> float:
    """Return the seconds that an answer may take: half of the timeout, so that one slow answer fails no release."""
    return settings.health.timeout / 2


def too_slow(latencies: Sequence[float], *, limit: float) -> str:
    """Return the slowest answer if it is over the limit."""
    slowest = max(latencies, default=0.0)
    return (
        f"the slowest of {len(latencies)} answers took {slowest:.3f} s (limit {limit:g} s)" if slowest > limit else ""
    )
