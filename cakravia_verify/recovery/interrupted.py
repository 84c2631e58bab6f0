"""What becomes of a release that died: the verdict on record is carried out, and without one the release is undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cakravia_verify.errors import NotHealthy, PlatformError, ReleaseError, RollbackFailed, UsageError
from cakravia_verify.history.releases import PROMOTE, PROMOTED, ROLLED_BACK, STUCK, UNPROVEN, Record, unfinished
from cakravia_verify.release.conditions import is_healthy, restart_slot
from cakravia_verify.release.direct_users import direct_users, proxy_deadline
from cakravia_verify.release.machine import Release, Step, StepEvent
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Slot
from cakravia_verify.system.clock import poll

DIED = "the release died before its end"


def left_behind(site: Site) -> Iterator[Record]:
    """Releases that died, in the order in which they are to be recovered, each given out once the one before it is.

    A promotion that recovery has finished makes what lies before it history.
    """
    for record in unfinished(site.journal.entries()):
        if any(each.intent.release == record.intent.release for each in unfinished(site.journal.entries())):
            yield record


def doubt_about_history(site: Site) -> str:
    """Why nobody is moved on the strength of this history, '' where it can be relied on."""
    return site.doubt_about_history(site.observe().active)


def recover(site: Site, record: Record, steps: Sequence[Step], *, on_event: Callable[[StepEvent], None]) -> str:
    """The outcome of a release that died.

    Where the verdict PROMOTE is on record it stands, and so does a rollback that was to stand without it: the candidate
    is started again should it have died, users are brought to it, and the rest of the release is done. It is taken back
    only where the candidate does not become healthy any more, for users come before verdicts. A release without such a
    record is undone.

    Raises RollbackFailed where an undo fails, the next recovery tries again from the first undo; ProxyError where the
    proxy does not take users to what was promoted, which stays to be finished.
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
            return outcome
    try:
        release.roll_back(why)
    except RollbackFailed as error:
        release.finish(STUCK, why=error.message, recovered=True)
        raise
    release.finish(ROLLED_BACK, why=why, recovered=True)
    return ROLLED_BACK


def _carry_out(release: Release, record: Record) -> None:
    """Users are on the candidate, and every step from the promotion on is done."""
    slot = _candidate_again(release, record)
    _bring_users_to(release, slot)
    names = [step.name for step in release.steps]
    release.done = names[: names.index("promote")]
    release.advance(names[-1])


def _candidate_again(release: Release, record: Record) -> Slot:
    """The candidate, healthy; started again where it died. Users who have a healthy slot to go back to do not wait for
    a candidate that runs and is ill."""
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
        seen=lambda: "; ".join(str(reading) for reading in site.readings(slot) if not reading.is_healthy),
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
