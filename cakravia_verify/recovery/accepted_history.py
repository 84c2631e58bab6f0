"""Accept a damaged history: what can be read of it counts, and the version that users are on counts as promoted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.history.releases import PROMOTED, Intent, flaw_of, last_holding, unfinished
from cakravia_verify.history.rewriting import rewrite_history
from cakravia_verify.kinds import DEPLOY
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Slot

ACCEPTED: Final = "accepted"
WHY: Final = "accepted by cakravia recover --accept-history"


def accept_history(site: Site) -> Iterator[str]:
    """Make the history one that recovery relies on again. Yields one line for each thing done. Moves no user.

    A damaged file is written anew from its readable entries and is kept beside it. Interrupted releases are closed
    without being finished or undone. The version that serves users becomes the promoted one. Raises JournalError.
    """
    active = site.observe().active
    doubt = site.doubt_about_history(active)
    if not doubt:
        yield "the history is whole; there is nothing to accept"
        return
    if flaw_of(site.journal):
        kept = rewrite_history(site.journal, wall=site.clock.wall())
        yield f"the history was written anew from what can be read; the damaged one is {kept}"
    site.journal.append("history.accepted", doubt=doubt)
    for record in unfinished(site.journal.entries()):
        site.journal.append("release.finished", release=record.intent.release, outcome=ACCEPTED, why=WHY)
        yield f"release {record.intent.release} ({record.intent.version}) is closed, neither finished nor undone"
    if active is not None and not _is_promoted(site, active):
        _promote(site, active)
        yield f"{active}, which users are on, counts as promoted"


def _is_promoted(site: Site, active: Slot) -> bool:
    last = last_holding(site.journal.entries())
    if last is None or site.doubt_about_history(active):
        return False
    intent = last.intent
    return (intent.candidate, intent.version, last.digest) == (active.colour, active.version, active.digest)


def _promote(site: Site, active: Slot) -> None:
    """Write a release of the active version into the history, under the name that its slot has."""
    release = active.release or f"accepted-{active.version}"
    intent = Intent(
        release=release,
        kind=DEPLOY.name,
        version=active.version,
        candidate=active.colour,
        active=None,
        active_version="",
        active_digest="",
        is_warm=False,
        proxy_was_running=True,
        reason=WHY,
    )
    site.journal.append("release.started", release=release, **intent.as_facts())
    site.journal.append("step.done", release=release, step="stage", digest=active.digest)
    colour = str(active.colour)
    site.journal.append(
        "release.finished", release=release, outcome=PROMOTED, why=WHY, version=active.version, slot=colour
    )
