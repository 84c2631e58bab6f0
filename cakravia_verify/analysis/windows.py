"""The run in windows before, during and after its switches, and the gaps without an answer.

All instants are microseconds of CLOCK_MONOTONIC. A request belongs to the window in which it was planned. So a stall
cannot move requests out of the window that caused it.
"""
# ruff: noqa: S608 - the SQL is put together from constants of this package and escaped paths only

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cakravia_verify.stats.histogram import Histogram, bucket_sql
from cakravia_verify.system.clock import Microseconds, to_seconds
from cakravia_verify.traffic.ledger.findings import Counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cakravia_verify.proxy.protocol import Switchover
    from cakravia_verify.traffic.ledger.ledger import Ledger


@dataclass(frozen=True)
class WindowStatistics:
    """The requests planned in [start, end); `latency` of good answers, from the planned instant."""

    label: str
    start: Microseconds
    end: Microseconds
    counts: Counts
    latency: Histogram

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.counts.total / to_seconds(self.end - self.start) if self.end > self.start else 0.0

    def quantile(self, share: float) -> Microseconds | None:
        return Microseconds(self.latency.quantile(share)) if self.latency.count else None


@dataclass(frozen=True)
class Gap:
    """A time without a good answer. `expected` is how many answers the plan had in it; 1 is normal."""

    connection: int | None
    start: Microseconds
    end: Microseconds
    expected: float
    failed: int

    @property
    def duration(self) -> Microseconds:
        return self.end - self.start


@dataclass(frozen=True)
class Crossover:
    """How fast users were switched, counted from the decision; None if it did not happen.

    `first_new` ends with the first complete good answer of the new slot. `last_old` ends when the last request was sent
    that the old slot answered.
    """

    first_new: Microseconds | None
    last_old: Microseconds | None


def latency(
    ledger: Ledger,
    *,
    start: Microseconds,
    end: Microseconds,
    slot: str | None = None,
    clock: str = "planned",
    without: Sequence[str] = (),
) -> Histogram:
    """Return the latencies of good answers to requests that were planned in the window.

    `clock` is the instant that latency starts from: planned or sent. Requests named in `without` are left out.
    """
    since = {"planned": "planned", "sent": "sent"}[clock]
    value = bucket_sql(f"(done - {since})")
    pairs = ledger.query(
        f"SELECT {value}, count(*) FROM ledger WHERE outcome = 'answered' AND done - {since} IS NOT NULL "
        "AND planned >= $start AND planned < $end AND ($slot IS NULL OR by_slot = $slot) "
        "AND NOT list_contains($without, coalesce(name, '')) GROUP BY 1 ORDER BY 1",
        {"start": start, "end": end, "slot": slot, "without": list(without)},
    )
    return Histogram(tuple((int(value), int(count)) for value, count in pairs))


def window(
    ledger: Ledger,
    label: str,
    *,
    start: Microseconds,
    end: Microseconds,
    slot: str | None = None,
    without: Sequence[str] = (),
) -> WindowStatistics:
    """Return the requests that were planned in [start, end), or those of one slot."""
    counts = Counts()
    for outcome, number in ledger.query(
        "SELECT outcome, count(*) FROM ledger WHERE planned >= $start AND planned < $end "
        "AND ($slot IS NULL OR by_slot = $slot) GROUP BY 1",
        {"start": start, "end": end, "slot": slot},
    ):
        counts = counts.plus(outcome, number)
    return WindowStatistics(
        label, start, end, counts, latency(ledger, start=start, end=end, slot=slot, without=without)
    )


def crossover(ledger: Ledger, switch: Switchover, *, until: Microseconds | None = None) -> Crossover:
    """Return how fast one switch took effect. `until` is the decision for the next switch, if there is one."""
    ((first_new, last_old),) = ledger.query(
        """SELECT min(done) FILTER (WHERE outcome = 'answered' AND $new IN (served_slot, slot)) - $decided,
            max(sent) FILTER (WHERE $old IN (served_slot, slot)) - $decided
        FROM ledger WHERE sent > $decided AND ($until IS NULL OR sent < $until)""",
        {
            "new": str(switch.colour),
            "old": str(switch.colour.other),
            "decided": switch.decided_at,
            "until": until,
        },
    )
    return Crossover(first_new, last_old)


def longest_gap(
    ledger: Ledger, *, rate_planned: float, start: Microseconds | None = None, end: Microseconds | None = None
) -> Gap | None:
    """Return the longest time without a good answer, with both ends of the run; None without any request.

    `start` and `end` default to the first and the last planned instant.
    """
    found = ledger.query(
        """WITH bounds AS (
            SELECT coalesce($start, min(planned)) AS low, coalesce($end, max(planned)) AS high FROM ledger),
        instants AS (SELECT low AS at_us FROM bounds UNION ALL SELECT high FROM bounds UNION ALL
            SELECT done FROM ledger, bounds WHERE outcome = 'answered' AND done BETWEEN low AND high),
        gaps AS (SELECT at_us AS until_us, lag(at_us) OVER (ORDER BY at_us) AS since_us FROM instants)
        SELECT since_us, until_us, (SELECT count(*) FROM ledger
            WHERE outcome <> 'answered' AND coalesce(done, sent, started) BETWEEN since_us AND until_us)
        FROM (FROM gaps WHERE since_us IS NOT NULL ORDER BY until_us - since_us DESC, since_us LIMIT 1)""",
        {"start": start, "end": end},
    )
    return _gap(None, found[0], rate_planned) if found else None


def longest_gaps_by_connection(
    ledger: Ledger, *, rate_planned: float, first: int = 10, without: Sequence[str] = ()
) -> tuple[Gap, ...]:
    """Return for each connection the longest time between two good answers, the longest first.

    The first start and the last end of a connection count as good answers. So a connection without any good answer has
    one gap. Requests named in `without` are left out. A connection's share of the plan is its share of all requests.
    """
    found = ledger.query(
        """WITH rows AS (FROM ledger WHERE NOT list_contains($without, coalesce(name, ''))),
        instants AS (
            SELECT connection, done AS at_us FROM rows WHERE outcome = 'answered' AND done IS NOT NULL UNION ALL
            SELECT connection, min(started) FROM rows GROUP BY 1 UNION ALL
            SELECT connection, max(coalesce(done, sent, started)) FROM rows GROUP BY 1),
        gaps AS (SELECT connection, at_us AS until_us,
            lag(at_us) OVER (PARTITION BY connection ORDER BY at_us) AS since_us FROM instants),
        longest AS (FROM gaps WHERE since_us IS NOT NULL
            QUALIFY row_number() OVER (PARTITION BY connection ORDER BY until_us - since_us DESC, since_us) = 1),
        first AS (FROM longest ORDER BY until_us - since_us DESC, connection LIMIT $first)
        SELECT connection, since_us, until_us, (SELECT count(*) FROM rows l WHERE l.connection = first.connection
            AND outcome <> 'answered' AND coalesce(done, sent, started) BETWEEN since_us AND until_us),
            (SELECT count(*) FILTER (WHERE l.connection = first.connection) / count(*) FROM rows l)
        FROM first ORDER BY until_us - since_us DESC, connection""",
        {"first": first, "without": list(without)},
    )
    return tuple(_gap(row[0], row[1:4], rate_planned * row[4]) for row in found)


def _gap(connection: int | None, row: tuple[int, ...], rate: float) -> Gap:
    since, until, failed = Microseconds(row[0]), Microseconds(row[1]), row[2]
    return Gap(connection, since, until, to_seconds(until - since) * rate, failed)
