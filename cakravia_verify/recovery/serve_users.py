"""Give users who get no answer a healthy slot."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Final

from cakravia_verify.errors import DeadlineExceeded, NotConfirmed, NothingToDo, PlatformError, ProxyError
from cakravia_verify.history.releases import last_holding
from cakravia_verify.release.conditions import (
    complaints,
    is_confirmed,
    is_healthy,
    kept_artifact,
    require_confirmed,
)
from cakravia_verify.release.direct_users import direct_users, proxy_deadline
from cakravia_verify.site.site import Site, SiteState
from cakravia_verify.slots import Artifact, Slot
from cakravia_verify.system.clock import Deadline, poll

# Seconds. A healthy slot waits so long for the one that comes first.
HEAD_START: Final = 0.3


def is_served(state: SiteState) -> bool:
    """Return whether a slot of this site answered through the proxy."""
    return state.proxy.is_running and state.served is not None


def serve(site: Site, state: SiteState) -> str:
    """Route users to a healthy slot, and return the line that says so. Answers have confirmed it.

    Raises CakraviaError if no slot becomes healthy, NotConfirmed if users do not reach it.
    """
    slot = _healthy_slot(site, state)
    if not state.proxy.is_running:
        site.proxy.set_failover(allowed=False)
        count = site.settings.release.confirmations
        direct_users(site, slot, confirmations=count, deadline=proxy_deadline(site, "the proxy starts"))
    elif not (state.proxy.chosen is slot.colour and is_confirmed(site, slot, count=1)):
        _direct_or_restart_proxy(site, slot)
    site.journal.append("site.up", version=slot.version, slot=str(slot.colour))
    if state.proxy.is_running:
        return f"users got no answer; they are on {slot} now"
    return f"{slot} serves users at {site.proxy.address.url}"


def restart_promoted(site: Site) -> Slot:
    """Start the version that was promoted last, in its slot, and wait until it is healthy.

    Raises NothingToDo without a promoted release, PlatformError if its artifact is not retained, DeadlineExceeded if
    the slot does not become healthy; it runs then.
    """
    last = last_holding(site.journal.entries())
    if last is None:
        raise NothingToDo(
            "the history has no promoted release, so there is no version to start",
            remedy="make the first release: cakravia deploy v1.0.0",
        )
    artifact = _retained(site, last.digest, last.intent.version)
    deadline = Deadline(f"{last.intent.candidate} starts", site.settings.app.grace, clock=site.clock)
    slot = site.platform.start(last.intent.candidate, artifact, release=last.intent.release, deadline=deadline)
    _first_healthy(site, [slot])
    return slot


def _direct_or_restart_proxy(site: Site, slot: Slot) -> None:
    """Route users to the slot. Restart a proxy that still gives no answer, unless the settings forbid its start."""
    site.proxy.set_failover(allowed=False)
    count = site.settings.release.confirmations
    deadline = proxy_deadline(site, f"users reach {slot}")
    try:
        direct_users(site, slot, confirmations=0, deadline=deadline)
        site.proxy.refresh(deadline=deadline)
        require_confirmed(site, slot, count=count)
    except (NotConfirmed, ProxyError):
        site.proxy.check()
        site.proxy.stop(deadline=Deadline("the proxy stops", site.settings.app.grace, clock=site.clock))
        direct_users(site, slot, confirmations=count, deadline=proxy_deadline(site, "the proxy starts"))


def _healthy_slot(site: Site, state: SiteState) -> Slot:
    """Return a slot that can serve: one that is healthy, else one that becomes healthy, else the promoted version.

    The promoted version is started again in its own slot. It replaces an unhealthy process there only if its artifact
    is retained.
    """
    running = [slot for slot in (state.slots.at(state.proxy.chosen), state.slots.at(state.proxy.chosen.other)) if slot]
    if not running:
        return restart_promoted(site)
    if healthy := healthy_now(site, running):
        return healthy
    try:
        return _first_healthy(site, running)
    except DeadlineExceeded as error:
        last = last_holding(site.journal.entries())
        if last is None or kept_artifact(site, version=last.intent.version, digest=last.digest) is None:
            raise
        unhealthy = site.platform.observe(last.intent.candidate)
        if unhealthy is not None:
            deadline = Deadline(f"{unhealthy} stops", site.settings.app.grace, clock=site.clock)
            site.platform.stop(unhealthy.colour, deadline=deadline)
        try:
            return restart_promoted(site)
        except DeadlineExceeded:
            raise error from None


def healthy_now(site: Site, slots: Sequence[Slot]) -> Slot | None:
    """Return the first of the slots if it is healthy, else another healthy one; None if there is none.

    All are asked at once. A slot that hangs keeps users only for a moment from one that answers.
    """
    answers: queue.Queue[tuple[Slot, bool]] = queue.Queue()
    for slot in slots:
        threading.Thread(target=_put_health, args=(site, slot, answers), daemon=True).start()
    found: Slot | None = None
    for _ in slots:
        try:
            slot, is_well = answers.get(timeout=HEAD_START if found else None)
        except queue.Empty:
            return found
        if is_well and slot is slots[0]:
            return slot
        found = slot if is_well else found
    return found


def _put_health(site: Site, slot: Slot, answers: queue.Queue[tuple[Slot, bool]]) -> None:
    is_well = False
    try:
        is_well = is_healthy(site, slot)
    finally:
        answers.put((slot, is_well))


def _first_healthy(site: Site, slots: Sequence[Slot]) -> Slot:
    health = site.settings.health
    return poll(
        lambda: next((slot for slot in slots if is_healthy(site, slot)), None),
        deadline=Deadline(f"{' or '.join(map(str, slots))} is healthy", health.deadline, clock=site.clock),
        every=health.interval,
        observed=lambda: "; ".join(complaints(site.readings(slot)) for slot in slots),
    )


def _retained(site: Site, digest: str, version: str) -> Artifact:
    kept = kept_artifact(site, version=version, digest=digest)
    if kept is not None:
        return kept
    raise PlatformError(
        f"version {version} ({digest[:19]}) is not retained here", remedy="deploy a version from its source"
    )
