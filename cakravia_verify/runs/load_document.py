"""From a load that ended to the document of its report."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

from cakravia_verify import __version__
from cakravia_verify.analysis.model import Measurement
from cakravia_verify.command_options import with_options
from cakravia_verify.gate.model import Budget, CheckStatus, Decision, Evidence, Exit, Verdict
from cakravia_verify.kinds import LOAD
from cakravia_verify.report.document import Event, ReleaseDocument
from cakravia_verify.report.facts import digest_of, instant, traffic_figures
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Slot
from cakravia_verify.system.users import who_acts
from cakravia_verify.traffic.run import TrafficRun

MEASURED: Final = "measured"


@dataclass(frozen=True)
class LoadEnd:
    """What the document of a load is made of.

    `slot` served users during the load. `began` is in CLOCK_MONOTONIC seconds, `began_wall` in seconds since 1970.
    """

    id: str
    slot: Slot
    exit: Exit
    verdict: Verdict
    evidence: Evidence
    budget: Budget
    measurement: Measurement | None
    findings: tuple[str, ...]
    drift: tuple[str, ...]
    timeline: tuple[Event, ...]
    began: float
    began_wall: float


def load_document_of(site: Site, ended: LoadEnd, *, traffic_run: TrafficRun | None) -> ReleaseDocument:
    """Return everything that the report needs to describe the load."""
    measurement = ended.measurement
    return ReleaseDocument(
        release=ended.id,
        kind=LOAD.name,
        version=ended.slot.version,
        digest=ended.slot.digest,
        slot=str(ended.slot.colour),
        previous_version="",
        site=site.settings.site.name,
        platform=site.settings.site.platform,
        who=who_acts(),
        host=socket.gethostname(),
        reason="",
        started_at=instant(ended.began_wall),
        finished_at=instant(site.clock.wall()),
        seconds=site.clock.monotonic() - ended.began,
        outcome=MEASURED,
        exit_status=int(ended.exit),
        next_step=with_options(_next_step(ended.verdict)),
        verdict=ended.verdict,
        evidence=ended.evidence,
        budget=ended.budget,
        drift=ended.drift,
        findings=ended.findings,
        timeline=ended.timeline,
        buckets=measurement.buckets if measurement else (),
        windows=(),
        lost_rows=measurement.lost_rows if measurement else (),
        traffic=traffic_figures(traffic_run, measurement),
        settings_digest=digest_of(site.settings),
        tool=f"cakravia-verify {__version__}",
    )


def _next_step(verdict: Verdict) -> str:
    if verdict.decision is Decision.WITHIN_BUDGET:
        return "Nothing."
    if verdict.decision is Decision.OVER_BUDGET:
        names = ", ".join(check.title.lower() for check in verdict.checks if check.standing is CheckStatus.FAILED)
        return f"The site serves as before. It does not bear this load: see {names or 'the failed checks'} below."
    return "The site serves as before. Correct what kept the load from being measured, then load again."
