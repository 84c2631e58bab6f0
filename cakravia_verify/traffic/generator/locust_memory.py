"""What Locust remembers of a run, kept to what its page and its report show: an hour takes no more than a minute.

Locust counts the requests of every second for every kind of request, asks for the last twelve of them and forgets none.
It adds a point to its charts every five seconds for ever. And it copies all response times of every kind of request
once a second, though only those of all requests together are ever shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent

if TYPE_CHECKING:
    from locust.stats import RequestStats

_EVERY = 30.0
_SECONDS_KEPT = 60
MOST_POINTS = 720
"""Points of the charts: one every five seconds of an hour. Beyond that every second one goes."""


def keep_lean(statistics: RequestStats) -> None:
    """Keep the statistics to a minute of seconds and MOST_POINTS points until the process ends."""
    gevent.spawn(_forget_again_and_again, statistics)


def _forget_again_and_again(statistics: RequestStats) -> None:
    while True:
        gevent.sleep(_EVERY)
        forget(statistics)


def forget(statistics: RequestStats) -> None:
    """Delete counts of old seconds and unused copies; keep each chart to MOST_POINTS points.

    The copies of all requests together stay: Locust's page and charts use them.
    """
    oldest = int(statistics.last_request_timestamp or 0) - _SECONDS_KEPT
    for entry in statistics.entries.values():
        entry.use_response_times_cache, entry.response_times_cache = False, None
    for entry in (statistics.total, *statistics.entries.values()):
        for by_second in (entry.num_reqs_per_sec, entry.num_fail_per_sec):
            for second in [second for second in by_second if second < oldest]:
                del by_second[second]
    if len(statistics.history) > MOST_POINTS:
        del statistics.history[1::2]
