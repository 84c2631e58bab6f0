"""A rollback fails: what it needs, and what of it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.diagnosis.cause import Cause, Chapter
from cakravia_verify.checks.diagnosis.evidence import SiteEvidence
from cakravia_verify.history.previous_version import previous_of
from cakravia_verify.history.releases import STUCK
from cakravia_verify.recovery.rollback_checks import site_checks
from cakravia_verify.site.site import Site

# These say that users get no answer or that a repair is needed; the chapter on switching has the reasons.
_ELSEWHERE: Final = frozenset({"users are served", "the history is whole"})


def causes(site: Site, evidence: SiteEvidence) -> Iterator[Cause]:
    """Yield causes if a rollback would be refused now, or if the newest one failed."""
    if evidence.state is None or evidence.state.is_empty or not any(each.holds_users for each in evidence.releases):
        return
    last = evidence.last
    if last is not None and last.outcome == STUCK:
        yield Cause(
            Chapter.ROLLBACK,
            95,
            f"an undo of release {last.intent.release} failed",
            (last.why,),
            "correct what it names, then: cakravia recover",
        )
    for check in site_checks(site, evidence.state, repaired=evidence.state):
        if not check.is_ok and check.name not in _ELSEWHERE:
            yield Cause(Chapter.ROLLBACK, 80, f"a rollback needs that {check.name}", (check.detail,), check.remedy)
    yield from _of_target(site, evidence)


def _of_target(site: Site, evidence: SiteEvidence) -> Iterator[Cause]:
    """Yield that the version before the active one can no longer be started."""
    active = evidence.state.active if evidence.state else None
    if active is None:
        return
    before = previous_of(site.journal.entries(), version=active.version, digest=active.digest)
    if before is None:
        return
    retained = site.platform.retained()
    if not any(before.is_of(each.version, each.digest) for each in retained):
        yield Cause(
            Chapter.ROLLBACK,
            85,
            f"version {before.version}, which was active before, is not retained",
            (f"retained: {', '.join(each.version for each in retained) or 'none'}",),
            f"deploy it from its source: cakravia deploy {before.version}; raise [release] retain",
        )
