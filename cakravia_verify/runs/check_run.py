"""Checks of a site, with a load if the suite has one. It switches nothing and changes nothing."""

from __future__ import annotations

import secrets
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cakravia_verify import __version__
from cakravia_verify.checks.model import Ground
from cakravia_verify.command_options import with_options
from cakravia_verify.errors import CakraviaError
from cakravia_verify.gate.checks import judge_checks
from cakravia_verify.gate.model import CheckStatus, Decision, Evidence, Exit, Verdict
from cakravia_verify.kinds import CHECK, FAILOVER, SessionPolicy
from cakravia_verify.release.machine import StepEvent
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.facts import digest_of, instant
from cakravia_verify.runs.load_run import LoadRun
from cakravia_verify.runs.session_run import SessionOutcome, SessionRun
from cakravia_verify.site.site import Site
from cakravia_verify.system.machine import Machine
from cakravia_verify.system.users import who_acts
from cakravia_verify.traffic.run import TrafficRun

if TYPE_CHECKING:
    from cakravia_verify.runs.failover_trials import FailoverTrials

CHECKED: Final = "checked"
NO_VERSION: Final = "no version"


class LoadOfCheck(LoadRun):
    """A load that is part of a check: its records and its figures are in the check's report."""

    def __init__(
        self, site: Site, *, duration: float, folder: Path, on_event: Callable[[StepEvent], None] = lambda _: None
    ) -> None:
        super().__init__(site, duration=duration, on_event=on_event)
        self._folder = folder

    @property
    def folder(self) -> Path:
        return self._folder


class CheckRun(SessionRun):
    """One check of a site from `open` to `close`. `duration` is how long its load or each of its faults lasts, in s.

    The session says in `reasons` why checks did not pass.
    """

    def __init__(
        self,
        site: Site,
        *,
        duration: float,
        on_event: Callable[[StepEvent], None] = lambda _: None,
        kind: SessionPolicy = CHECK,
        pairs: Sequence[tuple[str, Any]] = (),
        told: Callable[[str], None] = lambda _: None,
        is_live: bool = False,
    ) -> None:
        super().__init__(site, on_event=on_event)
        self.ground = Ground(site, Machine())
        self.kind = kind
        self.is_live = is_live
        self._pairs = pairs
        self._told = told
        self.reasons: dict[str, str] = {}
        self._duration = duration
        self._load: LoadOfCheck | None = None
        self._trials: FailoverTrials | None = None
        self._id = f"{datetime.fromtimestamp(self._began_wall, UTC):%Y%m%d-%H%M%S}-{kind.name}-{secrets.token_hex(2)}"

    def open(self, *, waiting: Callable[[str], None] = lambda _: None) -> None:
        """Observe the site. A site that cannot be observed is checked all the same."""
        try:
            self.state = self.site.observe()
        except CakraviaError as error:
            self.notices.append(f"the site cannot be observed: {error.message}")
            return
        self.notices += [f"drift: {each}" for each in self.state.drift]
        if holder := self.site.lock.holder():
            self.notices.append(f"a release changes the site meanwhile: {holder}")

    def open_load(self) -> LoadRun:
        """Return the load of this check, opened. Raises UsageError or LockHeld, as a load of its own does."""
        if self._load is None:
            load = LoadOfCheck(self.site, duration=self._duration, folder=self.folder, on_event=self.on_event)
            load.open()
            self._load = load
        return self._load

    @property
    def trials(self) -> FailoverTrials:
        """The faults that this check tries: on a copy of the site, unless the run is about the live site."""
        # Only a check with faults loads what they need.
        from cakravia_verify.runs.failover_trials import HOLD, FailoverTrials

        if self._trials is None:
            self._trials = FailoverTrials(
                self.site,
                folder=self.folder,
                hold=self._duration if self.kind is FAILOVER else HOLD,
                is_live=self.is_live,
                pairs=self._pairs,
                told=self._told,
            )
        return self._trials

    def close(self) -> None:
        """End the load and the copy."""
        if self._trials is not None:
            self._trials.close()
        if self._load is not None:
            self._load.close()

    @property
    def id(self) -> str:
        return self._id

    @property
    def subject(self) -> str:
        """The version that serves users."""
        active = self.state.active if self.state else None
        return active.version if active else NO_VERSION

    @property
    def introduction(self) -> tuple[str, ...]:
        return (f"Checking {self.settings.site.name}: {self.subject}; nothing is switched", f"check {self._id}")

    @property
    def has_started(self) -> bool:
        return True

    @property
    def traffic_run(self) -> TrafficRun | None:
        return self._load.traffic_run if self._load else None

    # Concluding.

    def conclude(self, required: Mapping[str, str]) -> SessionOutcome:
        """Return the verdict on all checks. `required` maps each check of the suites to its outcome."""
        load = self._load_document()
        of_traffic = [check for check in load.verdict.checks if not check.name.startswith("test ")] if load else []
        trouble = load.verdict.why if load and load.verdict.decision is Decision.INCONCLUSIVE else ""
        verdict = judge_checks(
            required,
            reasons=self.reasons,
            interrupted=self.interrupted,
            others=of_traffic,
            trouble="; ".join(filter(None, (*self.objections, trouble))),
        )
        status = self._exit(verdict)
        if self._trials is not None:
            self._trials.write()
        document = self._document(verdict, required, status=status)
        return SessionOutcome(status, verdict, _with_load(document, load) if load else document)

    def _load_document(self) -> ReleaseDocument | None:
        if self._load is None or not self._load.has_started:
            return None
        self._load.interrupted = self.interrupted
        # The checks of the suite are those of the session; here only what the traffic shows is of interest.
        return self._load.conclude({"the load of this check": "passed"}).document

    def _document(self, verdict: Verdict, required: Mapping[str, str], *, status: Exit) -> ReleaseDocument:
        site, active = self.site, self.state.active if self.state else None
        return ReleaseDocument(
            release=self._id,
            kind=self.kind.name,
            version=self.subject,
            digest=active.digest if active else "",
            slot=str(active.colour) if active else "",
            previous_version="",
            site=site.settings.site.name,
            platform=site.settings.site.platform,
            who=who_acts(),
            host=socket.gethostname(),
            reason="",
            started_at=instant(self._began_wall),
            finished_at=instant(site.clock.wall()),
            seconds=site.clock.monotonic() - self._began,
            outcome=CHECKED,
            exit_status=int(status),
            next_step=with_options(_next_step(verdict)),
            verdict=verdict,
            evidence=Evidence(
                release=self._id,
                kind=self.kind.name,
                version=self.subject,
                serving=str(active or ""),
                interrupted=self.interrupted,
                required=dict(required),
            ),
            budget=self.budget,
            drift=self.state.drift if self.state else (),
            findings=(*self.notices, *self.users_saw(), *_left_out(required)),
            settings_digest=digest_of(site.settings),
            tool=f"cakravia-verify {__version__}",
        )

    def users_saw(self) -> Iterator[str]:
        """Yield what the report says about faults."""
        if self._trials is not None:
            yield from self._trials.sentences()

    def _exit(self, verdict: Verdict) -> Exit:
        if verdict.decision is Decision.PASSED:
            return Exit.CHECKS_PASSED
        if self.interrupted:
            return Exit.INTERRUPTED
        return Exit.CHECKS_FAILED if verdict.decision is Decision.FAILED else Exit.INCONCLUSIVE


def _with_load(document: ReleaseDocument, load: ReleaseDocument) -> ReleaseDocument:
    """Return the document with what the load measured."""
    return replace(
        document,
        evidence=replace(document.evidence, measured=load.evidence.measured),
        findings=(*document.findings, *load.findings),
        timeline=load.timeline,
        buckets=load.buckets,
        lost_rows=load.lost_rows,
        traffic=load.traffic,
    )


def _left_out(required: Mapping[str, str]) -> Iterator[str]:
    counted = Counter(required.values())
    if counted["skipped"]:
        yield f"{counted['skipped']} checks do not apply to this site"
    if counted["deselected"]:
        yield f"{counted['deselected']} checks were left out by the command line"


def _next_step(verdict: Verdict) -> str:
    if verdict.decision is Decision.PASSED:
        return "Nothing."
    if verdict.decision is Decision.FAILED:
        failed = sum(check.standing is CheckStatus.FAILED for check in verdict.checks)
        return f"Correct what the {failed} failed checks name; `cakravia doctor` says how. Users are not affected."
    return "Find out why some checks are unknown, then check again. Users are not affected."
