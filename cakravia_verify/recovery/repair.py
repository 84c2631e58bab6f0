"""Keeping a site up between releases: start it, stop it, mend it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from cakravia_verify.errors import (
    DeadlineExceeded,
    NotConfirmed,
    NothingToDo,
    PlatformError,
    ProxyError,
    ReleaseError,
    RollbackFailed,
    UsageError,
)
from cakravia_verify.history.releases import Record, is_taken_down, last_holding, unfinished
from cakravia_verify.recovery.interrupted import doubt_about_history, left_behind, recover
from cakravia_verify.release.conditions import (
    complaints,
    is_confirmed,
    is_healthy,
    kept_artifact,
    require_confirmed,
    require_healthy,
)
from cakravia_verify.release.direct_users import PROXY_SECONDS, direct_users
from cakravia_verify.release.steps import STEPS
from cakravia_verify.site.site import Site, SiteState
from cakravia_verify.slots import Artifact, Slot
from cakravia_verify.system.clock import Deadline, poll


def _settle(site: Site) -> Generator[str, None, RollbackFailed | None]:
    """What was cut off is reached, and what died is finished or undone; what could not be undone is returned, for users
    are to be served before it is raised."""
    yield from reconnect(site)
    try:
        yield from finish_or_undo(site)
    except RollbackFailed as error:
        return error
    return None


def reconnect(site: Site) -> list[str]:
    """Parts of the site that run and could not reach each other do so again; one line for each."""
    lines = list(site.platform.mend())
    if lines:
        site.journal.append("site.reconnected", parts=lines)
    if lines and site.proxy.observe().is_running:
        # Slots may have got other addresses than the proxy knows.
        site.proxy.refresh(deadline=_proxy_deadline(site, "the proxy takes its configuration"))
    return lines


def take_up_changes(site: Site) -> list[str]:
    """The proxy runs by the settings and the certificate of now, and no log is longer than its bound; a line where that
    took a reload. Raises ProxyError or UsageError where they cannot be run by: then the proxy goes on as before."""
    site.bound_logs()
    deadline = _proxy_deadline(site, "the proxy takes its configuration")
    if not site.proxy.observe().is_running or not site.proxy.refresh(deadline=deadline):
        return []
    site.journal.append("site.refreshed")
    return ["the proxy took up its changed configuration"]


def finish_or_undo(site: Site) -> Iterator[str]:
    """Every release that died is finished or undone; one line for each. Raises RollbackFailed."""
    if doubt := doubt_about_history(site):
        if any(unfinished(site.journal.entries())):
            yield f"{doubt}; no release is finished or undone by it"
        return
    for record in left_behind(site):
        outcome = recover(site, record, STEPS, on_event=lambda _: None)
        yield f"release {record.intent.release} ({record.intent.version}): {outcome}"


def repair(site: Site) -> Iterator[str]:
    """What was mended, and what could not be, a line each: dead releases, users without a healthy slot, and users
    elsewhere than on the version that the history says. Raises RollbackFailed where a release could not be undone,
    users served all the same."""
    stuck = yield from _settle(site)
    yield from serve_again(site)
    if stuck is not None:
        raise stuck
    yield from _bring_to_promoted(site)


def serve_again(site: Site) -> list[str]:
    """Users who were without an answer have a healthy slot; one line for what was done. Whoever is served stays where
    he is, and a site that was taken down stays down."""
    state, entries = site.observe(), site.journal.entries()
    runs_nothing = state.slots.blue is None and state.slots.green is None
    if (runs_nothing and last_holding(entries) is None) or (state.is_empty and is_taken_down(entries)):
        return []
    return _rely_on_stand_in(site, state) if _is_served(state) else [_serve(site, state)]


def _is_served(state: SiteState) -> bool:
    return state.proxy.is_running and state.served is not None


def _serve(site: Site, state: SiteState) -> str:
    """Users have a slot that is healthy, and answers to them say so. Raises CakraviaError where there is none."""
    slot = _healthy_slot(site, state)
    if not state.proxy.is_running:
        site.proxy.set_failover(allowed=False)
        count = site.settings.release.confirmations
        direct_users(site, slot, confirmations=count, deadline=_proxy_deadline(site, "the proxy starts"))
    elif not (state.proxy.chosen is slot.colour and is_confirmed(site, slot, count=1)):
        _point_at(site, slot)
    site.journal.append("site.up", version=slot.version, slot=str(slot.colour))
    if state.proxy.is_running:
        return f"users were without a slot; they are on {slot} now"
    return f"{slot} serves users at {site.proxy.address.url}"


def _point_at(site: Site, slot: Slot) -> None:
    """Users are on the slot; a proxy that still gives no answer then is started anew, unless it could not be: the
    settings may name another address than the one it serves."""
    site.proxy.set_failover(allowed=False)
    count = site.settings.release.confirmations
    deadline = _proxy_deadline(site, f"users reach {slot}")
    try:
        direct_users(site, slot, confirmations=0, deadline=deadline)
        site.proxy.refresh(deadline=deadline)
        require_confirmed(site, slot, count=count)
    except (NotConfirmed, ProxyError):
        site.proxy.check()
        site.proxy.stop(deadline=Deadline("the proxy stops", site.settings.app.grace, clock=site.clock))
        direct_users(site, slot, confirmations=count, deadline=_proxy_deadline(site, "the proxy starts"))


def _healthy_slot(site: Site, state: SiteState) -> Slot:
    """A slot that can serve: one that runs and is healthy, or becomes so; else the version of the history, started
    anew. What runs and stays ill is ended for that only in its own slot, and only where it can be had again."""
    running = [slot for slot in (state.slots.at(state.proxy.chosen), state.slots.at(state.proxy.chosen.other)) if slot]
    for slot in running:
        if is_healthy(site, slot):
            return slot
    if not running:
        slot = _restart(site)
        _await_healthy(site, slot)
        return slot
    try:
        return _first_healthy(site, running)
    except DeadlineExceeded as error:
        last = last_holding(site.journal.entries())
        if last is None or kept_artifact(site, version=last.intent.version, digest=last.digest) is None:
            raise
        ill = site.platform.observe(last.intent.candidate)
        if ill is not None:
            deadline = Deadline(f"{ill} stops", site.settings.app.grace, clock=site.clock)
            site.platform.stop(ill.colour, deadline=deadline)
        slot = _restart(site)
        try:
            _await_healthy(site, slot)
        except DeadlineExceeded:
            raise error from None
        return slot


def _first_healthy(site: Site, slots: Sequence[Slot]) -> Slot:
    health = site.settings.health
    return poll(
        lambda: next((slot for slot in slots if is_healthy(site, slot)), None),
        deadline=Deadline(f"{' or '.join(map(str, slots))} is healthy", health.deadline, clock=site.clock),
        every=health.interval,
        seen=lambda: "; ".join(complaints(site.readings(slot)) for slot in slots),
    )


def _rely_on_stand_in(site: Site, state: SiteState) -> list[str]:
    """Where the chosen slot is dead or ill and the other one answers in its place, the other one is chosen: the next
    release takes failover away from whoever only stands in."""
    chosen, stand_in = state.slots.at(state.proxy.chosen), state.active
    if stand_in is None or stand_in.colour is state.proxy.chosen:
        return []
    if chosen is not None and is_healthy(site, chosen):
        return []
    count = site.settings.release.confirmations
    direct_users(site, stand_in, confirmations=count, deadline=_proxy_deadline(site, f"users stay on {stand_in}"))
    site.journal.append("site.repaired", version=stand_in.version, slot=str(stand_in.colour))
    return [f"{state.proxy.chosen} does not answer and {stand_in} stood in for it; users are on {stand_in} now"]


def _bring_to_promoted(site: Site) -> list[str]:
    """Users are on the slot that the history promoted, started again where it died: whatever moved them past the gate
    (a death, a hand, another tool) had no verdict. Where it cannot be had, users stay where they are and it is said."""
    state, last = site.observe(), last_holding(site.journal.entries())
    refuge = state.active
    if last is None or state.served is None or refuge is None or refuge.colour is last.intent.candidate:
        return []
    if doubt := site.doubt_about_history(refuge):
        return [f"{doubt}; users stay on {refuge}"]
    promoted = f"{last.intent.candidate} ({last.intent.version})"
    try:
        slot, again = _promoted_slot(site, last)
        _move_users(site, slot, refuge=refuge)
    except (ReleaseError, PlatformError, ProxyError, UsageError) as error:
        why = f"the history promoted {promoted}, which cannot serve: {error.message}"
        try:
            require_confirmed(site, refuge, count=1)
        except NotConfirmed as lost:
            raise NotConfirmed(f"{why}; {lost.message}", remedy=lost.remedy) from error
        return [f"{why}; users stay on {refuge}"]
    # As after the promotion: what served before it may stand in, never a version that users were brought back from.
    was_before = (refuge.version, refuge.digest) == (last.intent.active_version, last.intent.active_digest)
    is_fit = was_before and last.intent.policy.keeps_old_slot_as_failover
    site.proxy.set_failover(allowed=is_fit and is_healthy(site, refuge))
    site.journal.append("site.repaired", version=slot.version, slot=str(slot.colour))
    why = f"{slot} had ended and was started again" if again else f"{refuge} is not what the history promoted"
    return [f"{why}; users are on {slot} now"]


def _promoted_slot(site: Site, last: Record) -> tuple[Slot, bool]:
    """The slot of the version promoted last, as it was promoted and healthy, and whether it had to be started for that.
    Raises PlatformError or ReleaseError; nothing that was started is left then."""
    slot = site.platform.observe(last.intent.candidate)
    if slot is None:
        slot = _restart(site)
        try:
            _await_healthy(site, slot)
        except ReleaseError:
            deadline = Deadline(f"{slot.colour} stops", site.settings.app.grace, clock=site.clock)
            site.platform.stop(slot.colour, deadline=deadline)
            raise
        return slot, True
    if slot.version != last.intent.version or last.digest not in ("", slot.digest):
        raise PlatformError(f"its slot runs {slot}, {slot.digest[:19]}")
    require_healthy(site, slot)
    return slot, False


def _move_users(site: Site, slot: Slot, *, refuge: Slot) -> None:
    """Users are on `slot`, as answers to them say. Raises NotConfirmed or ProxyError; users are on `refuge` then."""
    site.proxy.set_failover(allowed=False)
    try:
        count = site.settings.release.confirmations
        direct_users(site, slot, confirmations=count, deadline=_proxy_deadline(site, f"users reach {slot}"))
    except (NotConfirmed, ProxyError):
        direct_users(site, refuge, confirmations=0, deadline=_proxy_deadline(site, f"users stay on {refuge}"))
        raise


def _proxy_deadline(site: Site, what: str) -> Deadline:
    return Deadline(what, PROXY_SECONDS, clock=site.clock)


def _restart(site: Site) -> Slot:
    """The version promoted last, started again in its slot."""
    last = last_holding(site.journal.entries())
    if last is None:
        raise NothingToDo(
            "the history knows of no promoted release, so there is no version to start",
            remedy="pytest suites/deploy --version v1.0.0 makes the first release",
        )
    artifact = _kept(site, last.digest, last.intent.version)
    deadline = Deadline(f"{last.intent.candidate} starts", site.settings.app.grace, clock=site.clock)
    return site.platform.start(last.intent.candidate, artifact, release=last.intent.release, deadline=deadline)


def _kept(site: Site, digest: str, version: str) -> Artifact:
    kept = kept_artifact(site, version=version, digest=digest)
    if kept is not None:
        return kept
    raise PlatformError(
        f"version {version} ({digest[:19]}) is not retained here", remedy="deploy a version from its source"
    )


def _await_healthy(site: Site, slot: Slot) -> None:
    _first_healthy(site, [slot])
