"""A load on the live site, held against the budget without a release. It switches nothing."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cakravia_verify.analysis.measurement import measure
from cakravia_verify.analysis.model import Measurement
from cakravia_verify.analysis.run_timeline import RunTimeline
from cakravia_verify.errors import CakraviaError, LockHeld, NothingToDo, SettingsError, TrafficError
from cakravia_verify.gate.load import judge_load
from cakravia_verify.gate.model import Decision, Evidence, Exit, Verdict
from cakravia_verify.kinds import LOAD
from cakravia_verify.release.machine import StepEvent
from cakravia_verify.report.document import Event
from cakravia_verify.runs.failures import describe_and_log
from cakravia_verify.runs.load_document import LoadEnd, load_document_of
from cakravia_verify.runs.load_limits import exceeded_budget
from cakravia_verify.runs.session_run import SessionOutcome, SessionRun
from cakravia_verify.site.lock import Lock
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Colour, Slot
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.log_files import LogCuts
from cakravia_verify.traffic.ledger.ledger import Ledger
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.plan.schedule import planned_within
from cakravia_verify.traffic.run import TrafficRun

START_SECONDS = 30.0
WATCH_EVERY = 0.2
SHUTDOWN_SECONDS = 2.0


@dataclass(frozen=True)
class LoadSpan:
    """How many seconds the load flowed, and why it ended early; empty if it did not."""

    seconds: float
    ended_early: str


class LoadRun(SessionRun):
    """One load from `open` to `close`. `duration` is in seconds.

    A release always goes first. A load is refused while a release holds the site, and it ends early when one begins.
    """

    def __init__(self, site: Site, *, duration: float, on_event: Callable[[StepEvent], None] = lambda _: None) -> None:
        super().__init__(site, on_event=on_event)
        self.duration = duration
        self._traffic_run: TrafficRun | None = None
        self._lock = Lock(self.settings.state / "load.lock")
        self._cuts = LogCuts()
        self._id = ""
        self._span: LoadSpan | None = None
        self._trouble = ""
        self._timeline: list[Event] = []
        self._answered_by: tuple[tuple[str, str], ...] = ()

    # Opening: the site is never changed.

    def open(self, *, waiting: Callable[[str], None] = lambda _: None) -> None:
        """Check that a slot serves users and no release runs. Raises UsageError or LockHeld."""
        self.site.proxy.check()
        self._refuse_beside_a_release()
        state = self.site.observe()
        if state.active is None or state.served is None:
            raise NothingToDo(
                "no users are served here, so there is nothing to load",
                remedy="release a first version: cakravia deploy v1.0.0; cakravia status shows the site",
            )
        self.state = state
        self._lock.acquire(f"load for {self.duration:g} s")
        self.notices += [f"drift: {each}" for each in state.drift]
        self._id = _load_id(state.active.version, self._began_wall)
        self._refuse_too_few_requests()

    def _refuse_beside_a_release(self) -> None:
        if holder := self.site.lock.holder():
            raise LockHeld(
                f"a release holds this site: {holder}",
                remedy="wait for it to end, then load again; nothing was changed",
            )

    def _refuse_too_few_requests(self) -> None:
        plan, least = self._plan(), self.settings.budget.min_requests
        planned = planned_within(plan, self.duration)
        if planned < least:
            raise SettingsError(
                f"{self.duration:g} s of this load are {planned:,} requests: too few to prove anything "
                f"(min_requests = {least:,})",
                remedy="load longer (--duration), faster (--rate), or lower [budget] min_requests",
            )

    def close(self) -> None:
        """End all traffic of this load."""
        if self.traffic_run is not None:
            self.traffic_run.kill()
        self._lock.release()

    @property
    def id(self) -> str:
        return self._id

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
    def has_started(self) -> bool:
        return self._traffic_run is not None

    @property
    def traffic_run(self) -> TrafficRun | None:
        return self._traffic_run

    def _plan(self) -> TrafficPlan:
        return self.traffic_plan(self.folder, run=self._id)

    # The load.

    def load(self) -> LoadSpan:
        """Load the site for `duration` seconds, or until the budget is exceeded. Returns how long the load flowed."""
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
        self._traffic_run = traffic_run = TrafficRun(plan, clock=clock, slow=self.settings.budget.p99)
        began = clock.monotonic()
        traffic_run.start(deadline=Deadline("the load flows", START_SECONDS, clock=clock), requests=1)
        self._record("traffic", began, f"{plan.round_trip * 1000:g} ms round trip")
        began = traffic_run.first_planned / 1e6 or clock.monotonic()
        whole = planned_within(plan, self.duration)
        ended_early = ""
        while not ended_early and (left := began + self.duration - clock.monotonic()) > 0:
            clock.sleep(min(WATCH_EVERY, left))
            traffic_run.follow()
            traffic_run.ensure_alive()
            ended_early = exceeded_budget(traffic_run, self.budget, planned=whole)
            if holder := self.site.lock.holder():
                self._trouble = ended_early = f"the load made way for {holder}"
        ended = clock.monotonic()
        traffic_run.stop(deadline=Deadline("requests under way end", plan.longest_timeout + 5, clock=clock))
        span = LoadSpan(ended - began, ended_early)
        self._record("load", began, ended_early or f"{traffic_run.finished:,} requests")
        return span

    def _record(self, step: str, began: float, note: str) -> None:
        now = self.site.clock.monotonic()
        self._timeline.append(Event(step, "done", now - self._began, now - began, note))
        with contextlib.suppress(Exception):
            self.on_event(StepEvent(step, "done", now, now - began, note))

    # Concluding.

    def conclude(self, required: Mapping[str, str]) -> SessionOutcome:
        """Return the verdict on this load. `required` maps the suite's required checks to their outcomes."""
        self._trouble = self._trouble or "; ".join(self.objections)
        if self.traffic_run is not None and self.traffic_run.summary is None:
            self._stop_early()
        measurement = self._measure()
        evidence = self._evidence(required, measurement)
        verdict = judge_load(evidence, self.budget, answered_by=self._answered_by, trouble=self._trouble)
        status = self._exit(verdict)
        ended = LoadEnd(
            id=self._id,
            slot=self._active,
            exit=status,
            verdict=verdict,
            evidence=evidence,
            budget=self.budget,
            measurement=measurement,
            findings=tuple(self._findings(measurement)),
            drift=self.state.drift if self.state else (),
            timeline=tuple(self._timeline),
            began=self._began,
            began_wall=self._began_wall,
        )
        return SessionOutcome(status, verdict, load_document_of(self.site, ended, traffic_run=self.traffic_run))

    def _findings(self, measurement: Measurement | None) -> Iterator[str]:
        yield from self.notices
        yield from measurement.findings if measurement else ()
        if self._trouble:
            yield f"traffic: {self._trouble}"

    def _stop_early(self) -> None:
        assert self.traffic_run is not None
        try:
            self.traffic_run.stop(deadline=Deadline("the load ends", SHUTDOWN_SECONDS, clock=self.site.clock))
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
                self._answered_by = _answered_by(ledger)
                measurement = measure(ledger, timeline, has_application=bool(logs))
                measurement.figures["seen_by"] = [" ".join(filter(None, each)) for each in self._answered_by]
                return measurement
        except Exception as error:
            self._trouble = self._trouble or describe_and_log(error, folder=folder)
            return None

    def _evidence(self, required: Mapping[str, str], measurement: Measurement | None) -> Evidence:
        active = self._active
        return Evidence(
            release=self._id,
            kind=LOAD.name,
            version=active.version,
            candidate=str(active),
            candidate_slot=str(active.colour),
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


def _answered_by(ledger: Ledger) -> tuple[tuple[str, str], ...]:
    """Return slot and version of everything that answered; empty text if an answer did not name it."""
    rows = ledger.query(
        "SELECT DISTINCT coalesce(by_slot, ''), coalesce(by_version, '') FROM ledger "
        "WHERE outcome = 'answered' AND strict AND coalesce(by_slot, by_version) IS NOT NULL ORDER BY ALL"
    )
    return tuple((str(slot), str(version)) for slot, version in rows)


def _load_id(version: str, wall: float) -> str:
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in version)[:40]
    return f"{datetime.fromtimestamp(wall, UTC):%Y%m%d-%H%M%S}-load-{safe}-{secrets.token_hex(2)}"
