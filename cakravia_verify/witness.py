"""What the traffic of one release shows: sent from before the first step to after the last, watched, and measured."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cakravia_verify.errors import CakraviaError, ReleaseError, TrafficError
from cakravia_verify.log_cuts import LogCuts
from cakravia_verify.proxy.switching import Flip
from cakravia_verify.release import Moment, Release
from cakravia_verify.report.measuring import Course, Measurement, Switch, measure
from cakravia_verify.slots import Colour
from cakravia_verify.traffic.flow import Flow
from cakravia_verify.traffic.ledger import Ledger
from cakravia_verify.traffic.plan import TrafficPlan
from cakravia_verify.traffic.records import Row
from cakravia_verify.traffic.schedule import planned_within

MICROSECONDS = 1_000_000
TRAFFIC_START_SECONDS = 30.0
WARM_UP_REQUESTS = 20
OLD_WORKERS_SECONDS = 1.0


class Witness:
    """Sends users' traffic through a release and tells what it showed.

    `trouble` says in words why something could not be measured, '' where everything could.
    """

    def __init__(self, release: Release, *, folder: Path) -> None:
        self.release = release
        self.folder = folder
        self.flow: Flow | None = None
        self.trouble = ""
        self._cuts = LogCuts()

    def start(self, plan: TrafficPlan, *, audience: Callable[[Moment], None]) -> None:
        """The traffic flows, and whoever waits in the release is told when users suffer.

        Raises CakraviaError or OSError where it does not flow; a rollback goes on without, and `trouble` says so.
        """
        try:
            self._start(plan, audience=audience)
        except (CakraviaError, OSError) as error:
            if not self._goes_back:
                raise
            self.trouble = f"there was none, and users went back without it: {said(error)}"
            self.end()
            self.flow = None

    def _start(self, plan: TrafficPlan, *, audience: Callable[[Moment], None]) -> None:
        site = self.release.site
        site.bound_logs()
        site.fetch_logs()
        self._cuts.remember(*self._raw_logs())
        self.flow = Flow(plan, clock=site.clock)
        began = site.clock.monotonic()
        audience(Moment("traffic", "begins", began))
        deadline = self.release.deadline("the traffic flows", TRAFFIC_START_SECONDS)
        self.flow.start(deadline=deadline, requests=WARM_UP_REQUESTS)
        now = site.clock.monotonic()
        note = f"{plan.rate:g} requests/s over {plan.users} connections, {plan.round_trip * 1000:g} ms round trip"
        audience(Moment("traffic", "done", now, now - began, note))
        self.release.watchers.append(self.watch)

    def watch(self) -> None:
        """Raises ReleaseError as soon as users suffer more than the budget allows; no need to sit through the rest.

        A rollback goes on without traffic that ends or cannot be followed: it proves nothing then, and is not stopped.
        """
        flow, flips = self.flow, self.release.seen.flips
        if flow is None or (self.trouble and self._goes_back):
            return
        flow.follow()
        try:
            flow.ensure_alive()
            self._cuts.require_growth(*self._raw_logs())
        except TrafficError as error:
            self.trouble = error.message
            if self._goes_back:
                return
            raise
        if flips:
            self._require_budget(flow, flips[0])

    @property
    def _goes_back(self) -> bool:
        return self.release.intent.kind == "rollback"

    def _require_budget(self, flow: Flow, switch: Flip) -> None:
        decided, effective = switch.decided_at * MICROSECONDS, switch.effective_at * MICROSECONDS
        if not self._goes_back:
            suffered = self._suffered(flow, lambda row: (row.done or row.started) >= decided)
        else:
            # What began on the version left is its own; and users do not return to one that failed them as well.
            suffered = self._suffered(flow, lambda row: row.started >= effective)
            if suffered and self._suffered(flow, lambda row: (row.done or row.started) < decided):
                return
        if suffered:
            raise ReleaseError(suffered)

    def _suffered(self, flow: Flow, counts: Callable[[Row], bool]) -> str:
        """What users suffered beyond the budget, in words, in the requests that count; '' where they did not."""
        settings, clock = self.release.site.settings, self.release.site.clock
        budget = settings.budget
        bad = [row for row in (*flow.lost, *flow.unreached) if counts(row)]
        if len(bad) > budget.lost:
            return (
                f"users lost {len(bad)} requests since the switch (budget {budget.lost}): "
                f"{bad[0].method} {bad[0].name}: {bad[0].detail or bad[0].status}"
            )
        errors = [row for row in flow.errors if counts(row)]
        flowing = clock.monotonic() - flow.first_planned / MICROSECONDS
        if len(errors) > budget.errors * flow.plan.rate * (settings.release.bake + flowing):
            first = errors[0]
            return (
                f"users got {len(errors)} error answers since the switch (budget {budget.errors:.3%}): "
                f"{first.method} {first.name}: status {first.status}"
            )
        return ""

    def so_far(self) -> Measurement | None:
        """The ledger up to now, every request planned until now ended; the traffic flows on. None: see `trouble`."""
        if self.flow is None:
            return None
        try:
            deadline = self.release.deadline("requests under way end", self.flow.plan.longest_timeout + 1)
            return self._measure(self.flow.settle(deadline=deadline))
        except Exception as error:  # whatever keeps it from being measured: then nothing is shown
            self.trouble = self.trouble or said(error)
            return None

    def at_the_end(self, *, patience: float | None = None) -> Measurement | None:
        """The whole ledger; the traffic has ended. `patience` bounds, in seconds, the wait for requests under way."""
        if self.flow is None:
            return None
        seconds = self.flow.plan.longest_timeout + 1 if patience is None else patience
        try:
            self.flow.stop(deadline=self.release.deadline("the traffic ends", seconds))
        except (CakraviaError, OSError) as error:
            self.trouble = self.trouble or said(error)
            self.flow.kill()
        try:
            return self._measure(None)
        except Exception as error:
            self.trouble = self.trouble or said(error)
            return None

    def end(self) -> None:
        """Nothing of the traffic is left."""
        if self.flow is not None:
            self.flow.kill()

    def _measure(self, until: int | None) -> Measurement:
        assert self.flow is not None
        site, folder = self.release.site, self.folder
        self._cuts.require_growth(*self._raw_logs())
        requests = folder / "requests.csv"
        if until is not None:
            # The client's records first: whatever they hold, the logs copied afterwards know already.
            requests = folder / ".requests-so-far.csv"
            self.flow.copy_requests(requests)
        site.fetch_logs()
        access = self._cuts.copy(site.proxy.access_log, folder / "access.log")
        logs = [
            copied
            for colour in Colour
            if (
                copied := self._cuts.copy_written(
                    site.platform.request_log(colour), folder / f"application-{colour}.log"
                )
            )
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

    def _raw_logs(self) -> list[Path]:
        site = self.release.site
        logs = [site.proxy.access_log, *(site.platform.request_log(colour) for colour in Colour)]
        return [path for path in logs if path is not None]

    def _slots_with_users(self) -> set[Colour]:
        seen = self.release.seen
        slots = {seen.candidate.colour} if seen.flips and seen.candidate else set()
        return slots | ({self.release.intent.active} if self.release.intent.active else set())

    def _course(self, until: int | None) -> Course:
        assert self.flow is not None
        intent, settings = self.release.intent, self.release.site.settings
        touched = next((m.at for m in self.release.moments if m.step == "prepare" and m.kind == "begins"), None)
        # After a reload the old workers may pass one more request of every kept connection to the old slot.
        grace = settings.proxy.keepalive_min + OLD_WORKERS_SECONDS if settings.proxy.switch == "reload" else 0.0
        switches = tuple(
            Switch(
                old=None if intent.active is None else flip.colour.other,
                new=flip.colour,
                decided=int(flip.decided_at * MICROSECONDS),
                effective=int(flip.effective_at * MICROSECONDS) + 1,
                grace=int(grace * MICROSECONDS),
            )
            for flip in self.release.seen.flips
        )
        return Course(
            touched=int(touched * MICROSECONDS) if touched is not None else None,
            switches=switches,
            until=until,
            rate=self.flow.plan.rate,
            expected=partial(planned_within, self.flow.plan),
            reload=settings.proxy.switch == "reload",
            followed=self.flow.counts,
            streams=self.flow.plan.streams,
            judge_warm_up=int(self.release.site.settings.budget.judge_warm_up * MICROSECONDS)
            if intent.kind == "deploy"
            else None,
        )


def said(error: BaseException) -> str:
    """What went wrong, in words without a remedy."""
    return error.message if isinstance(error, CakraviaError) else f"{type(error).__name__}: {error}"
