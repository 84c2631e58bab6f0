"""One release run: the release, the traffic through it, and what follows from the gate's verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cakravia_verify.analysis.model import Measurement
from cakravia_verify.errors import CompanionFailed, ReleaseError, UsageError
from cakravia_verify.gate.model import Budget, CheckStatus, Decision, Evidence, Exit, Measured, Verdict
from cakravia_verify.gate.rules import is_candidate_well, judge, traffic_checks
from cakravia_verify.history.releases import PROMOTED, ROLLED_BACK, STUCK, UNPROVEN
from cakravia_verify.recovery.warm_slot import warm_again
from cakravia_verify.release.hooks import ReleaseEnd, moments_of, tell_hooks, with_hooks
from cakravia_verify.release.machine import Release, StepEvent
from cakravia_verify.release.steps import STEPS
from cakravia_verify.runs.build_log import keep_build_log
from cakravia_verify.runs.carry_out import keep_users, promote, roll_back
from cakravia_verify.runs.control_sample import gather_control_sample
from cakravia_verify.runs.document import NOT_BEGUN, Ending, RunEnd, document_of
from cakravia_verify.runs.evidence import EndState, evidence_of, observe_end
from cakravia_verify.runs.hook_log import hook_notices, write_hook_log
from cakravia_verify.runs.migration_watch import watch_migration
from cakravia_verify.runs.preflight import require_answers, require_enough_requests, require_known
from cakravia_verify.runs.preparation import Preparation, Request, prepare_run, reload_in_words
from cakravia_verify.runs.session_run import SessionOutcome, SessionRun
from cakravia_verify.runs.traffic_watch import TrafficWatch
from cakravia_verify.runs.users_first import MovedUsers, leave_out_proof
from cakravia_verify.settings.policy import policy_lines
from cakravia_verify.setup.backup import make_backup
from cakravia_verify.site.site import Site
from cakravia_verify.system.resources import DescriptorReserve, full_disks
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.run import TrafficRun

# Pipelines grant 7.5 s between SIGTERM and SIGKILL. All waits together may take this long; the rest is for measuring
# and for the report.
SHUTDOWN_SECONDS = 3.0
# How many requests of each kind the bake plans: this times the answers that are needed, and some more.
_RESERVE: Final = 1.25
_MORE: Final = 2


@dataclass(frozen=True)
class Weighed:
    """The gate's verdict and what it is based on. `snapshot` is None if the traffic was not measured for it."""

    evidence: Evidence
    verdict: Verdict
    snapshot: Measurement | None


class ReleaseRun(SessionRun):
    """One release from `open` to `close`: it goes forward, or back. The run holds the site's lock.

    With `moved`, users are on the rollback target already, or a release failed to bring them there; this run goes on
    from there.
    """

    def __init__(
        self,
        site: Site,
        request: Request,
        *,
        on_event: Callable[[StepEvent], None] = lambda _: None,
        moved: MovedUsers | None = None,
    ) -> None:
        super().__init__(site, on_event=on_event)
        self.request = request
        self._moved = moved
        self._release: Release | None = None
        self._traffic_watch: TrafficWatch | None = None
        self._reserve = DescriptorReserve()
        self._has_started = False

    # Opening: only what an earlier release left unfinished is changed.

    def open(self, *, waiting: Callable[[str], None] = lambda _: None) -> None:
        """Take the lock, finish or undo earlier releases, and decide what this one will do.

        Raises UsageError, LockHeld or RollbackFailed.
        """
        self._reserve.take()
        if self._moved is not None:
            self._go_on_from(self._moved)
            return
        self.site.platform.check()
        self.site.proxy.check()
        plan = self.traffic_plan(self.settings.reports, run="unnamed")
        require_known(self.request.accept_changes, plan)
        if not self.request.policy.goes_back:
            require_enough_requests(self.settings, plan)
        preparation = prepare_run(self.request, self.site, on_event=self.on_event, waiting=waiting)
        self._require_answers(plan, preparation)
        self.state = preparation.state
        self.notices += (*policy_lines(self.settings.reviewed, self.settings.budget), *preparation.notices)
        self.notices += reload_in_words(self.site, preparation.state)
        self.notices += self._back_up()
        steps = with_hooks(STEPS, self.settings.hooks)
        self._release = Release(self.site, preparation.intent, steps, target=preparation.target, on_event=self.on_event)
        self._release.migration_guard = self._guard_migration
        self._release.permitted_digest = self.request.only_digest

    def _go_on_from(self, moved: MovedUsers) -> None:
        """Make the release of another site object of this process the release of this run, with its lock."""
        self.site.lock, self.site.journal.token = moved.site.lock, moved.site.journal.token
        self.state = moved.preparation.state
        self.notices += moved.preparation.notices
        self._release = release = moved.release
        release.site, release.on_event = self.site, self.on_event
        began = release.events[0].at if release.events else self._began
        self._began_wall -= self._began - began
        self._began = began
        if release.failure is None:
            self.notices.append("users went back first (--now); the traffic begins after the switch")

    def _require_answers(self, plan: TrafficPlan, preparation: Preparation) -> None:
        """Refuse settings that the active version shows to be impossible. The site is free then."""
        intent, active = preparation.intent, preparation.state.active
        if active is None or not intent.proxy_was_running or intent.was_ill or intent.policy.goes_back:
            return
        try:
            require_answers(self.settings, plan, active)
        except BaseException:
            self.site.lock.release()
            raise

    def _back_up(self) -> tuple[str, ...]:
        """Archive the site before the first step. Returns a line if that failed: a full disk stops no release.

        A rollback makes no archive: its users wait.
        """
        if self.request.policy.goes_back or not self.settings.release.backups:
            return ()
        reason = f"before {self.request.kind} {self.request.version}"
        try:
            make_backup(self.settings, reason=reason, wall=self.site.clock.wall())
        except UsageError as error:
            return (f"no backup was made: {error.message}",)
        return ()

    def close(self) -> None:
        """End all traffic of this run and free the site for the next release."""
        self._reserve.give_back()
        if self._traffic_watch is not None:
            self._traffic_watch.end()
        self.site.lock.release()

    # Going forward.

    @property
    def release(self) -> Release:
        if self._release is None:
            raise ReleaseError("the release run was not opened")
        return self._release

    @property
    def id(self) -> str:
        return self.release.id

    @property
    def subject(self) -> str:
        return self.release.intent.version

    @property
    def introduction(self) -> tuple[str, ...]:
        intent = self.release.intent
        users = f"users are on {intent.active} ({intent.active_version or 'unknown'})"
        if self.has_moved_users_first and self.release.failure is None:
            users = "users are there already"
        return (
            f"{intent.policy.opening} {intent.version} into {intent.candidate}; "
            f"{users if intent.active else 'the site is empty'}",
            f"release {intent.release}",
        )

    @property
    def has_started(self) -> bool:
        return self._has_started or self._moved is not None

    @property
    def has_moved_users_first(self) -> bool:
        """Whether users were on the target before this run began to prove it."""
        return self._moved is not None

    @property
    def traffic_watch(self) -> TrafficWatch:
        """The traffic through this release, and its measurement."""
        if self._traffic_watch is None:
            accepted = self.request.accept_changes
            self._traffic_watch = TrafficWatch(self.release, folder=self.folder, accepted=accepted)
        return self._traffic_watch

    @property
    def traffic_run(self) -> TrafficRun | None:
        """The traffic, once it flows."""
        return self._traffic_watch.traffic_run if self._traffic_watch else None

    def begin(self) -> None:
        """Record the release in the history and start the traffic if the site has users."""
        if self._has_started:
            return
        self._has_started = True
        if self._moved is None:
            self.release.start()
        for notice in self.notices:
            self.site.journal.append("notice", release=self.release.id, text=notice)
        if self.release.intent.active is not None and self.release.intent.proxy_was_running:
            self.traffic_watch.start(self.traffic_plan(self.folder, run=self.release.id), on_event=self.on_event)

    def reach(self, step: str) -> Release:
        """Do every step up to `step` under traffic. Returns the release."""
        self.begin()
        if self.traffic_run is None and not self.traffic_watch.trouble and _comes_after(step, "confirm"):
            self.release.advance("confirm")
            self.traffic_watch.start(self.traffic_plan(self.folder, run=self.release.id), on_event=self.on_event)
        elif _comes_after(step, "smoke"):
            self.release.advance("smoke")
            self.traffic_watch.preview(on_event=self.on_event)
            self._gather_control_sample()
        self.release.advance(step)
        return self.release

    def traffic_plan(self, folder: Path, *, run: str) -> TrafficPlan:
        """Return the plan of this release's traffic. The bake asks for each kind of request often enough.

        Raises SettingsError if [traffic] makes no plan.
        """
        plan, baking, least = super().traffic_plan(folder, run=run), self.settings.release.bake, self.budget.min_each
        # Instants are random, so the plan has a reserve.
        wanted = _RESERVE * least + _MORE if least else 0.0
        return replace(plan, least_share=wanted / max(1.0, baking * plan.rate))

    def _guard_migration(self, name: str) -> AbstractContextManager[None]:
        """Return the watch over users during a migration. A site without users has none to watch."""
        traffic_run = self.traffic_run
        return watch_migration(self.release, traffic_run, name) if traffic_run else nullcontext()

    def _gather_control_sample(self) -> None:
        """Wait until the old slot has answered enough requests for the comparison, if one is required."""
        if self.traffic_run is None or not self.release.intent.policy.compares_slots or self.release.facts.switchovers:
            return
        clock = self.site.clock
        waited = gather_control_sample(self.traffic_run, self.budget, clock=clock, pause=self.release.pause)
        if waited >= 0.1:
            self.on_event(StepEvent("control", "done", clock.monotonic(), waited, "the old slot, for the comparison"))

    def measured_so_far(self) -> Measured | None:
        """Return what the traffic showed until now; None if it could not be measured."""
        snapshot = self.traffic_watch.so_far()
        return snapshot.measured if snapshot else None

    def problems(self, measured: Measured | None, budget: Budget) -> tuple[str, ...]:
        """Return every traffic check that `measured` fails, in words. What was not shown is for the gate to say."""
        checks = traffic_checks(measured or Measured(), budget, has_previous=self._has_previous)
        return tuple(
            f"{check.title}: {check.value} (required: {check.threshold})"
            for check in checks
            if check.standing is CheckStatus.FAILED
        )

    @property
    def _has_previous(self) -> bool:
        return self.release.intent.active is not None and self.release.intent.proxy_was_running

    # Concluding.

    def shorten_waits(self) -> None:
        """Shorten all remaining waits after a signal. Results stay the same."""
        if self.release.shutdown_deadline is None:
            self.release.shutdown_deadline = self.release.deadline("the end", SHUTDOWN_SECONDS)

    def conclude(self, required: Mapping[str, str]) -> SessionOutcome:
        """Weigh what this session showed, act on the verdict, and describe how the release ended.

        `required` maps the suite's required checks to their outcomes.
        """
        self._reserve.give_back()
        if self.interrupted:
            self.shorten_waits()
        weighed = self._weigh(required)
        ending = self._act_on(weighed)
        return self._describe(weighed, ending)

    def _weigh(self, required: Mapping[str, str]) -> Weighed:
        """Return the verdict on what the session showed until now, with what it is based on."""
        release = self.release
        snapshot = None if self.interrupted or release.failure else self.traffic_watch.so_far()
        evidence = self._evidence(required, snapshot)
        return Weighed(evidence, judge(evidence, self.budget), snapshot)

    def _act_on(self, weighed: Weighed) -> Ending:
        """Promote the candidate, keep users on a healthy rollback target, or bring users back.

        Returns the ending. Each exit status of docs/OPERATIONS.md that a concluded release can have is one return.
        """
        release, verdict = self.release, weighed.verdict
        if verdict.is_promote:
            obstacle = promote(release, verdict, folder=self.folder, notices=self.notices)
            if not obstacle:
                return Ending(Exit.PROMOTED, PROMOTED, verdict)
            is_companions = isinstance(release.failure, CompanionFailed)
            decision = Decision.ROLL_BACK if is_companions else Decision.INCONCLUSIVE
            verdict = replace(verdict, decision=decision, why=obstacle)
        if self._keeps_users(weighed.evidence):
            why = "; ".join(filter(None, (self.traffic_watch.trouble, verdict.why)))
            verdict = replace(verdict, decision=Decision.INCONCLUSIVE, why=why)
            if not keep_users(release, verdict, outcome=UNPROVEN, notices=self.notices):
                return Ending(Exit.UNPROVEN, UNPROVEN, verdict)
        outcome = ROLLED_BACK if self.has_started else NOT_BEGUN
        stuck = roll_back(release, verdict, notices=self.notices) if self.has_started else None
        if stuck is not None:
            return Ending(Exit.NEEDS_A_PERSON, STUCK, verdict, stuck)
        if self._traffic_watch is not None:
            self._traffic_watch.ask_version_of_users()
        if self.has_started:
            self.notices += warm_again(self.site, is_over=lambda: release.shutdown_deadline is not None)
        if self.interrupted:
            return Ending(Exit.INTERRUPTED, outcome, verdict)
        if verdict.decision is Decision.ROLL_BACK:
            return Ending(Exit.ROLLED_BACK, outcome, verdict)
        return Ending(Exit.INCONCLUSIVE, outcome, verdict)

    def _describe(self, weighed: Weighed, ending: Ending) -> SessionOutcome:
        """Measure the whole traffic, now that it has ended, and return the outcome with its document."""
        release, evidence, verdict = self.release, weighed.evidence, ending.verdict
        final = self.traffic_watch.at_the_end(grace=release.grace if release.shutdown_deadline else None)
        if weighed.snapshot is None and not verdict.is_promote:
            # The gate had no figures. The checks show those of the whole traffic; the decision stays as it was made.
            evidence = replace(evidence, measured=final.measured if final else None)
            verdict = replace(judge(evidence, self.budget), decision=verdict.decision, why=verdict.why)
        self._tell_hooks(ending)
        self.notices += keep_build_log(self.folder, release)
        self.notices += full_disks((self.settings.state, self.settings.reports))
        ended = RunEnd(
            ending=replace(ending, verdict=verdict),
            evidence=evidence,
            budget=self.budget,
            judged=weighed.snapshot,
            final=final,
            notices=tuple(self.notices),
            trouble=self.traffic_watch.trouble,
            drift=self.state.drift if self.state else (),
            began=self._began,
            began_wall=self._began_wall,
        )
        return SessionOutcome(ending.exit, verdict, document_of(release, ended, traffic_run=self.traffic_run))

    def _tell_hooks(self, ending: Ending) -> None:
        """Tell the operator's hooks how the release ended, now that users are where they stay."""
        release = self.release
        if self.has_started:
            artifact = release.facts.artifact
            ended = ReleaseEnd(ending.outcome, ending.verdict.why, digest=artifact.digest if artifact else "")
            self.notices += tell_hooks(release, moments_of(release.intent, ending.outcome), ended)
        self.notices += hook_notices(release, ending.outcome)
        if release.facts.hooks:
            self.notices += write_hook_log(self.folder, release.facts.hooks)

    def _keeps_users(self, evidence: Evidence) -> bool:
        """Return True if users stay on the candidate without a PROMOTE."""
        if self.has_moved_users_first and isinstance(self.release.failure, KeyboardInterrupt):
            # The operator wants users there, and no longer waits for the proof.
            return leave_out_proof(self.release)
        if self.release.failure is not None or not self.release.intent.policy.keeps_unproven_target:
            return False
        return is_candidate_well(evidence)

    def _evidence(self, required: Mapping[str, str], measurement: Measurement | None) -> Evidence:
        facts = self.release.facts
        end = EndState()
        if facts.confirmed_at is not None and facts.candidate is not None:
            end = observe_end(self.site, facts.candidate)
        self.notices += end.unread
        return evidence_of(
            self.release,
            end,
            required=required,
            measured=measurement.measured if measurement else None,
            has_previous=self._has_previous,
            interrupted=self.interrupted,
            objections=self.objections,
        )


def _comes_after(step: str, other: str) -> bool:
    names = [each.name for each in STEPS]
    return names.index(step) > names.index(other)
