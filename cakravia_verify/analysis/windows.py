"""The run cut along its switches: windows before, during and after, and gaps without an answer.

All instants and durations are integer microseconds of CLOCK_MONOTONIC. A request belongs to the window in which it was
planned, so that a stall cannot move requests out of the window that caused it.
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
    """A time without a good answer; `expected` is how many the plan had in it (1 is an everyday gap)."""

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
    """How fast users moved, counted from the decision; None where it did not happen.

    `first_new`: until the first good answer by the new slot was complete. `last_old`: until the last request was sent
    that the old slot still answered.
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
    """Latencies of good answers to requests planned in the window, from `planned` or from `sent`; not of those whose
    name is in `without`."""
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
    """Everything planned in [start, end), or of it what one slot served."""
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
    """How fast one switch took effect; `until` is the decision for the next one, where there was one."""
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
    """The longest time in which nobody got a good answer, ends of the run included; None without any request.

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
    """For each connection the longest time from one good answer to its next, the longest first.

    Failures at its beginning and end count as if a good answer stood just outside them: a connection that got no good
    answer at all has a gap from its first start to its last end. Requests whose name is in `without` take no part. A
    connection's share of the plan is its share of all requests.
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
