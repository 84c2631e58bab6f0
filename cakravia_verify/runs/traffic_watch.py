"""The traffic through one release: sent from before the first step until after the last, watched and measured."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from cakravia_verify.analysis.measurement import measure
from cakravia_verify.analysis.model import Measurement
from cakravia_verify.analysis.recorded_content import recorded_changes
from cakravia_verify.analysis.run_timeline import RunTimeline
from cakravia_verify.analysis.since_switch import began_after, ended_before
from cakravia_verify.analysis.users_left import users_left
from cakravia_verify.errors import CakraviaError, NotHealthy, ReleaseError, TrafficError
from cakravia_verify.kinds import SessionPolicy
from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.release.candidate_watch import CandidateWatch
from cakravia_verify.release.machine import Release, StepEvent
from cakravia_verify.runs.content_watch import ContentWatch
from cakravia_verify.runs.control_sample import planned_between
from cakravia_verify.runs.failures import describe, describe_and_log
from cakravia_verify.runs.growth_watch import GrowthWatch
from cakravia_verify.runs.open_pages import OpenPages
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import NOT_YET, SECOND, Microseconds, to_microseconds, to_seconds
from cakravia_verify.system.log_files import LogCuts
from cakravia_verify.traffic.ledger.ledger import Ledger
from cakravia_verify.traffic.plan.plan import TrafficPlan
from cakravia_verify.traffic.plan.schedule import planned_within
from cakravia_verify.traffic.records.rows import Row
from cakravia_verify.traffic.run import TrafficRun

TRAFFIC_START_SECONDS = 30.0
WARM_UP_REQUESTS = 20
OLD_WORKERS_SECONDS = 1.0
# What a bake may take longer than planned: a last bad round, and the reading of the records.
OVERTIME_SECONDS = 5.0
# How often the version that users are left on is asked after a rollback, and the longest time for it.
LEFT_REQUESTS = 20
LEFT_SECONDS = 5.0


class TrafficWatch:
    """Sends traffic through a release and measures it.

    `trouble` says why something could not be measured; empty if everything could. `accepted` names the kinds of
    requests whose answers may change.
    """

    def __init__(self, release: Release, *, folder: Path, accepted: Collection[str] = ()) -> None:
        self.release = release
        self._accepted = accepted
        self.folder = folder
        self.traffic_run: TrafficRun | None = None
        self.trouble = ""
        self._cuts = LogCuts()
        self._open_pages: OpenPages | None = None
        self._content: ContentWatch | None = None
        self._growth = GrowthWatch(release)
        self._left_at: Microseconds | None = None

    def start(self, plan: TrafficPlan, *, on_event: Callable[[StepEvent], None]) -> None:
        """Start the traffic and stop the release when users suffer more than the budget permits.

        Raises CakraviaError or OSError if it does not flow. A rollback goes on without it, and `trouble` says so.
        """
        try:
            self._start(plan, on_event=on_event)
        except (CakraviaError, OSError) as error:
            if self._policy.needs_traffic:
                raise
            self.trouble = f"no traffic was sent, and users went back without it: {describe(error)}"
            self.end()
            self.traffic_run = None

    def _start(self, plan: TrafficPlan, *, on_event: Callable[[StepEvent], None]) -> None:
        site = self.release.site
        site.bound_logs()
        site.fetch_logs()
        self._cuts.remember(*self._raw_logs())
        self.traffic_run = TrafficRun(plan, clock=site.clock)
        began = site.clock.monotonic()
        on_event(StepEvent("traffic", "begins", began))
        deadline = self.release.deadline("the traffic flows", TRAFFIC_START_SECONDS)
        self.traffic_run.start(deadline=deadline, requests=WARM_UP_REQUESTS)
        now = site.clock.monotonic()
        note = f"{plan.rate:g} requests/s over {plan.users} connections, {plan.round_trip * 1000:g} ms round trip"
        on_event(StepEvent("traffic", "done", now, now - began, note))
        self.release.watchers.append(self.watch)
        # On a site without a version before, no page is open at the switch.
        if not self.release.facts.switchovers:
            self._open_pages = OpenPages(plan)
            self._open_pages.load()
            self._content = self._content_watch(plan)

    def _content_watch(self, plan: TrafficPlan) -> ContentWatch | None:
        """Return the comparison of answers. Going back, and away from an ill version, answers may change."""
        intent, settings = self.release.intent, self.release.site.settings
        if not self._policy.compares_slots or intent.was_ill or not intent.proxy_was_running:
            return None
        content = ContentWatch(plan, accepted=self._accepted, is_required=settings.budget.content == "require")
        content.remember()
        return content

    def preview(self, *, on_event: Callable[[StepEvent], None]) -> None:
        """Compare the candidate's answers with those of the active version, before users are moved.

        Raises ReleaseError if they changed too much.
        """
        release, content = self.release, self._content
        candidate, active = release.facts.candidate, release.intent.active
        if content is None or candidate is None or active is None or release.facts.switchovers:
            return
        proxy, clock, began = release.site.proxy, release.site.clock, release.site.clock.monotonic()
        urls = {colour: proxy.address.url + proxy.path_to(colour) for colour in (active, candidate.colour)}
        try:
            content.preview(active=urls[active], candidate=urls[candidate.colour])
        except ReleaseError as error:
            release.failure = error
            raise
        now = clock.monotonic()
        note = f"{len(content.kinds)} kinds of requests are answered as before"
        on_event(StepEvent("content", "done", now, now - began, note))

    def watch(self) -> None:
        """Raise ReleaseError as soon as users suffer more than the budget permits.

        A rollback goes on if its traffic ends or cannot be followed: it proves nothing then, and is not stopped.
        """
        traffic_run, switchovers = self.traffic_run, self.release.facts.switchovers
        if traffic_run is None or (self.trouble and not self._policy.needs_traffic):
            return
        traffic_run.follow()
        try:
            traffic_run.ensure_alive()
            self._cuts.require_growth(*self._raw_logs())
        except TrafficError as error:
            self.trouble = error.message
            if not self._policy.needs_traffic:
                return
            raise
        if switchovers:
            self._growth.look()
            self._require_budget(traffic_run, switchovers[0])
            if self._open_pages is not None:
                self._open_pages.require_whole(self.release)
            if self._content is not None:
                self._content.require_unchanged(self.release)

    @property
    def _policy(self) -> SessionPolicy:
        return self.release.intent.policy

    def _require_budget(self, traffic_run: TrafficRun, switch: Switchover) -> None:
        sent_since = partial(began_after, effective_at=switch.effective_at)
        old = partial(ended_before, decided_at=switch.decided_at)
        # A rollback does not answer for requests begun on the version it leaves; a deploy answers for those in flight.
        loses = sent_since if self._policy.goes_back else lambda row: not old(row)
        to_come = most_requests(
            traffic_run.plan,
            since=switch.effective_at - traffic_run.first_planned,
            until=self._bake_over_by(traffic_run, switch),
        )
        if traffic_run.plan.streams or traffic_run.plan.locustfile:
            # The plan does not say how often these repeat: assume at most twice what was sent until now.
            to_come = max(to_come, 2 * traffic_run.finished)
        suffered = self._suffered(traffic_run, loses, sent_since, requests=to_come)
        if suffered and self._policy.goes_back:
            # Users do not return to a version that failed them as well.
            before = most_requests(traffic_run.plan, since=NOT_YET, until=switch.decided_at - traffic_run.first_planned)
            if self._suffered(traffic_run, old, old, requests=before):
                return
        if suffered:
            raise ReleaseError(self._logged_out(traffic_run, switch) or suffered)

    def _logged_out(self, traffic_run: TrafficRun, switch: Switchover) -> str:
        """Return that the release logs users out if only steps of sessions opened before the switch failed after it."""
        steps = [
            step
            for opening, step in traffic_run.broken_journeys
            if opening.ended <= switch.decided_at and began_after(step, effective_at=switch.effective_at)
        ]
        failures = (*traffic_run.lost, *traffic_run.unreached, *traffic_run.errors)
        since = {row.id for row in failures if began_after(row, effective_at=switch.effective_at)}
        if not steps or since != {step.id for step in steps}:
            return ""
        first = steps[0]
        return (
            f"the release logs users out: {len(steps)} sessions opened before the switch failed after it, and nothing "
            f"else did: {first.method} {first.name}: {first.detail or first.status}"
        )

    def _bake_over_by(self, traffic_run: TrafficRun, switch: Switchover) -> Microseconds:
        """Return when the bake is over at the latest, since the first planned request."""
        settings, began = self.release.site.settings.release, self.release.facts.bake_began
        if began is None:
            began = (
                to_seconds(switch.effective_at) + settings.confirm_timeout + max(settings.drain, settings.drain_minimum)
            )
        over = max(began + settings.bake, self.release.site.clock.monotonic()) + OVERTIME_SECONDS
        return to_microseconds(over) - traffic_run.first_planned

    def _suffered(
        self, traffic_run: TrafficRun, loses: Callable[[Row], bool], errs: Callable[[Row], bool], *, requests: int
    ) -> str:
        """Return what users suffered beyond the budget, in the rows that count; empty if nothing.

        Errors are a share: `requests` is the largest number that may still bring it back within the budget.
        """
        budget = self.release.site.settings.budget
        bad = [row for row in (*traffic_run.lost, *traffic_run.unreached) if loses(row)]
        if len(bad) > budget.lost:
            return (
                f"users lost {len(bad)} requests since the switch (budget {budget.lost}): "
                f"{bad[0].method} {bad[0].name}: {bad[0].detail or bad[0].status}"
            )
        errors = [row for row in traffic_run.errors if errs(row)]
        if len(errors) > budget.errors * requests:
            first = errors[0]
            return (
                f"users got {len(errors)} error answers since the switch (budget {budget.errors:.3%}): "
                f"{first.method} {first.name}: status {first.status}"
            )
        return ""

    def so_far(self) -> Measurement | None:
        """Measure the traffic until now, once every request planned until now ended. Returns None if that failed.

        The traffic flows on; `trouble` says what failed.
        """
        if self.traffic_run is None:
            return None
        try:
            deadline = self.release.deadline("requests under way end", self.traffic_run.plan.longest_timeout + 1)
            until = self.traffic_run.settle(deadline=deadline, watch=self._watch_candidate())
            if self._content is not None and self.release.facts.switchovers:
                self._content.visit()
            return self._measure(until)
        except NotHealthy as error:
            self.release.failure = self.release.failure or error
            return None
        except Exception as error:  # whatever kept it from being measured: the gate then has no figures
            self.trouble = self.trouble or describe_and_log(error, folder=self.folder)
            return None

    def _watch_candidate(self) -> Callable[[], None]:
        """Return what looks at the candidate while users are on it."""
        facts = self.release.facts
        if facts.candidate is None or not facts.switchovers:
            return lambda: None
        return CandidateWatch(self.release, facts.candidate).look

    def at_the_end(self, *, grace: float | None = None) -> Measurement | None:
        """End the traffic and measure all of it. `grace` limits, in seconds, the wait for open requests."""
        if self.traffic_run is None:
            return None
        seconds = self.traffic_run.plan.longest_timeout + 1 if grace is None else grace
        try:
            self.traffic_run.stop(deadline=self.release.deadline("the traffic ends", seconds))
        except (CakraviaError, OSError) as error:
            self.trouble = self.trouble or describe(error)
            self.traffic_run.kill()
        try:
            return self._measure(None)
        except Exception as error:
            self.trouble = self.trouble or describe_and_log(error, folder=self.folder)
            return None

    def ask_version_of_users(self) -> None:
        """Let the traffic ask the version that users are left on, now that the release is undone.

        It may fail now: a migration may have changed its data. Returns after LEFT_REQUESTS more, or LEFT_SECONDS.
        """
        release, clock = self.release, self.release.site.clock
        if self.traffic_run is None or self.trouble or release.shutdown_deadline is not None:
            return
        if release.intent.active is None or not self.traffic_run.is_alive:
            return
        began = clock.monotonic()
        self._left_at = to_microseconds(began)
        zero = to_seconds(self.traffic_run.first_planned)
        while clock.monotonic() - began < LEFT_SECONDS:
            clock.sleep(0.05)
            if planned_between(self.traffic_run.plan, began - zero, clock.monotonic() - zero) >= LEFT_REQUESTS:
                return

    def end(self) -> None:
        """End the traffic at once."""
        if self.traffic_run is not None:
            self.traffic_run.kill()

    def _measure(self, until: Microseconds | None) -> Measurement:
        assert self.traffic_run is not None
        site, folder = self.release.site, self.folder
        self._cuts.require_growth(*self._raw_logs())
        requests = folder / "requests.csv"
        if until is not None:
            # Copy the client's records first: the logs copied afterwards then hold every request in them.
            requests = folder / ".requests-so-far.csv"
            self.traffic_run.copy_requests(requests)
        site.fetch_logs()
        access = self._cuts.copy(site.proxy.access_log, folder / "access.log")
        written = {
            colour: self._cuts.copy_written(site.platform.request_log(colour), folder / f"application-{colour}.log")
            for colour in Colour
        }
        logs = [copied for copied in written.values() if copied]
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
                timeline = self._timeline(until)
                measurement = measure(
                    ledger, timeline, has_application=has_application, unlogged=self._unlogged(written, timeline)
                )
                if self._content is not None:
                    measurement = self._content.added_to(measurement, recorded_changes(ledger, timeline))
                measurement = self._growth.added_to(measurement)
                if self._left_at is not None:
                    left = users_left(ledger, timeline, left_at=self._left_at)
                    measurement = replace(measurement, figures={**measurement.figures, "users_left": left})
            return self._open_pages.added_to(measurement, self.release) if self._open_pages else measurement
        finally:
            if until is not None:
                requests.unlink(missing_ok=True)
                shutil.rmtree(target, ignore_errors=True)

    def _raw_logs(self) -> list[Path]:
        site = self.release.site
        logs = [site.proxy.access_log, *(site.platform.request_log(colour) for colour in Colour)]
        return [path for path in logs if path is not None]

    def _unlogged(self, written: Mapping[Colour, Path | None], timeline: RunTimeline) -> Colour | None:
        """Return the new slot if it logged no request of this run and the old slot did; otherwise None."""
        first = timeline.first
        if first is None or not timeline.has_previous or written[first.colour] is not None:
            return None
        before = written[first.colour.other]
        return first.colour if before is not None and _names(before, self.release.id) else None

    def _slots_with_users(self) -> set[Colour]:
        facts = self.release.facts
        slots = {facts.candidate.colour} if facts.switchovers and facts.candidate else set()
        return slots | ({self.release.intent.active} if self.release.intent.active else set())

    def _timeline(self, until: Microseconds | None) -> RunTimeline:
        assert self.traffic_run is not None
        intent, settings = self.release.intent, self.release.site.settings
        touched = next((m.at for m in self.release.events if m.step == "prepare" and m.kind == "begins"), None)
        # After a reload the old workers may pass one more request of every kept connection to the old slot.
        grace = settings.proxy.keepalive_min + OLD_WORKERS_SECONDS if settings.proxy.switch == "reload" else 0.0
        return RunTimeline(
            touched=None if touched is None else to_microseconds(touched),
            switchovers=tuple(self.release.facts.switchovers),
            until=until,
            rate=self.traffic_run.plan.rate,
            expected=partial(planned_within, self.traffic_run.plan),
            has_previous=intent.active is not None,
            grace=to_microseconds(grace),
            followed=self.traffic_run.counts,
            streams=self.traffic_run.plan.streams,
            version=intent.version,
            entries=tuple(entry.name for entry in self.traffic_run.plan.mix),
            warm_up=to_microseconds(settings.budget.judge_warm_up) if intent.policy.compares_slots else None,
        )


def most_requests(plan: TrafficPlan, *, since: Microseconds, until: Microseconds) -> int:
    """How many requests the plan can make between two instants at the most, counted from its first one."""
    arrivals = planned_within(plan, math.ceil(until / SECOND)) - planned_within(plan, since // SECOND)
    return max(0, arrivals) * max(1 + len(entry.steps) for entry in plan.mix)


def _names(log: Path, run: str) -> bool:
    """Return True if a line of the log names the run."""
    with log.open("rb") as lines:
        return any(run.encode() in line for line in lines)
