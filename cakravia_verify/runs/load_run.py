"""A load on the live site, judged against the budget without a release. Nothing is ever switched by it."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cakravia_verify import __version__
from cakravia_verify.analysis.measurement import measure
from cakravia_verify.analysis.model import Measurement
from cakravia_verify.analysis.run_timeline import RunTimeline
from cakravia_verify.errors import CakraviaError, LockHeld, NothingToDo, SettingsError, TrafficError
from cakravia_verify.gate.load import judge_load
from cakravia_verify.gate.model import Budget, CheckStatus, Decision, Evidence, Exit, Verdict
from cakravia_verify.release.machine import StepEvent
from cakravia_verify.report.document import Event, ReleaseDocument
from cakravia_verify.report.facts import digest_of, instant, traffic_figures
from cakravia_verify.runs.release_run import Outcome
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.lock import Lock
from cakravia_verify.site.site import Site, SiteState
from cakravia_verify.slots import Colour, Slot
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.log_files import LogCuts
from cakravia_verify.system.users import who_acts
from cakravia_verify.traffic.ledger.ledger import Ledger
from cakravia_verify.traffic.plan.from_settings import headers_of, plan_of
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.plan.schedule import planned_within
from cakravia_verify.traffic.run import TrafficRun

KIND = "load"
MEASURED = "measured"
START_SECONDS = 30.0
WATCH_EVERY = 0.2
INTERRUPTED_PATIENCE = 2.0
_SLOW_SHARE = 0.01


@dataclass(frozen=True)
class LoadSpan:
    """What became of the load: how many seconds it flowed, and why it ended early; empty where it did not."""

    seconds: float
    ended_early: str


class LoadRun:
    """One load from `open` to `close`. A release always goes first: where one holds the site the load is refused, and
    where one begins later the load makes way. `duration` in seconds."""

    def __init__(self, site: Site, *, duration: float, on_event: Callable[[StepEvent], None] = lambda _: None) -> None:
        self.site = site
        self.settings: Settings = site.settings
        self.duration = duration
        self.on_event = on_event
        self.notices: list[str] = []
        self.objections: list[str] = []
        self.interrupted = ""
        self.outcome: Outcome | None = None
        self.traffic_run: TrafficRun | None = None
        self.state: SiteState | None = None
        self._lock = Lock(self.settings.state / "load.lock")
        self._cuts = LogCuts()
        self._began_wall = site.clock.wall()
        self._began = site.clock.monotonic()
        self._id = ""
        self._span: LoadSpan | None = None
        self._trouble = ""
        self._timeline: list[Event] = []

    # Opening: nothing of the site is touched, now or later.

    def open(self, *, waiting: Callable[[str], None] = lambda _: None) -> None:
        """It is settled that somebody serves users and nobody else is at work. Raises UsageError, LockHeld."""
        self.site.proxy.check()
        self._refuse_beside_a_release()
        state = self.site.observe()
        if state.active is None or state.served is None:
            raise NothingToDo(
                "nobody is served here, so there is nothing to load",
                remedy="pytest suites/deploy --version ... brings the first version; cakravia status shows the site",
            )
        self.state = state
        self._lock.acquire(f"load for {self.duration:g} s")
        self.notices += [f"drift: {each}" for each in state.drift]
        self._id = _load_id(state.active.version, self._began_wall)
        self._refuse_what_proves_nothing()

    def _refuse_beside_a_release(self) -> None:
        if holder := self.site.lock.holder():
            raise LockHeld(
                f"a release holds this site: {holder}", remedy="load it when that has ended; nothing was touched"
            )

    def _refuse_what_proves_nothing(self) -> None:
        plan, least = self._plan(), self.settings.budget.min_requests
        planned = planned_within(plan, self.duration)
        if planned < least:
            raise SettingsError(
                f"{self.duration:g} s of this load are {planned:,} requests; fewer than min_requests = {least:,} "
                "prove nothing",
                remedy="load longer (--duration), faster (--rate), or lower [budget] min_requests",
            )

    def close(self) -> None:
        """No traffic of this load is left."""
        if self.traffic_run is not None:
            self.traffic_run.kill()
        self._lock.release()

    @property
    def id(self) -> str:
        return self._id

    @property
    def folder(self) -> Path:
        """Where this load's evidence goes."""
        return self.settings.reports / self._id

    @property
    def subject(self) -> str:
        """The version under load."""
        return self._active.version

    @property
    def introduction(self) -> tuple[str, ...]:
        plan = self._plan()
        rate = f"{'up to ' if plan.curve else ''}{plan.rate:g} requests/s"
        return (
            f"Loading {self._active} for {self.duration:g} s: {rate} over {plan.users} connections; "
            "nothing is switched",
            f"load {self._id}",
        )

    @property
    def _active(self) -> Slot:
        assert self.state is not None
        assert self.state.active is not None
        return self.state.active

    @property
    def budget(self) -> Budget:
        return Budget(**self.settings.budget.model_dump())

    def _plan(self) -> TrafficPlan:
        return plan_of(
            self.settings.traffic,
            address=self.site.proxy.address,
            folder=self.folder,
            run=self._id,
            headers=headers_of(self.settings),
            root=self.settings.root,
        )

    # The load.

    def load(self) -> LoadSpan:
        """The site has been under load for `duration` seconds, or until that could prove nothing more."""
        if self._span is None:
            try:
                self._span = self._traffic_through()
            except CakraviaError as error:
                self._trouble = error.message
                self._span = LoadSpan(0.0, error.message)
        return self._span

    def _traffic_through(self) -> LoadSpan:
        plan, clock = self._plan(), self.site.clock
        self.site.bound_logs()
        self.site.fetch_logs()
        self._cuts.remember(self.site.proxy.access_log, *(self.site.platform.request_log(each) for each in Colour))
        self.traffic_run = traffic_run = TrafficRun(plan, clock=clock, slow=self.settings.budget.p99)
        began = clock.monotonic()
        traffic_run.start(deadline=Deadline("the load flows", START_SECONDS, clock=clock), requests=1)
        self._tell("traffic", began, f"{plan.round_trip * 1000:g} ms round trip")
        began = traffic_run.first_planned / 1e6 or clock.monotonic()
        hopeless = ""
        while not hopeless and (left := began + self.duration - clock.monotonic()) > 0:
            clock.sleep(min(WATCH_EVERY, left))
            traffic_run.follow()
            traffic_run.ensure_alive()
            hopeless = self._hopeless(traffic_run, plan)
            if holder := self.site.lock.holder():
                self._trouble = hopeless = f"the load made way for {holder}"
        ended = clock.monotonic()
        traffic_run.stop(deadline=Deadline("requests under way end", plan.longest_timeout + 5, clock=clock))
        span = LoadSpan(ended - began, hopeless)
        self._tell("load", began, hopeless or f"{traffic_run.finished:,} requests")
        return span

    def _hopeless(self, traffic_run: TrafficRun, plan: TrafficPlan) -> str:
        """Why the budget cannot be kept any more, whatever comes; empty while it can."""
        budget, whole = self.settings.budget, planned_within(plan, self.duration)
        if len(traffic_run.lost) > budget.lost:
            row = traffic_run.lost[0]
            return (
                f"{len(traffic_run.lost)} requests lost (budget {budget.lost}): {row.method} {row.name}: {row.detail}"
            )
        if len(traffic_run.unreached) > budget.lost:
            row = traffic_run.unreached[0]
            return f"{len(traffic_run.unreached)} requests could not be sent (budget {budget.lost}): {row.detail}"
        if len(traffic_run.errors) > budget.errors * whole:
            row = traffic_run.errors[0]
            return (
                f"{len(traffic_run.errors)} error answers (budget {budget.errors:.3%} of {whole:,}): "
                f"{row.method} {row.name}: {row.detail}"
            )
        if traffic_run.slow > _SLOW_SHARE * whole:
            return (
                f"{traffic_run.slow} answers took longer than {budget.p99:g} s: "
                f"more than 1% of all {whole:,} requests of this load"
            )
        return ""

    def _tell(self, step: str, began: float, note: str) -> None:
        now = self.site.clock.monotonic()
        self._timeline.append(Event(step, "done", now - self._began, now - began, note))
        with contextlib.suppress(Exception):
            self.on_event(StepEvent(step, "done", now, now - began, note))

    # Concluding.

    def conclude(self, required: Mapping[str, str]) -> Outcome:
        """The verdict on this load. `required` maps the suite's required checks to their outcomes."""
        if self.traffic_run is not None and self.traffic_run.summary is None:
            self._stop_early()
        measurement = self._measure()
        evidence = self._evidence(required, measurement)
        seen_by = measurement.figures["seen_by"] if measurement else ()
        assert isinstance(seen_by, list | tuple)
        verdict = judge_load(evidence, self.budget, seen_by=seen_by, trouble=self._trouble)
        status = self._exit(verdict)
        self.outcome = Outcome(status, verdict, self._document(verdict, evidence, measurement, status))
        return self.outcome

    def _stop_early(self) -> None:
        assert self.traffic_run is not None
        try:
            self.traffic_run.stop(deadline=Deadline("the load ends", INTERRUPTED_PATIENCE, clock=self.site.clock))
        except TrafficError as error:
            self._trouble = self._trouble or error.message
            self.traffic_run.kill()

    def _measure(self) -> Measurement | None:
        if self.traffic_run is None or not self.traffic_run.requests.exists():
            return None
        folder = self.folder
        self.site.fetch_logs()
        logs: list[Path] = []
        for colour in Colour:
            log = folder / f"application-{colour}.log"
            if self._cuts.copy(self.site.platform.request_log(colour), log) is not None:
                (logs.append if log.stat().st_size else os.unlink)(log)
        try:
            with Ledger.build(
                folder,
                requests=self.traffic_run.requests,
                access_log=self._cuts.copy(self.site.proxy.access_log, folder / "access.log"),
                application_logs=logs,
                events=self.traffic_run.events,
                traffic=folder / "traffic.json",
                run=self._id,
            ) as ledger:
                plan = self.traffic_run.plan
                timeline = RunTimeline(
                    touched=None,
                    switchovers=(),
                    until=None,
                    rate=plan.rate,
                    followed=self.traffic_run.counts,
                    streams=plan.streams,
                    expected=partial(planned_within, plan),
                )
                measurement = measure(ledger, timeline, has_application=bool(logs))
                measurement.figures["seen_by"] = _seen_by(ledger)
                return measurement
        except CakraviaError as error:
            self._trouble = self._trouble or error.message
            return None

    def _evidence(self, required: Mapping[str, str], measurement: Measurement | None) -> Evidence:
        active = self._active
        return Evidence(
            release=self._id,
            kind=KIND,
            version=active.version,
            candidate=f"{active.colour} {active.version}",
            built_digest=active.digest,
            running_digest=active.digest,
            has_previous=False,
            bake_seconds=self._span.seconds if self._span else None,
            bake_seconds_planned=self.duration,
            serving=str(active),
            failure=self._span.ended_early if self._span else "",
            interrupted=self.interrupted,
            required=dict(required),
            measured=measurement.measured if measurement else None,
        )

    def _exit(self, verdict: Verdict) -> Exit:
        if verdict.decision is Decision.WITHIN_BUDGET:
            return Exit.WITHIN_BUDGET
        if self.interrupted:
            return Exit.INTERRUPTED
        return Exit.OVER_BUDGET if verdict.decision is Decision.OVER_BUDGET else Exit.INCONCLUSIVE

    def _document(
        self, verdict: Verdict, evidence: Evidence, measurement: Measurement | None, status: Exit
    ) -> ReleaseDocument:
        active, clock = self._active, self.site.clock
        findings = [*self.notices, *(measurement.findings if measurement else ())]
        if self._trouble:
            findings.append(f"traffic: {self._trouble}")
        return ReleaseDocument(
            release=self._id,
            kind=KIND,
            version=active.version,
            digest=active.digest,
            slot=str(active.colour),
            previous_version="",
            site=self.settings.site.name,
            platform=self.settings.site.platform,
            who=who_acts(),
            host=socket.gethostname(),
            reason="",
            started_at=instant(self._began_wall),
            finished_at=instant(clock.wall()),
            seconds=clock.monotonic() - self._began,
            outcome=MEASURED,
            exit_status=int(status),
            next_step=_next_step(verdict),
            verdict=verdict,
            evidence=evidence,
            budget=self.budget,
            drift=self.state.drift if self.state else (),
            findings=tuple(findings),
            timeline=tuple(self._timeline),
            buckets=self._buckets(measurement),
            windows=(),
            lost_rows=measurement.lost_rows if measurement else (),
            traffic=traffic_figures(self.traffic_run, measurement),
            settings_digest=digest_of(self.settings),
            tool=f"cakravia-verify {__version__}",
        )

    def _buckets(self, measurement: Measurement | None) -> tuple[Any, ...]:
        return measurement.buckets if measurement else ()


def _seen_by(ledger: Ledger) -> list[str]:
    """Every slot with its version that answered, as in "blue v1"."""
    rows = ledger.query(
        "SELECT DISTINCT concat_ws(' ', by_slot, by_version) AS who FROM ledger "
        "WHERE outcome = 'answered' AND strict AND coalesce(by_slot, by_version) IS NOT NULL ORDER BY who"
    )
    return [str(who) for (who,) in rows]


def _next_step(verdict: Verdict) -> str:
    if verdict.decision is Decision.WITHIN_BUDGET:
        return "Nothing."
    if verdict.decision is Decision.OVER_BUDGET:
        names = ", ".join(check.title.lower() for check in verdict.checks if check.standing is CheckStatus.FAILED)
        return f"The site serves as before, and does not bear this load: see {names or 'the failed checks'} below."
    return "Mend what kept the load from proving anything, then load again. The site serves as before."


def _load_id(version: str, wall: float) -> str:
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in version)[:40]
    return f"{datetime.fromtimestamp(wall, UTC):%Y%m%d-%H%M%S}-load-{safe}-{secrets.token_hex(2)}"
