"""The schedule lag: the time from the planned instant of a request to the instant at which a user takes it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cakravia_verify.stats.histogram import RunningHistogram
from cakravia_verify.system.clock import Microseconds, to_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

_BITS = 7
"""Within 1%: the summary is written every second beside the requests, so it has to be cheap."""


class ScheduleLag:
    """The lags of one process, or of several together: quantiles of all requests, not means of quantiles."""

    def __init__(self) -> None:
        self._lags = RunningHistogram(bits=_BITS)

    def add(self, lag: Microseconds) -> None:
        self._lags.add(int(lag))

    def merge(self, counts: Mapping[str, int], *, maximum: Microseconds) -> None:
        """Add the `counts` of another process."""
        self._lags.merge(counts, maximum=int(maximum))

    @property
    def counts(self) -> dict[str, int]:
        """The lags so far, in the form that JSON can carry to `merge`."""
        return self._lags.counts

    def in_seconds(self) -> dict[str, float]:
        """Return median, 99th percentile and maximum in seconds, as traffic.json has them."""
        found = {"p50": self._lags.quantile(0.5), "p99": self._lags.quantile(0.99), "max": self._lags.maximum}
        return {name: to_seconds(Microseconds(lag)) for name, lag in found.items()}
