"""One release run: the release, the traffic through it, the evidence, and what is done with the gate's verdict."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cakravia_verify import __version__
from cakravia_verify.deadline import Deadline
from cakravia_verify.errors import (
    CakraviaError,
    JournalError,
    NotConfirmed,
    NothingToDo,
    ReleaseError,
    RollbackFailed,
    TrafficError,
    UsageError,
)
from cakravia_verify.gate import Budget, Decision, Evidence, Exit, Measured, Standing, Verdict, judge, traffic_checks
from cakravia_verify.history import PROMOTED, ROLLED_BACK, STUCK, Intent, previous_of, unfinished
from cakravia_verify.journal import Entry, who_acts
from cakravia_verify.lock import Lease
from cakravia_verify.release import Moment, Release, recover
from cakravia_verify.report.document import Event, ReleaseDocument
from cakravia_verify.report.latest import require_writable
from cakravia_verify.report.measuring import Course, Measurement, Switch, measure
from cakravia_verify.settings import Settings
from cakravia_verify.site import SERVED_SLOT_HEADER, Site, SiteState
from cakravia_verify.slots import Artifact, Colour, checked_version
from cakravia_verify.steps import STEPS
from cakravia_verify.traffic.flow import Flow, plan_of
from cakravia_verify.traffic.ledger import Ledger
from cakravia_verify.traffic.plan import TrafficPlan
from cakravia_verify.traffic.schedule import planned_within

MICROSECONDS = 1_000_000
TRAFFIC_START_SECONDS = 30.0
WARM_UP_REQUESTS = 20
INTERRUPTED_PATIENCE = 2.0


@dataclass(frozen=True)
class Request:
    """What somebody asked for. `version` is empty for a rollback to the version before."""

    kind: str
    version: str
    reason: str = ""
    redeploy: bool = False
    wait: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    exit: Exit
    verdict: Verdict
    document: ReleaseDocument


class ReleaseRun:
    """Holds a site's lock from `open` to `close`; in between one release goes forward, or back."""

    def __init__(self, site: Site, request: Request, *, audience: Callable[[Moment], None] = lambda _: None) -> None:
        self.site = site
        self.settings: Settings = site.settings
        self.request = request
        self.audience = audience
        self.notices: list[str] = []
        self.state: SiteState | None = None
        self.flow: Flow | None = None
        self.outcome: Outcome | None = None
        self.interrupted = ""
        self.objections: list[str] = []
        self._release: Release | None = None
        self._folder: Path | None = None
        self._began_wall = site.clock.wall()
        self._began = site.clock.monotonic()
        self._offsets: dict[Path, int] = {}
        self._sizes: dict[Path, int] = {}
        self._traffic_error = ""
        self.has_started = False

    # Opening: nothing is touched but what an earlier release left half done.

    def open(self, *, waiting: Callable[[str], None] = lambda _: None) -> None:
        """The lock is held, earlier releases are finished or undone, and it is settled what this one will do.

        Raises UsageError, LockHeld or RollbackFailed.
        """
        self.site.platform.check()
        self.site.proxy.check()
        self._traffic_plan(self.settings.reports, run="unnamed")
        self._prefetch()
        self._take_lock(waiting)
        try:
            self._recover()
            self.state = self.site.observe()
            intent, target = self._plan(self.state)
        except BaseException:
            self.site.lock.release()
            raise
        self.notices += [f"drift: {each}" for each in self.state.drift]
        self._release = Release(self.site, intent, STEPS, target=target, audience=self.audience)

    def _prefetch(self) -> None:
        """The version's image or the like is here before anybody has to wait for the lock. A failing build is told when
        it is built: then the history has it."""
        if self.request.version and self.request.kind != "rollback":
            deadline = Deadline("the version is fetched", self.settings.app.build_timeout, clock=self.site.clock)
            try:
                self.site.platform.prefetch(checked_version(self.request.version), deadline=deadline)
            except UsageError:
                raise
            except CakraviaError:
                return

    def _take_lock(self, waiting: Callable[[str], None]) -> None:
        lock = self.site.lock
        purpose = f"{self.request.kind} {self.request.version or 'to the previous version'}"
        if self.request.wait and (holder := lock.holder()):
            waiting(f"waiting up to {self.request.wait:g} s for {holder}")
        wait = Deadline("the lock is free", self.request.wait, clock=self.site.clock) if self.request.wait else None
        lease = lock.acquire(purpose, wait=wait)
        self.site.journal.token = lease.token
        if lock.taken_over:
            self._note_takeover(lock.taken_over)

    def _note_takeover(self, dead: Lease) -> None:
        self.site.journal.append("lock.taken_over", holder=str(dead), holder_token=dead.token)
        self.notices.append(f"took the lock over from {dead}, which is dead")

    def _recover(self) -> None:
        for record in unfinished(self.site.journal.entries()):
            try:
                outcome = recover(self.site, record, STEPS, audience=self.audience)
            except RollbackFailed as error:
                # A person was told already. What gets a site out of this is a working version: let it come.
                if record.outcome != STUCK or self.request.kind != "deploy":
                    raise
                self.notices.append(f"release {record.intent.release} still cannot be undone: {error.message}")
                continue
            self.notices.append(f"recovered release {record.intent.release}: {outcome}")

    def _plan(self, state: SiteState) -> tuple[Intent, Artifact | None]:
        target = self._target(state) if self.request.kind == "rollback" else None
        version = target.version if target else checked_version(self.request.version)
        active = state.active
        if (
            active
            and not self.request.redeploy
            and self._is_active_already(active.version, active.digest, version, target)
        ):
            raise NothingToDo(
                f"{active.version} is active already, on {active.colour}",
                remedy="nothing was touched; --redeploy releases it again",
            )
        colour = state.slots.idle_colour
        idle = state.slots.idle
        intent = Intent(
            release=_release_id(version, self._began_wall),
            kind=self.request.kind,
            version=version,
            candidate=colour,
            active=state.slots.active_colour,
            active_version=active.version if active else "",
            active_digest=active.digest if active else "",
            is_warm=bool(target and idle and (idle.version, idle.digest) == (target.version, target.digest)),
            proxy_was_running=state.proxy.is_running,
            reason=self.request.reason,
        )
        return intent, target

    @staticmethod
    def _is_active_already(running: str, digest: str, version: str, target: Artifact | None) -> bool:
        return running == version and (target is None or digest == target.digest)

    def _target(self, state: SiteState) -> Artifact:
        """The exact artifact to go back to."""
        retained = self.site.platform.retained()
        entries: list[Entry] = self.site.journal.entries()
        if self.request.version:
            wanted = checked_version(self.request.version)
            found = [artifact for artifact in retained if artifact.version == wanted]
        else:
            if state.active is None:
                raise NothingToDo("no version is active, so there is nothing to roll back", remedy="deploy one first")
            record = previous_of(entries, version=state.active.version, digest=state.active.digest)
            if record is None:
                raise NothingToDo(
                    f"there is no version before {state.active.version} in the history",
                    remedy="name one with --version, or deploy the version you want",
                )
            wanted = record.intent.version
            found = [artifact for artifact in retained if artifact.version == wanted]
            found.sort(key=lambda artifact: artifact.digest != record.digest)
        if not found:
            names = ", ".join(dict.fromkeys(artifact.version for artifact in retained)) or "none"
            raise NothingToDo(
                f"version {wanted} is not retained here; retained: {names}",
                remedy="deploy it again from its source: pytest suites/deploy --version " + wanted,
            )
        return found[0]

    def close(self) -> None:
        """The site is free for the next release, and no traffic of this run is left."""
        if self.flow is not None:
            self.flow.kill()
        self.site.lock.release()

    # Going forward.

    @property
    def release(self) -> Release:
        if self._release is None:
            raise ReleaseError("the release run was not opened")
        return self._release

    @property
    def folder(self) -> Path:
        """Where this run's evidence goes."""
        if self._folder is None:
            self._folder = self.settings.reports / self.release.id
        return self._folder

    def begin(self) -> None:
        """The history knows of the release, and users' traffic flows where there are users."""
        if self.has_started:
            return
        self.has_started = True
        self.release.start()
        for notice in self.notices:
            self.site.journal.append("notice", release=self.release.id, text=notice)
        if self.release.intent.active is not None and self.release.intent.proxy_was_running:
            self._start_traffic()

    def reach(self, step: str) -> Release:
        """The release has done every step up to `step`, under traffic."""
        self.begin()
        if self.flow is None and _comes_after(step, "confirm"):
            self.release.advance("confirm")
            self._start_traffic()
        self.release.advance(step)
        return self.release

    def _traffic_plan(self, folder: Path, *, run: str) -> TrafficPlan:
        """Raises SettingsError where [traffic] makes no plan."""
        return plan_of(
            self.settings.traffic,
            address=self.site.proxy.address,
            folder=folder,
            run=run,
            headers=headers_of(self.settings),
            root=self.settings.root,
        )

    def _start_traffic(self) -> None:
        plan = self._traffic_plan(self.folder, run=self.release.id)
        self._remember_offsets()
        self.flow = Flow(plan, clock=self.site.clock)
        began = self.site.clock.monotonic()
        self.audience(Moment("traffic", "begins", began))
        deadline = self.release.deadline("the traffic flows", TRAFFIC_START_SECONDS)
        self.flow.start(deadline=deadline, requests=WARM_UP_REQUESTS)
        now = self.site.clock.monotonic()
        note = f"{plan.rate:g} requests/s over {plan.users} connections, {plan.round_trip * 1000:g} ms round trip"
        self.audience(Moment("traffic", "done", now, now - began, note))
        self.release.watchers.append(self._watch_traffic)

    def _remember_offsets(self) -> None:
        self.site.fetch_logs()
        for path in self._raw_logs():
            with contextlib.suppress(OSError):
                self._offsets[path] = path.stat().st_size

    def _note_log_sizes(self) -> None:
        """Logs of requests only grow during a release. Raises TrafficError for one that lost what it held."""
        for path in self._raw_logs():
            try:
                size = path.stat().st_size
            except OSError:
                size = -1
            if size < self._sizes.get(path, -1):
                raise TrafficError(
                    f"{path} was {'removed' if size < 0 else 'cut'} while the release ran: requests it told of are "
                    "not proven any more",
                    remedy="keep log rotation and people away from it while a release runs",
                )
            self._sizes[path] = size

    def _raw_logs(self) -> list[Path]:
        logs = [self.site.proxy.access_log, *(self.site.platform.request_log(colour) for colour in Colour)]
        return [path for path in logs if path is not None]

    def _watch_traffic(self) -> None:
        """Raises ReleaseError as soon as users suffer more than the budget allows; no need to sit through the rest."""
        flow, budget = self.flow, self.settings.budget
        if flow is None:
            return
        flow.follow()
        try:
            flow.ensure_alive()
        except TrafficError as error:
            self._traffic_error = error.message
            raise
        self._note_log_sizes()
        flips = self.release.seen.flips
        since = flips[0].decided_at * MICROSECONDS if flips else 0
        recent = {
            name: [row for row in rows if (row.done or row.started) >= since]
            for name, rows in (("lost", flow.lost), ("unreached", flow.unreached), ("error", flow.errors))
        }
        if not flips:
            return
        bad = recent["lost"] + recent["unreached"]
        if len(bad) > budget.lost:
            raise ReleaseError(
                f"users lost {len(bad)} requests since the switch (budget {budget.lost}): "
                f"{bad[0].method} {bad[0].name}: {bad[0].detail or bad[0].status}"
            )
        expected = flow.plan.rate * (self.settings.release.bake + self.site.clock.monotonic() - self._began)
        if len(recent["error"]) > budget.errors * expected:
            first = recent["error"][0]
            raise ReleaseError(
                f"users got {len(recent['error'])} error answers since the switch (budget {budget.errors:.3%}): "
                f"{first.method} {first.name}: status {first.status}"
            )

    def measured_so_far(self) -> Measured | None:
        """What the traffic showed up to now; None where it cannot be told."""
        snapshot = self._snapshot()
        return snapshot.measured if snapshot else None

    def problems(self, measured: Measured | None, budget: Budget) -> tuple[str, ...]:
        """Every traffic check that `measured` does not pass, in words."""
        checks = traffic_checks(measured or Measured(), budget, has_previous=self._has_previous)
        return tuple(
            f"{check.title}: {check.value} (required: {check.threshold})"
            for check in checks
            if check.standing is not Standing.PASSED
        )

    @property
    def _has_previous(self) -> bool:
        return self.release.intent.active is not None and self.release.intent.proxy_was_running

    @property
    def budget(self) -> Budget:
        return Budget(**self.settings.budget.model_dump())

    # Concluding.

    def conclude(self, required: Mapping[str, str]) -> Outcome:
        """The verdict on what this session showed, acted upon: promoted, or rolled back under the same traffic.

        `required` maps the suite's required checks to their outcomes.
        """
        release = self.release
        snapshot = None if self.interrupted or release.failure else self._snapshot()
        evidence = self._evidence(required, snapshot)
        verdict = judge(evidence, self.budget)
        stuck: CakraviaError | None = None
        if verdict.is_promote and (refused := self._promote(verdict)):
            verdict = replace(verdict, decision=Decision.INCONCLUSIVE, why=refused)
        if not verdict.is_promote and self.has_started:
            release.record_verdict(verdict.decision, why=verdict.why)
            stuck = self._roll_back(verdict)
        final = self._final_measurement()
        if not verdict.is_promote and snapshot is None:
            evidence = replace(evidence, measured=final.measured if final else None)
            verdict = replace(judge(evidence, self.budget), decision=verdict.decision, why=verdict.why)
        status = self._exit(verdict, stuck)
        document = self._document(verdict, evidence, snapshot, final, status=status, stuck=stuck)
        self.outcome = Outcome(status, verdict, document)
        return self.outcome

    def _snapshot(self) -> Measurement | None:
        """The ledger up to now, with every request planned until now ended; the traffic flows on."""
        if self.flow is None:
            return None
        try:
            deadline = self.release.deadline("requests under way end", self.flow.plan.longest_timeout + 1)
            cut = self.flow.settle(deadline=deadline)
            return self._measure(cut)
        except (CakraviaError, OSError) as error:
            self._traffic_error = self._traffic_error or _said(error)
            return None

    def _final_measurement(self) -> Measurement | None:
        if self.flow is None:
            return None
        try:
            seconds = INTERRUPTED_PATIENCE if self.interrupted else self.flow.plan.longest_timeout + 1
            self.flow.stop(deadline=self.release.deadline("the traffic ends", seconds))
        except (CakraviaError, OSError) as error:
            self._traffic_error = self._traffic_error or _said(error)
            self.flow.kill()
        try:
            return self._measure(None)
        except (CakraviaError, OSError) as error:
            self._traffic_error = self._traffic_error or _said(error)
            return None

    def _measure(self, until: int | None) -> Measurement:
        assert self.flow is not None
        self._note_log_sizes()
        folder = self.folder
        requests = folder / "requests.csv"
        if until is not None:
            # The client's records first: whatever they hold, the logs copied afterwards know already.
            requests = folder / ".requests-so-far.csv"
            self.flow.copy_requests(requests)
        self.site.fetch_logs()
        access = self._cut(self.site.proxy.access_log, folder / "access.log")
        logs = [
            copied
            for colour in Colour
            if (copied := self._cut(self.site.platform.request_log(colour), folder / f"application-{colour}.log"))
        ]
        has_application = bool(logs) and len(logs) == len(self._slots_with_users())
        target = folder if until is None else folder / ".so-far"
        try:
            with Ledger.build(
                target,
                requests=requests,
                access_log=access,
                application_logs=logs if has_application else (),
                events=folder / "events.csv" if (folder / "events.csv").exists() else None,
                traffic=folder / "traffic.json" if until is None else None,
                run=self.release.id,
            ) as ledger:
                return measure(ledger, self._course(until), has_application=has_application)
        finally:
            if until is not None:
                requests.unlink(missing_ok=True)
                shutil.rmtree(target, ignore_errors=True)

    def _slots_with_users(self) -> set[Colour]:
        seen = self.release.seen
        slots = {seen.candidate.colour} if seen.flips and seen.candidate else set()
        return slots | ({self.release.intent.active} if self.release.intent.active else set())

    def _cut(self, source: Path | None, target: Path) -> Path | None:
        """This run's part of a log that other runs wrote to as well; None where there is no such log."""
        if source is None or not source.exists():
            return None
        with source.open("rb") as whole, target.open("wb") as part:
            start = self._offsets.get(source, 0)
            whole.seek(start if start <= source.stat().st_size else 0)
            shutil.copyfileobj(whole, part)
        if target.name.startswith("application-") and not target.stat().st_size:
            target.unlink()
            return None
        return target

    def _course(self, until: int | None) -> Course:
        assert self.flow is not None
        intent = self.release.intent
        touched = next((m.at for m in self.release.moments if m.step == "prepare" and m.kind == "begins"), None)
        switches = []
        for flip in self.release.seen.flips:
            old = None if intent.active is None else flip.colour.other
            switches.append(
                Switch(old, flip.colour, int(flip.decided_at * MICROSECONDS), int(flip.effective_at * MICROSECONDS) + 1)
            )
        return Course(
            touched=int(touched * MICROSECONDS) if touched is not None else None,
            switches=tuple(switches),
            until=until,
            rate=self.flow.plan.rate,
            expected=partial(planned_within, self.flow.plan),
            reload=self.settings.proxy.switch == "reload",
            followed=self.flow.counts,
            streams=self.flow.plan.streams,
            judge_warm_up=int(self.budget.judge_warm_up * MICROSECONDS) if intent.kind == "deploy" else None,
        )

    def _evidence(self, required: Mapping[str, str], measurement: Measurement | None) -> Evidence:
        release, seen, settings = self.release, self.release.seen, self.settings
        baked = None if seen.bake_began is None or seen.bake_ended is None else seen.bake_ended - seen.bake_began
        serving, running_digest = "", ""
        if seen.confirmed_at is not None and seen.candidate is not None:
            served = self.site.serving()
            running = self.site.platform.observe(seen.candidate.colour)
            running_digest = running.digest if running and running.identity == seen.candidate.identity else "gone"
            serving = f"{served.slot or 'nobody'} ({served.version or seen.candidate.version})"
        failure = _said(release.failure) if release.failure and not self.interrupted else ""
        return Evidence(
            release=release.id,
            kind=release.intent.kind,
            version=release.intent.version,
            candidate=str(seen.candidate) if seen.candidate else "",
            built_digest=seen.artifact.digest if seen.artifact else "",
            running_digest=running_digest,
            has_previous=self._has_previous,
            health_rounds=seen.good_rounds,
            health_rounds_needed=settings.health.consecutive,
            bake_rounds=seen.bake_rounds if seen.bake_ended else 0,
            bake_bad_rounds=seen.bake_bad_rounds,
            bake_seconds=baked,
            bake_seconds_planned=settings.release.bake,
            smoke_passed=seen.smoke_passed,
            smoke_planned=len(settings.release.smoke),
            confirmations=seen.confirmations,
            confirmations_needed=settings.release.confirmations,
            serving=serving,
            failure=failure,
            interrupted=self.interrupted,
            required=dict(required),
            measured=measurement.measured if measurement else None,
            objections=tuple(self.objections),
        )

    def _promote(self, verdict: Verdict) -> str:
        """Why the promotion could not be made, '' where it was.

        A verdict that cannot be left for others to read, or written into the history, promotes nothing; nor does one
        whose candidate lost the users since.
        """
        release = self.release
        try:
            require_writable(self.folder)
            release.record_verdict(verdict.decision, why=verdict.why)
            release.advance("promote")
        except (UsageError, JournalError, NotConfirmed) as error:
            return f"not promoted, for {error.message}"
        except CakraviaError as error:
            # The candidate serves and has earned it; what is left undone is finished by the next command.
            self.notices.append(f"promoted, but the old slot could not be retired: {error.message}")
            return ""
        digest = release.seen.artifact.digest if release.seen.artifact else ""
        try:
            release.advance("cleanup")
            release.finish(PROMOTED, digest=digest)
        except CakraviaError as error:
            self.notices.append(f"promoted, but tidying up failed: {error.message}")
        return ""

    def _roll_back(self, verdict: Verdict) -> CakraviaError | None:
        release = self.release
        if self.interrupted:
            release.patience = INTERRUPTED_PATIENCE
        try:
            release.roll_back(verdict.why)
        except (RollbackFailed, CakraviaError) as error:
            self.notices.append(f"the rollback stopped: {error.message}")
            with contextlib.suppress(CakraviaError):
                release.finish(STUCK, why=error.message)
            return error
        try:
            release.finish(ROLLED_BACK, why=verdict.why)
        except JournalError as error:
            self.notices.append(f"users are back, but the history does not know it yet: {error.message}")
        return None

    def _exit(self, verdict: Verdict, stuck: CakraviaError | None) -> Exit:
        if stuck is not None:
            return Exit.NEEDS_A_PERSON
        if verdict.is_promote:
            return Exit.PROMOTED
        if self.interrupted:
            return Exit.INTERRUPTED
        return Exit.ROLLED_BACK if verdict.decision is Decision.ROLL_BACK else Exit.INCONCLUSIVE

    def _document(
        self,
        verdict: Verdict,
        evidence: Evidence,
        snapshot: Measurement | None,
        final: Measurement | None,
        *,
        status: Exit,
        stuck: CakraviaError | None,
    ) -> ReleaseDocument:
        release, intent = self.release, self.release.intent
        shown = final or snapshot
        now = self.site.clock.wall()
        findings = [*self.notices, *(shown.findings if shown else ())]
        if self._traffic_error:
            findings.append(f"traffic: {self._traffic_error}")
        if (
            verdict.is_promote
            and final
            and (late := (final.measured.lost or 0) - (evidence.measured.lost or 0 if evidence.measured else 0)) > 0
        ):
            findings.append(f"{late} more requests were lost after the verdict, while the old slot retired")
        return ReleaseDocument(
            release=release.id,
            kind=intent.kind,
            version=intent.version,
            digest=release.seen.artifact.digest if release.seen.artifact else "",
            slot=str(intent.candidate),
            previous_version=intent.active_version,
            site=self.settings.site.name,
            platform=self.settings.site.platform,
            who=who_acts(),
            host=socket.gethostname(),
            reason=intent.reason,
            started_at=_instant(self._began_wall),
            finished_at=_instant(now),
            seconds=self.site.clock.monotonic() - self._began,
            outcome=STUCK
            if stuck
            else PROMOTED
            if verdict.is_promote
            else ROLLED_BACK
            if self.has_started
            else "not begun",
            exit_status=int(status),
            next_step=self._next_step(verdict, stuck),
            verdict=verdict,
            evidence=evidence,
            budget=self.budget,
            drift=self.state.drift if self.state else (),
            findings=tuple(findings),
            timeline=self._timeline(),
            buckets=shown.buckets if shown else (),
            windows=shown.windows if shown else (),
            lost_rows=shown.lost_rows if shown else (),
            traffic=self._traffic_figures(shown),
            switched_at=self._flipped_at(0),
            returned_at=self._flipped_at(1),
            switch_seconds=self._switch_seconds(),
            settings_digest=digest_of(self.settings),
            tool=f"cakravia-verify {__version__}",
        )

    @property
    def _zero(self) -> float:
        """The instant that the report counts from: when the release first touched anything."""
        touched = (m.at for m in self.release.moments if m.step == "prepare" and m.kind == "begins")
        return next(touched, self._began)

    def _flipped_at(self, index: int) -> float | None:
        flips = self.release.seen.flips
        return flips[index].effective_at - self._zero if index < len(flips) else None

    def _switch_seconds(self) -> float | None:
        """From the decision to its effect; starting a proxy on an empty site is no switch."""
        flips = self.release.seen.flips
        return flips[0].effective_at - flips[0].decided_at if flips and self._has_previous else None

    def _timeline(self) -> tuple[Event, ...]:
        return tuple(
            Event(m.step, m.kind, m.at - self._zero, m.seconds, m.note)
            for m in self.release.moments
            if m.kind != "begins"
        )

    def _traffic_figures(self, shown: Measurement | None) -> dict[str, Any]:
        if self.flow is None:
            return {}
        plan = self.flow.plan
        figures: dict[str, Any] = {
            "users": plan.users,
            "rate": plan.rate,
            "arrivals": plan.arrivals,
            "round_trip": plan.round_trip,
            "timeout": plan.timeout,
        }
        if shown:
            figures |= shown.figures
            figures["total"] = {
                name: getattr(shown.measured, name)
                for name in (
                    "sent",
                    "answered",
                    "lost",
                    "errors",
                    "unreached",
                    "duplicated",
                    "lost_bound",
                    "idle_closes",
                )
            }
        if self.flow.summary:
            figures["summary"] = self.flow.summary.raw
        return figures

    def _next_step(self, verdict: Verdict, stuck: CakraviaError | None) -> str:
        intent = self.release.intent
        if stuck is not None:
            return (
                f"The rollback stopped: {stuck.message}. Nothing that serves users was stopped. "
                f"{stuck.remedy + '. ' if stuck.remedy else ''}Look at 'cakravia status', then run 'cakravia recover'."
            )
        if verdict.is_promote:
            back = (
                f" To go back: pytest suites/rollback --reason '...' (to {intent.active_version})."
                if intent.active_version
                else ""
            )
            return f"{intent.version} serves users on {intent.candidate}.{back}"
        if not self.has_started:
            return "Nothing was touched."
        where = (
            f"Users are on {intent.active} ({intent.active_version})."
            if intent.active
            else "The site is as empty as before."
        )
        return f"{where} Mend what failed and release again."


def _comes_after(step: str, other: str) -> bool:
    names = [each.name for each in STEPS]
    return names.index(step) > names.index(other)


def _release_id(version: str, wall: float) -> str:
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in version)[:40]
    return f"{datetime.fromtimestamp(wall, UTC):%Y%m%d-%H%M%S}-{safe}-{secrets.token_hex(2)}"


def _instant(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")


def _said(error: BaseException) -> str:
    return error.message if isinstance(error, CakraviaError) else f"{type(error).__name__}: {error}"


def headers_of(settings: Settings) -> dict[str, str]:
    """The names of the headers by which answers tell their slot and version."""
    contract = settings.contract
    return {"slot": contract.slot_header, "version": contract.version_header, "served": SERVED_SLOT_HEADER}


def digest_of(settings: Settings) -> str:
    """What the settings were, without what may be secret."""
    shown = settings.model_dump_json(exclude={"root": True, "app": {"environment"}})
    return f"sha256:{hashlib.sha256(shown.encode()).hexdigest()}"
