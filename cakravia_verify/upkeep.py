"""Keeping a site up between releases: start it, stop it, mend it."""

from __future__ import annotations

from cakravia_verify.assurance import is_healthy, kept_artifact
from cakravia_verify.deadline import Deadline, poll
from cakravia_verify.errors import NothingToDo, PlatformError
from cakravia_verify.history import last_promoted
from cakravia_verify.recovery import left_behind, recover
from cakravia_verify.site import Site, SiteState
from cakravia_verify.slots import Artifact, Colour, Slot
from cakravia_verify.steps import PROXY_SECONDS, STEPS


def bring_up(site: Site) -> str:
    """The version that was promoted last serves users; told in one line. Does nothing where one serves already."""
    repaired = [*reconnect(site), *finish_or_undo(site)]
    state = site.observe()
    if state.proxy.is_running and state.served is not None:
        told = f"{state.active} serves users at {site.proxy.address.url}; nothing to start"
        return "\n".join([*repaired, told])
    slot = state.active or _restart(site)
    _await_healthy(site, slot)
    site.proxy.set_failover(allowed=False)
    site.proxy.start(slot.colour, deadline=Deadline("the proxy starts", PROXY_SECONDS, clock=site.clock))
    site.journal.append("site.up", version=slot.version, slot=str(slot.colour))
    return "\n".join([*repaired, f"{slot} serves users at {site.proxy.address.url}"])


def bring_down(site: Site) -> str:
    """Nothing of the site runs; the proxy ended first, with its requests in flight finished."""
    grace = site.settings.app.grace
    site.proxy.stop(deadline=Deadline("the proxy stops", grace, clock=site.clock))
    stopped = []
    for colour in Colour:
        if slot := site.platform.observe(colour):
            site.platform.stop(colour, deadline=Deadline(f"{colour} stops", grace, clock=site.clock))
            stopped.append(str(slot))
    site.journal.append("site.down", stopped=stopped)
    return f"stopped: proxy{''.join(f', {name}' for name in stopped)}; cakravia up starts the site again"


def reconnect(site: Site) -> list[str]:
    """Parts of the site that run and could not reach each other do so again; one line for each."""
    lines = list(site.platform.mend())
    if lines:
        site.journal.append("site.reconnected", parts=lines)
    if lines and site.proxy.observe().is_running:
        # Slots may have got other addresses than the proxy knows.
        site.proxy.refresh(deadline=Deadline("the proxy takes its configuration", PROXY_SECONDS, clock=site.clock))
    return lines


def take_up_changes(site: Site) -> list[str]:
    """The proxy runs by the settings and the certificate of now, and no log is longer than its bound; a line where that
    took a reload. Raises ProxyError or UsageError where they cannot be run by: then the proxy goes on as before."""
    site.bound_logs()
    deadline = Deadline("the proxy takes its configuration", PROXY_SECONDS, clock=site.clock)
    if not site.proxy.observe().is_running or not site.proxy.refresh(deadline=deadline):
        return []
    site.journal.append("site.refreshed")
    return ["the proxy took up its changed configuration"]


def finish_or_undo(site: Site) -> list[str]:
    """Every release that died is finished or undone; one line for each."""
    lines = []
    for record in left_behind(site):
        outcome = recover(site, record, STEPS, audience=lambda _: None)
        lines.append(f"release {record.intent.release} ({record.intent.version}): {outcome}")
    return lines


def repair(site: Site) -> list[str]:
    """What was mended: dead releases, users without a healthy slot, and users on another slot than the promoted one."""
    lines = [*reconnect(site), *finish_or_undo(site), *serve_again(site)]
    state = site.observe()
    if state.is_empty or last_promoted(site.journal.entries()) is None:
        return lines
    return [*lines, *_bring_to_promoted(site, state)]


def serve_again(site: Site) -> list[str]:
    """Users who were without an answer have a healthy slot; one line for what was done. Whoever is served stays where
    he is, and a site of which nothing runs stays down."""
    state = site.observe()
    if state.is_empty or last_promoted(site.journal.entries()) is None:
        return []
    if state.proxy.is_running and state.served is not None:
        return _rely_on_stand_in(site, state)
    active, standby = state.active, state.slots.idle
    if standby is None or (active is not None and (is_healthy(site, active) or not is_healthy(site, standby))):
        return [bring_up(site)]
    _await_healthy(site, standby)
    deadline = Deadline(f"users reach {standby}", PROXY_SECONDS, clock=site.clock)
    if state.proxy.is_running:
        site.proxy.point_at(standby.colour, deadline=deadline)
    else:
        site.proxy.start(standby.colour, deadline=deadline)
    site.journal.append("site.repaired", version=standby.version, slot=str(standby.colour))
    return [f"users were without a slot; they are on {standby} now"]


def _rely_on_stand_in(site: Site, state: SiteState) -> list[str]:
    """Where the chosen slot is dead or ill and the other one answers in its place, the other one is chosen: the next
    release takes failover away from whoever only stands in."""
    chosen, stand_in = state.slots.at(state.proxy.chosen), state.active
    if stand_in is None or stand_in.colour is state.proxy.chosen:
        return []
    if chosen is not None and is_healthy(site, chosen):
        return []
    site.proxy.point_at(
        stand_in.colour, deadline=Deadline(f"users stay on {stand_in}", PROXY_SECONDS, clock=site.clock)
    )
    site.journal.append("site.repaired", version=stand_in.version, slot=str(stand_in.colour))
    return [f"{state.proxy.chosen} does not answer and {stand_in} stood in for it; users are on {stand_in} now"]


def _bring_to_promoted(site: Site, state: SiteState) -> list[str]:
    """Users are on the slot that the history promoted, where that slot is as it was promoted and healthy; whatever
    moved them past the gate (a hand, another tool) had no verdict."""
    last = last_promoted(site.journal.entries())
    slot = state.slots.at(last.intent.candidate) if last else None
    if last is None or slot is None or state.served is slot.colour:
        return []
    is_promoted = slot.version == last.intent.version and last.digest in ("", slot.digest)
    if not is_promoted or not is_healthy(site, slot):
        return []
    site.proxy.set_failover(allowed=False)
    site.proxy.point_at(slot.colour, deadline=Deadline(f"users reach {slot}", PROXY_SECONDS, clock=site.clock))
    site.journal.append("site.repaired", version=slot.version, slot=str(slot.colour))
    return [f"users were on {state.served}, which the history did not promote; they are on {slot} now"]


def _restart(site: Site) -> Slot:
    """The version promoted last, started again in its slot."""
    last = last_promoted(site.journal.entries())
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
    health = site.settings.health
    poll(
        lambda: is_healthy(site, slot),
        deadline=Deadline(f"{slot} is healthy", health.deadline, clock=site.clock),
        every=health.interval,
        seen=lambda: "; ".join(str(r) for r in site.readings(slot) if not r.is_healthy),
    )
