"""The diagnosis of a site: the causes of all chapters, most likely first."""

from __future__ import annotations

from collections.abc import Iterator

from cakravia_verify.checks.diagnosis import deployment, monitoring, rollback, switching
from cakravia_verify.checks.diagnosis.cause import Cause, Chapter
from cakravia_verify.checks.diagnosis.evidence import SiteEvidence
from cakravia_verify.errors import CakraviaError
from cakravia_verify.site.site import Site


def diagnose(site: Site, evidence: SiteEvidence) -> tuple[Cause, ...]:
    """Return what may be wrong, most likely first. Empty if nothing is."""
    found = [*_causes(site, evidence)]
    return tuple(sorted(found, key=lambda cause: -cause.likelihood))


def _causes(site: Site, evidence: SiteEvidence) -> Iterator[Cause]:
    for trouble in evidence.troubles:
        yield Cause(
            Chapter.SWITCHING,
            100,
            "a part of the site cannot be read",
            (trouble,),
            "correct that first: the rest of the diagnosis depends on it",
        )
    yield from deployment.causes(evidence)
    yield from switching.causes(evidence)
    try:
        yield from rollback.causes(site, evidence)
    except CakraviaError as error:
        yield Cause(Chapter.ROLLBACK, 60, error.message, (), error.remedy or "see the message")
    yield from monitoring.causes(evidence)
