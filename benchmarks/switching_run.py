"""One measured run: a throw-away site under strict traffic, moved to and fro between its slots, and what that cost.

Users are moved by the steps of a release, in a round of four switches: back to the warm version (a manual rollback),
forth to a freshly started candidate that fails afterwards (two switches: there, and back by the automatic rollback,
which stops the candidate), and forth to a freshly started candidate that stays.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.throwaway_site import throwaway_site
from cakravia_verify.assembly import open_site
from cakravia_verify.deadline import Deadline
from cakravia_verify.errors import TrafficError
from cakravia_verify.history import PROMOTED, ROLLED_BACK, Intent
from cakravia_verify.release import Release
from cakravia_verify.settings import load_settings
from cakravia_verify.site import SERVED_SLOT_HEADER, Site
from cakravia_verify.slots import Artifact, Colour
from cakravia_verify.steps import STEPS
from cakravia_verify.traffic.flow import plan_of
from cakravia_verify.traffic.ledger import Ledger
from cakravia_verify.traffic.mixes import DEFAULT_MIX
from cakravia_verify.traffic.process import TrafficProcess, TrafficSummary
from cakravia_verify.traffic.records import EVENTS_FILE, REQUESTS_FILE, SUMMARY_FILE
from cakravia_verify.traffic.statistics import failures_in_words
from cakravia_verify.traffic.windows import Switch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cakravia_verify.proxy.switching import Flip

RUN = "switchover"
SECOND = 1_000_000
BEFORE_AND_AFTER = 1.0
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
    `old` is their number), to the first request that the new slot began, and to its first complete answer (None
    without any)."""

    to: str
    decided_at: int
    effective_at: int
    act: float
    old: int
    last_old: float
    first_begun: float | None
    first_answer: float | None


@dataclass(frozen=True)
class Result:
    """What it cost. Times in milliseconds, rates in requests per second.

    `old_after_decision` are requests written after a decision that the old slot answered, the latest of them `last_old`
    after it; `fence_violations` those begun after the switch was in force. `predicted` is what the law of the round
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
    last_old: float
    first_new: tuple[float, float, float]
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


class Shuttle:
    """Takes a site's users from slot to slot, each time by a release of its own; `flips` are the moves so far."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.flips: list[Flip] = []
        self.cold_starts = 0
        self._artifacts: dict[str, Artifact] = {}
        self._number = 0

    def move(self, count: int) -> Iterator[None]:
        """Moves users `count` times; yields after each release."""
        so_far = len(self.flips)
        rounds = (self.bring_back, self.deploy_and_fail, self.deploy)
        while (left := count - (len(self.flips) - so_far)) > 0:
            for release in rounds:
                if release != self.deploy_and_fail or left >= 2:
                    release()
                    yield
                if (left := count - (len(self.flips) - so_far)) <= 0:
                    break

    def deploy(self) -> None:
        """A version is freshly started in the idle slot and has all users; the one before is warm."""
        self._forward("deploy", is_warm=False).finish(PROMOTED)

    def deploy_and_fail(self) -> None:
        """A version was freshly started, had all users and was rolled back; it is stopped."""
        release = self._forward("deploy", is_warm=False, until="bake")
        before = len(release.seen.flips)
        release.roll_back("the benchmark says so")
        self.flips += release.seen.flips[before:]
        release.finish(ROLLED_BACK)

    def bring_back(self) -> None:
        """The warm version before has all users again."""
        self._forward("rollback", is_warm=True).finish(PROMOTED)

    def _forward(self, kind: str, *, is_warm: bool, until: str = "cleanup") -> Release:
        state = self.site.observe()
        active, idle = state.active, state.slots.idle
        is_warm = is_warm and idle is not None
        if is_warm and idle is not None:
            version = idle.version
        else:
            version = "v1.1.0" if active is None or active.version != "v1.1.0" else "v1.2.0"
        self._number += 1
        self.cold_starts += not is_warm
        intent = Intent(
            release=f"release-{self._number}",
            kind=kind,
            version=version,
            candidate=state.slots.idle_colour,
            active=state.slots.active_colour,
            active_version=active.version if active else "",
            active_digest=active.digest if active else "",
            is_warm=is_warm,
            proxy_was_running=state.proxy.is_running,
            reason="",
        )
        release = Release(self.site, intent, STEPS, target=self._artifacts.get(version))
        release.start()
        try:
            release.advance(until)
        finally:
            self.flips += release.seen.flips
        if release.seen.artifact:
            self._artifacts[version] = release.seen.artifact
        return release


def run(task: Task, *, keep: Path | None = None) -> Result:
    """Users were moved `task.switches` times under traffic, and every request is accounted for."""
    settings: dict[str, dict[str, Any]] = {
        "proxy": {"switch": task.way, "nginx": task.nginx} | ({"keepalive_min": 0} if task.way == "reload" else {}),
        "health": {"interval": 0.05},
        "release": {"bake": 0},
        "traffic": {"users": task.users, "rate": task.rate, "round_trip": task.round_trip},
    }
    with throwaway_site(settings, keep=keep) as file:
        site = open_site(load_settings(file, environment={}))
        site.platform.check()
        site.proxy.check()
        shuttle = Shuttle(site)
        shuttle.deploy()
        shuttle.deploy()
        shuttle.flips.clear()
        shuttle.cold_starts = 0
        folder = file.parent / "traffic"
        summary = _under_traffic(site, shuttle, task, folder)
        executed_twice = _executed_twice(site)
        with _ledger(site, folder) as ledger:
            return _result(task, site, shuttle, summary, ledger, executed_twice)


def _under_traffic(site: Site, shuttle: Shuttle, task: Task, folder: Path) -> TrafficSummary:
    contract = site.settings.contract
    headers = {"slot": contract.slot_header, "version": contract.version_header, "served": SERVED_SLOT_HEADER}
    plan = plan_of(
        site.settings.traffic,
        address=site.proxy.address,
        folder=folder,
        run=RUN,
        headers=headers,
        root=site.settings.root,
    )
    traffic = TrafficProcess(replace(plan, html_report=False))
    traffic.start()
    try:
        traffic.wait_until_flowing(deadline=Deadline("traffic flows", 30), requests=task.users)
        site.clock.sleep(BEFORE_AND_AFTER)
        for _ in shuttle.move(task.switches):
            traffic.ensure_alive()
        site.clock.sleep(BEFORE_AND_AFTER)
        return traffic.stop(deadline=Deadline("traffic stops", plan.longest_timeout + 5))
    finally:
        traffic.kill()


def _executed_twice(site: Site) -> int:
    """Orders that the application's own store says it executed more than once; asked of the site itself."""
    answer = site.prober.request(site.proxy.address, "GET", "/api/orders")
    if answer.status_code != 200:
        raise TrafficError(f"the order store does not tell: {answer.problem or answer.status_code}")
    told = json.loads(answer.body)
    return int(told["executions"]) - int(told["orders"])


def _ledger(site: Site, folder: Path) -> Ledger:
    logs = [log for colour in Colour if (log := site.platform.request_log(colour)) is not None and log.exists()]
    return Ledger.build(
        folder,
        requests=folder / REQUESTS_FILE,
        access_log=site.proxy.access_log,
        application_logs=logs,
        events=folder / EVENTS_FILE,
        traffic=folder / SUMMARY_FILE,
        run=RUN,
    )


def _result(
    task: Task, site: Site, shuttle: Shuttle, summary: TrafficSummary, ledger: Ledger, executed_twice: int
) -> Result:
    evidence = ledger.evidence
    switches = [
        Switch(int(flip.decided_at * SECOND), int(flip.effective_at * SECOND) + 1, flip.colour.other, flip.colour)
        for flip in shuttle.flips
    ]
    fences = [
        ledger.fence_violations(switch.confirmed_at, switch.old, until=following)
        for switch, following in _with_following(switches)
    ]
    half = round(task.round_trip / 2 * SECOND)
    moves = tuple(_move(ledger, switch, following, half=half) for switch, following in _with_following(switches))
    seconds = float(summary.raw["seconds"])
    reused = _number(ledger, "SELECT count(*) FROM ledger WHERE reused = 1") / seconds
    lag = summary.raw["schedule_lag"]
    return Result(
        task=task,
        nginx=".".join(str(part) for part in getattr(site.proxy, "version", ())),
        switches=len(switches),
        cold_starts=shuttle.cold_starts,
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
        last_old=max((move.last_old for move in moves), default=0.0),
        first_new=_spread([move.first_answer for move in moves if move.first_answer is not None]),
        flip=_spread([move.act for move in moves]),
        latency=_latency(ledger),
        schedule_lag=(lag["p50"] * 1000, lag["p99"] * 1000, lag["max"] * 1000),
        moves=moves,
        share_held=round(summary.rate_achieved / task.rate, 4),
        reused_rate=round(reused, 1),
        connections=_number(ledger, "SELECT count(DISTINCT connection) FROM ledger WHERE reused = 1"),
        idle_closes=evidence.idle_closes,
        predicted=round(reused * task.round_trip * len(switches), 1) if task.way == "reload" else 0.0,
        lost_rows=tuple(dict(row) for row in evidence.lost.first),
        error_log=_complaints(site.settings.state / "nginx" / "error.log"),
    )


def _complaints(error_log: Path) -> tuple[str, ...]:
    """The last lines that nginx calls more than a warning."""
    text = error_log.read_text(errors="replace") if error_log.exists() else ""
    return tuple([line for line in text.splitlines() if "[warn]" not in line][-100:])


def _with_following(switches: Sequence[Switch]) -> Iterator[tuple[Switch, int | None]]:
    for index, switch in enumerate(switches):
        yield switch, switches[index + 1].decided_at if index + 1 < len(switches) else None


def _move(ledger: Ledger, switch: Switch, following: int | None, *, half: int) -> Move:
    """What one switch did to the requests around it.

    The instant that the application began a request tells which switch it belongs to: what it began after the following
    decision belongs to that one.
    """
    instants = {"since": switch.decided_at, "until": following or 1 << 62}
    # With Expect: 100-continue the proxy chooses when it has the head: half a round trip after it was decided upon.
    old, last_old = ledger.query(
        "WITH heads AS (SELECT *, CASE WHEN list_contains($patient, name) "
        "THEN greatest(started, coalesce(connected, started)) + $half ELSE sent END AS written FROM ledger) "
        "SELECT count(*), max(written) FROM heads WHERE written > $since AND $old IN (served_slot, slot, app_slot) "
        "AND coalesce(app_began, done, sent) < $until",
        {**instants, "old": switch.old, "patient": PATIENT, "half": half},
    )[0]
    begun, answer = ledger.query(
        "SELECT min(app_began), min(done) FROM ledger WHERE outcome = 'answered' AND by_slot = $new "
        "AND app_began BETWEEN $since AND $until",
        {**instants, "new": switch.new},
    )[0]

    def after(instant: int | None) -> float | None:
        return None if instant is None else (int(instant) - switch.decided_at) / 1000

    return Move(
        to=switch.new,
        decided_at=switch.decided_at,
        effective_at=switch.confirmed_at,
        act=(switch.confirmed_at - switch.decided_at) / 1000,
        old=int(old),
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
