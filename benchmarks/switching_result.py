"""What a run of switches cost, read from its three-way ledger."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from cakravia_verify.stats.bounds import failures_in_words
from cakravia_verify.traffic.plan.profiles import DEFAULT_MIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cakravia_verify.proxy.protocol import Switchover
    from cakravia_verify.site.site import Site
    from cakravia_verify.system.clock import Microseconds
    from cakravia_verify.traffic.ledger.ledger import Ledger
    from cakravia_verify.traffic.process import TrafficSummary

SECOND = 1_000_000
# Requests that are meant to take a second say nothing about what a switch costs.
LEISURELY = "slow"
PATIENT = [entry.name for entry in DEFAULT_MIX if entry.expects_continue]

Way = Literal["flag", "reload"]


@dataclass(frozen=True)
class Task:
    """What to do: `switches` moves of all users under this load. Times in seconds, `rate` in requests per second."""

    way: Way
    switches: int
    rate: float
    users: int
    round_trip: float
    nginx: str = ""


@dataclass(frozen=True)
class Move:
    """One switch. `decided_at` and `effective_at` are CLOCK_MONOTONIC microseconds; the rest are milliseconds: how long
    the act took, and from the decision to the last request written after it that the old slot answered (0 without any;
    `old` is their number, `old_in_force` that of those written after the act), to the next request that anybody sent,
    to the first that the new slot began, and to its first complete answer (None without any)."""

    to: str
    decided_at: int
    effective_at: int
    act: float
    old: int
    old_in_force: int
    last_old: float
    next_sent: float | None
    first_begun: float | None
    first_answer: float | None


@dataclass(frozen=True)
class Result:
    """What it cost. Times in milliseconds, rates in requests per second.

    `old_after_decision` are requests written after a decision that the old slot answered, the latest of them `last_old`
    after it; `fence_violations` those begun after the switch was in force, `old_in_force` those written after that.
    `next_sent` is how long nobody sent anything after a decision. `predicted` is what the law of the round
    trip says that reloads lose: rate on reused connections x round trip x reloads.
    """

    task: Task
    nginx: str
    switches: int
    cold_starts: int
    seconds: float
    sent: int
    bodies_sent: int
    answered: int
    lost: int
    lost_in_words: str
    unreached: int
    errors: int
    duplicated: int
    executed_twice: int
    masked: int
    findings: tuple[str, ...]
    fence_violations: int
    straddling: int
    old_after_decision: int
    old_in_force: int
    last_old: float
    first_new: tuple[float, float, float]
    next_sent: tuple[float, float, float]
    flip: tuple[float, float, float]
    latency: tuple[float, float, float]
    schedule_lag: tuple[float, float, float]
    moves: tuple[Move, ...]
    share_held: float
    reused_rate: float
    connections: int
    idle_closes: int
    predicted: float
    lost_rows: tuple[dict[str, Any], ...]
    error_log: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Nobody lost anything, nothing ran twice, and no request went where it should not."""
        failed = self.lost + self.unreached + self.errors + self.duplicated + self.executed_twice + self.masked
        return self.sent > 0 and not failed and not self.fence_violations and not self.findings

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "is_whole": self.is_whole}


def measured(
    task: Task,
    ledger: Ledger,
    *,
    site: Site,
    switchovers: Sequence[Switchover],
    cold_starts: int,
    summary: TrafficSummary,
    executed_twice: int,
) -> Result:
    """What the three records of a run say about its switches."""
    evidence = ledger.evidence
    fences = [
        ledger.fence_violations(switch.effective_at, str(switch.colour.other), until=following)
        for switch, following in _with_following(switchovers)
    ]
    half = round(task.round_trip / 2 * SECOND)
    moves = tuple(_move(ledger, switch, following, half=half) for switch, following in _with_following(switchovers))
    seconds = float(summary.raw["seconds"])
    reused = _number(ledger, "SELECT count(*) FROM ledger WHERE reused = 1") / seconds
    lag = summary.raw["schedule_lag"]
    return Result(
        task=task,
        nginx=".".join(str(part) for part in getattr(site.proxy, "version", ())),
        switches=len(switchovers),
        cold_starts=cold_starts,
        seconds=round(seconds, 2),
        sent=evidence.total,
        bodies_sent=_number(ledger, "SELECT count(*) FROM ledger WHERE method IN ('POST', 'PUT')"),
        answered=evidence.counts.answered,
        lost=evidence.counts.lost,
        lost_in_words=failures_in_words(evidence.counts.lost, evidence.total),
        unreached=evidence.counts.unreached,
        errors=evidence.counts.error,
        duplicated=evidence.duplicated.total if evidence.duplicated else 0,
        executed_twice=executed_twice,
        masked=evidence.masked.total if evidence.masked else 0,
        findings=tuple(str(finding) for finding in evidence.findings),
        fence_violations=sum(fence.violations.total for fence in fences),
        straddling=sum(fence.straddling.total for fence in fences),
        old_after_decision=sum(move.old for move in moves),
        old_in_force=sum(move.old_in_force for move in moves),
        last_old=max((move.last_old for move in moves), default=0.0),
        first_new=_spread([move.first_answer for move in moves if move.first_answer is not None]),
        next_sent=_spread([move.next_sent for move in moves if move.next_sent is not None]),
        flip=_spread([move.act for move in moves]),
        latency=_latency(ledger),
        schedule_lag=(lag["p50"] * 1000, lag["p99"] * 1000, lag["max"] * 1000),
        moves=moves,
        share_held=round(summary.rate_achieved / task.rate, 4),
        reused_rate=round(reused, 1),
        connections=_number(ledger, "SELECT count(DISTINCT connection) FROM ledger WHERE reused = 1"),
        idle_closes=evidence.idle_closes,
        predicted=round(reused * task.round_trip * len(switchovers), 1) if task.way == "reload" else 0.0,
        lost_rows=tuple(dict(row) for row in evidence.lost.first),
        error_log=_complaints(site.settings.state / "nginx" / "error.log"),
    )


def _complaints(error_log: Path) -> tuple[str, ...]:
    """The last lines that nginx calls more than a warning."""
    text = error_log.read_text(errors="replace") if error_log.exists() else ""
    return tuple([line for line in text.splitlines() if "[warn]" not in line][-100:])


def _with_following(switches: Sequence[Switchover]) -> Iterator[tuple[Switchover, Microseconds | None]]:
    for index, switch in enumerate(switches):
        yield switch, switches[index + 1].decided_at if index + 1 < len(switches) else None


def _move(ledger: Ledger, switch: Switchover, following: Microseconds | None, *, half: int) -> Move:
    """What one switch did to the requests around it.

    The instant that the application began a request tells which switch it belongs to: what it began after the following
    decision belongs to that one.
    """
    instants = {"since": switch.decided_at, "until": following or 1 << 62}
    # With Expect: 100-continue the proxy chooses when it has the head: half a round trip after it was decided upon.
    old, in_force, last_old = ledger.query(
        "WITH heads AS (SELECT *, CASE WHEN list_contains($patient, name) "
        "THEN greatest(started, coalesce(connected, started)) + $half ELSE sent END AS written FROM ledger) "
        "SELECT count(*), count(*) FILTER (WHERE written > $in_force), max(written) FROM heads "
        "WHERE written > $since AND $old IN (served_slot, slot, app_slot) "
        "AND coalesce(app_began, done, sent) < $until",
        {
            **instants,
            "in_force": switch.effective_at,
            "old": str(switch.colour.other),
            "patient": PATIENT,
            "half": half,
        },
    )[0]
    begun, answer = ledger.query(
        "SELECT min(app_began), min(done) FROM ledger WHERE outcome = 'answered' AND by_slot = $new "
        "AND app_began BETWEEN $since AND $until",
        {**instants, "new": str(switch.colour)},
    )[0]

    ((sent,),) = ledger.query("SELECT min(started) FROM ledger WHERE started > $since", {"since": switch.decided_at})

    def after(instant: int | None) -> float | None:
        return None if instant is None else (int(instant) - int(switch.decided_at)) / 1000

    return Move(
        to=str(switch.colour),
        decided_at=int(switch.decided_at),
        effective_at=int(switch.effective_at),
        act=switch.seconds * 1000,
        old=int(old),
        old_in_force=int(in_force),
        next_sent=after(sent),
        last_old=after(last_old) or 0.0,
        first_begun=after(begun),
        first_answer=after(answer),
    )


def _latency(ledger: Ledger) -> tuple[float, float, float]:
    row = ledger.query(
        "SELECT quantile_disc(latency, 0.5), quantile_disc(latency, 0.99), max(latency) FROM ledger "
        "WHERE outcome = 'answered' AND name <> $leisurely",
        {"leisurely": LEISURELY},
    )[0]
    p50, p99, longest = (float(value or 0) / 1000 for value in row)
    return p50, p99, longest


def _number(ledger: Ledger, question: str, **parameters: Any) -> int:
    return int(ledger.query(question, parameters)[0][0])


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, 99th percentile (the longest below 100 values) and maximum; zeroes without values."""
    if not values:
        return 0.0, 0.0, 0.0
    ascending = sorted(values)
    p50, p99 = (ascending[math.ceil(share * len(ascending)) - 1] for share in (0.5, 0.99))
    return p50, p99, ascending[-1]
