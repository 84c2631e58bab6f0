"""What of a site that no release changes does not run as it should."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from cakravia_verify.history.releases import Record, is_taken_down, last_holding, unfinished
from cakravia_verify.history.running_release import runs_still
from cakravia_verify.release.conditions import kept_artifact
from cakravia_verify.site.site import Site, SiteState
from cakravia_verify.slots import Artifact, Colour


class SitePart(StrEnum):
    """What can be out of order."""

    RELEASE = "an interrupted release"
    USERS = "users"
    PROMOTED = "the promoted version"
    PROXY = "the proxy's master process"
    WARM = "the warm slot"


@dataclass(frozen=True)
class Outage:
    """One part that is out of order. `is_certain`: one look is enough; else it may be one slow answer."""

    part: SitePart
    what: str
    is_certain: bool = True


def outages_of(site: Site) -> Iterator[Outage]:
    """Yield what is out of order. Nothing is expected of a site without a promoted release, or that was taken down."""
    entries = site.journal.entries()
    last = last_holding(entries)
    if last is None or is_taken_down(entries):
        return
    for record in unfinished(entries)[:1]:
        if not runs_still(record):
            yield Outage(SitePart.RELEASE, f"release {record.intent.release} was interrupted")
    state = site.observe()
    yield from _of_users(state, last)
    if state.proxy.is_running and not state.proxy.has_master:
        yield Outage(SitePart.PROXY, "nginx's master process ended; its workers still serve users")
    if (colour := missing_warm_slot(site, state, last)) is not None:
        yield Outage(SitePart.WARM, f"{colour} ({last.intent.active_version}), which stood by, ended")


def _of_users(state: SiteState, last: Record) -> Iterator[Outage]:
    promoted = f"{last.intent.candidate} ({last.intent.version})"
    if not state.proxy.is_running:
        yield Outage(SitePart.USERS, "the proxy does not run")
    elif state.served is None:
        is_gone = state.slots.at(state.proxy.chosen) is None
        yield Outage(SitePart.USERS, f"users get no answer from {state.proxy.chosen}", is_certain=is_gone)
    elif state.served is not last.intent.candidate:
        is_gone = state.slots.at(last.intent.candidate) is None
        yield Outage(SitePart.PROMOTED, f"{state.active} serves users instead of {promoted}", is_certain=is_gone)


def missing_warm_slot(site: Site, state: SiteState, last: Record) -> Colour | None:
    """Return the slot that should stand by for failover and is empty, None if it runs or none should."""
    colour = last.intent.active
    if colour is None or not wants_warm_slot(site, last) or state.slots.at(colour) is not None:
        return None
    return colour if warm_artifact(site, last) is not None else None


def wants_warm_slot(site: Site, last: Record) -> bool:
    """Return whether the version before the promoted one should run in the idle slot.

    It serves users if the active slot dies, and it makes the next rollback a warm one.
    """
    intent = last.intent
    is_kept = site.settings.slots.keep_warm and intent.policy.keeps_old_slot_as_failover
    return is_kept and intent.active is not None and intent.active is not intent.candidate


def warm_artifact(site: Site, last: Record) -> Artifact | None:
    """Return the artifact of the version before the promoted one, None if it is not retained."""
    return kept_artifact(site, version=last.intent.active_version, digest=last.intent.active_digest)
