"""The site in one sentence, from the users' side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cakravia_verify.monitor.web.snapshot import AlertRow, Headline, PublicSnapshot, Snapshot, Standing

# Alerts that say by themselves that users get no good answers.
OUTAGES = ("site", "outside", "tls")
MAINTENANCE = "maintenance"


def headline_of(state: Mapping[str, Any], alerts: Sequence[AlertRow], *, active: str, version: str) -> Headline:
    """Return whether users get answers, of what, and how many alerts are open."""
    facts: Mapping[str, Any] = state.get("facts") or {}
    release: Mapping[str, Any] = facts.get("release") or {}
    opened = [alert for alert in alerts if alert.is_open]
    where = f"{version or 'a version'} from {active}" if active else "no slot"
    detail = _opened_in_words(opened)
    if purpose := release.get("purpose"):
        detail = f"{str(purpose)[:80]} is under way. {detail}"
    if not state:
        return Headline(Standing.UNKNOWN, "Nothing is known", "the monitor never ran here")
    if any(alert.name in OUTAGES for alert in opened):
        return Headline(Standing.BAD, "Users get no good answer", detail)
    if any(alert.name == MAINTENANCE for alert in opened):
        return Headline(Standing.UNKNOWN, "Users are sent away on purpose: maintenance", detail)
    if release.get("is_down"):
        return Headline(Standing.UNKNOWN, "The site was taken down", detail)
    users = facts.get("users")
    if release and not release.get("has_users"):
        return Headline(Standing.UNKNOWN, "No version was released yet", detail)
    if not users:
        return Headline(Standing.UNKNOWN, "It is not known what users get", detail)
    if opened:
        standing = Standing.BAD if any(alert.urgency == "page" for alert in opened) else Standing.WARNING
        return Headline(standing, f"Users get {where}", detail)
    return Headline(Standing.GOOD, f"Users get {where}", detail)


def public_of(snapshot: Snapshot) -> PublicSnapshot:
    """Return what the public may see: no version, slot, alert or error text."""
    opened = [alert for alert in snapshot.alerts if alert.is_open]
    if any(alert.name in OUTAGES for alert in opened):
        said = Headline(Standing.BAD, "The site has an outage", "it is being looked at")
    elif any(alert.name == MAINTENANCE for alert in opened):
        said = Headline(Standing.UNKNOWN, "The site is in maintenance", "")
    elif snapshot.headline.standing is Standing.UNKNOWN:
        said = Headline(Standing.UNKNOWN, "The site is not in service", "")
    else:
        said = Headline(Standing.GOOD, "The site works", "")
    return PublicSnapshot(snapshot.site, snapshot.at, snapshot.every, said, snapshot.days)


def _opened_in_words(opened: Sequence[AlertRow]) -> str:
    if not opened:
        return "No alert is open."
    names = ", ".join(alert.name for alert in opened)
    return f"{len(opened)} open alert{'s' if len(opened) > 1 else ''}: {names}."
