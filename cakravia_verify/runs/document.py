"""From a release that ended to the document of its report."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cakravia_verify import __version__
from cakravia_verify.analysis.model import Measurement
from cakravia_verify.command_options import with_options
from cakravia_verify.errors import CakraviaError
from cakravia_verify.gate.model import Budget, Evidence, Exit, Verdict
from cakravia_verify.history.releases import UNPROVEN, Intent
from cakravia_verify.release.machine import Release
from cakravia_verify.report.document import Event, ReleaseDocument
from cakravia_verify.report.facts import digest_of, instant, traffic_figures
from cakravia_verify.report.failing_users import failing_users
from cakravia_verify.report.runs import earlier_releases
from cakravia_verify.system.clock import to_seconds
from cakravia_verify.system.environment import environment_facts
from cakravia_verify.system.users import who_acts
from cakravia_verify.traffic.run import TrafficRun

NOT_BEGUN = "not begun"
_EARLIER: Final = 5


@dataclass(frozen=True)
class Ending:
    """How a release ended: its exit status, its outcome in the history, and the verdict it followed.

    `stuck` is what stopped the rollback, None if nothing did.
    """

    exit: Exit
    outcome: str
    verdict: Verdict
    stuck: CakraviaError | None = None


@dataclass(frozen=True)
class RunEnd:
    """What a release document is made of.

    `judged` is the measurement behind the verdict, `final` the one of the whole traffic. `began` is in CLOCK_MONOTONIC
    seconds, `began_wall` in seconds since 1970.
    """

    ending: Ending
    evidence: Evidence
    budget: Budget
    judged: Measurement | None
    final: Measurement | None
    notices: tuple[str, ...]
    trouble: str
    drift: tuple[str, ...]
    began: float
    began_wall: float

    @property
    def verdict(self) -> Verdict:
        return self.ending.verdict


def document_of(release: Release, ended: RunEnd, *, traffic_run: TrafficRun | None) -> ReleaseDocument:
    """Return everything that the report needs to describe the release."""
    intent, facts, settings, clock = release.intent, release.facts, release.site.settings, release.site.clock
    shown = ended.final or ended.judged
    touched = (m.at for m in release.events if m.step == "prepare" and m.kind == "begins")
    zero = next(touched, ended.began)
    switchovers = [to_seconds(switchover.effective_at) - zero for switchover in facts.switchovers]
    # Starting a proxy on an empty site is no switch.
    switch = facts.switchovers[0] if facts.switchovers and ended.evidence.has_previous else None
    return ReleaseDocument(
        release=release.id,
        kind=intent.kind,
        version=intent.version,
        digest=facts.artifact.digest if facts.artifact else "",
        slot=str(intent.candidate),
        previous_version=intent.active_version,
        site=settings.site.name,
        platform=settings.site.platform,
        who=who_acts(),
        host=socket.gethostname(),
        reason=intent.reason,
        started_at=instant(ended.began_wall),
        finished_at=instant(clock.wall()),
        seconds=clock.monotonic() - ended.began,
        outcome=ended.ending.outcome,
        exit_status=int(ended.ending.exit),
        next_step=with_options(_next_step(release.intent, ended)),
        verdict=ended.verdict,
        evidence=ended.evidence,
        budget=ended.budget,
        drift=ended.drift,
        findings=tuple(_findings(ended)),
        timeline=tuple(
            Event(m.step, m.kind, m.at - zero, m.seconds, m.note) for m in release.events if m.kind != "begins"
        ),
        buckets=shown.buckets if shown else (),
        windows=shown.windows if shown else (),
        lost_rows=shown.lost_rows if shown else (),
        traffic=traffic_figures(traffic_run, shown),
        switched_at=switchovers[0] if switchovers else None,
        returned_at=switchovers[1] if len(switchovers) > 1 else None,
        switch_seconds=switch.seconds if switch else None,
        settings_digest=digest_of(settings),
        tool=f"cakravia-verify {__version__}",
        earlier=earlier_releases(settings.reports, before=release.id, newest=_EARLIER),
        environment=environment_facts(settings.state),
    )


def _findings(ended: RunEnd) -> Iterator[str]:
    yield from ended.notices
    shown = ended.final or ended.judged
    yield from shown.findings if shown else ()
    if ended.trouble:
        yield f"traffic: {ended.trouble}"
    if ended.verdict.is_promote and ended.final and ended.judged:
        late = (ended.final.measured.lost or 0) - (ended.judged.measured.lost or 0)
        if late > 0:
            yield f"{late} more requests were lost after the verdict, while the old slot retired"


def _next_step(intent: Intent, ended: RunEnd) -> str:
    ending = ended.ending
    if ending.stuck is not None:
        remedy = f"{ending.stuck.remedy}. " if ending.stuck.remedy else ""
        return (
            f"The rollback stopped: {ending.stuck.message}. Nothing that serves users was stopped. "
            f"{remedy}Look at 'cakravia status', then run 'cakravia recover'."
        )
    if ending.verdict.is_promote:
        return f"{intent.version} serves users on {intent.candidate}.{_way_on(intent)}"
    if ending.outcome == UNPROVEN:
        return (
            f"{intent.version} serves users on {intent.candidate} and is healthy. See which checks failed or were not "
            f"shown. To measure it again: cakravia deploy {intent.version} --redeploy.{_way_on(intent)}"
        )
    if ending.outcome == NOT_BEGUN:
        return "Nothing was touched."
    where = f"Users are on {intent.active} ({intent.active_version})." if intent.active else "The site is empty again."
    if failing_users(ended.final.figures if ended.final else {}):
        return (
            f"{where} It fails: see 'cakravia logs {intent.active}'. If a migration changed its data, bring them back, "
            "or release a version that works."
        )
    return f"{where} Correct what failed and release again."


def _way_on(intent: Intent) -> str:
    """Return the command that brings the version before back; a rollback never goes forward again by itself."""
    if intent.active_version in ("", intent.version):
        return ""
    if intent.policy.goes_back:
        return f" To bring {intent.active_version} again: cakravia deploy {intent.active_version}."
    return f" To go back: cakravia rollback --reason '...' (to {intent.active_version})."
