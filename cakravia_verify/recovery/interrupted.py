"""Recover interrupted releases: carry out the recorded verdict, or undo the release if it has none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cakravia_verify.errors import NotHealthy, PlatformError, ReleaseError, RollbackFailed, UsageError
from cakravia_verify.history.releases import (
    PROMOTE,
    PROMOTED,
    ROLLED_BACK,
    STUCK,
    UNPROVEN,
    Record,
    flaw_of,
    unfinished,
)
from cakravia_verify.release.companions import return_companions
from cakravia_verify.release.conditions import is_healthy, restart_slot
from cakravia_verify.release.direct_users import direct_users, proxy_deadline
from cakravia_verify.release.hooks import ReleaseEnd, moments_of, tell_hooks
from cakravia_verify.release.machine import Release, Step, StepEvent
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Slot
from cakravia_verify.system.clock import poll

DIED = "the release died before its end"


def left_behind(site: Site) -> Iterator[Record]:
    """Yield the interrupted releases in the order of their recovery.

    The journal is read again before each one: a promotion that recovery finished settles the older ones.
    """
    for record in unfinished(site.journal.entries()):
        if any(each.intent.release == record.intent.release for each in unfinished(site.journal.entries())):
            yield record


def doubt_about_history(site: Site) -> str:
    """Return why this history must not move users, '' if it is reliable or has no interrupted release."""
    if not flaw_of(site.journal) and not unfinished(site.journal.entries()):
        return ""  # users who get no answer do not wait for a look at a hung site
    return site.doubt_about_history(site.observe().active)


def recover(site: Site, record: Record, steps: Sequence[Step], *, on_event: Callable[[StepEvent], None]) -> str:
    """Finish or undo an interrupted release, and return its outcome.

    A recorded PROMOTE is final, and so is a rollback that keeps its users without it. Recovery starts the candidate
    again if it died, brings users to it and does the remaining steps. It undoes the release only if the candidate does
    not become healthy: users come before verdicts. A release without a final verdict is undone.

    Raises RollbackFailed if an undo fails; the next recovery starts again at the first undo. Raises ProxyError if the
    proxy does not take users to the promoted version; the next recovery finishes it.
    """
    release = Release(site, record.intent, steps, on_event=on_event)
    release.begun = list(record.begun)
    site.journal.append("recovery.started", release=record.intent.release, begun=list(record.begun))
    why = DIED
    if record.stands and not record.undoing:
        try:
            _carry_out(release, record)
        except (ReleaseError, PlatformError, UsageError) as error:
            why = f"promoted, but its slot cannot serve users any more: {error.message}"
        else:
            outcome = PROMOTED if record.decision == PROMOTE else UNPROVEN
            release.finish(outcome, why="finished by recovery", recovered=True, digest=record.digest)
            _tell(release, outcome, "finished by recovery", record)
            return outcome
    try:
        release.roll_back(why)
    except RollbackFailed as error:
        release.finish(STUCK, why=error.message, recovered=True)
        _tell(release, STUCK, error.message, record)
        raise
    return_companions(release)
    release.finish(ROLLED_BACK, why=why, recovered=True)
    _tell(release, ROLLED_BACK, why, record)
    return ROLLED_BACK


def _tell(release: Release, outcome: str, why: str, record: Record) -> None:
    tell_hooks(release, moments_of(record.intent, outcome), ReleaseEnd(outcome, why, digest=record.digest))


def _carry_out(release: Release, record: Record) -> None:
    """Bring users to the candidate, and do every step from the promotion on."""
    slot = _candidate_again(release, record)
    _bring_users_to(release, slot)
    names = [step.name for step in release.steps]
    release.done = names[: names.index("promote")]
    release.advance(names[-1])


def _candidate_again(release: Release, record: Record) -> Slot:
    """Return the healthy candidate; start it again if it died.

    A candidate that runs and is unhealthy gets no time to recover if users have a healthy slot to return to.
    """
    site, intent = release.site, record.intent
    before = site.platform.observe(intent.candidate)
    slot = before or restart_slot(release, intent.candidate, version=intent.version, digest=record.digest)
    if record.digest not in ("", slot.digest):
        raise NotHealthy(f"{slot} runs {slot.digest[:19]}, but {record.digest[:19]} was promoted")
    refuge = site.platform.observe(intent.active) if intent.active else None
    has_refuge = before is not None and refuge is not None and is_healthy(site, refuge)
    poll(
        lambda: is_healthy(site, slot),
        deadline=release.deadline(f"{slot} is healthy", 0.0 if has_refuge else site.settings.health.deadline),
        every=site.settings.health.interval,
        observed=lambda: "; ".join(str(reading) for reading in site.readings(slot) if not reading.is_healthy),
    )
    return slot


def _bring_users_to(release: Release, slot: Slot) -> None:
    site = release.site
    state = site.proxy.observe()
    if state.is_running and state.chosen is slot.colour:
        return
    site.proxy.set_failover(allowed=False)
    direct_users(
        site,
        slot,
        confirmations=site.settings.release.confirmations,
        deadline=proxy_deadline(site, f"users reach {slot}"),
    )
