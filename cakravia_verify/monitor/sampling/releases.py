"""What the lease and the history say: who changes the site, who should have the users, what changed last."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from itertools import takewhile
from typing import Final

from cakravia_verify.errors import JournalError
from cakravia_verify.history.journal import Journal
from cakravia_verify.history.journal_file import Entries, JournalEntry
from cakravia_verify.history.releases import HOLDING, STUCK, Record, is_taken_down, last_holding, unfinished
from cakravia_verify.history.running_release import runs_still
from cakravia_verify.kinds import policy_of
from cakravia_verify.monitor.facts import LastChange, ReleaseStatus
from cakravia_verify.monitor.sampling.source import Collected
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.lock import Lock
from cakravia_verify.site.maintenance import read_maintenance
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock

EVERY: Final = 1.0
# Entries that name the slot which users were brought to.
_BROUGHT: Final = ("site.up", "site.repaired")
_SITE_EVENTS: Final[Mapping[str, str]] = {
    "site.down": "the site was taken down",
    "site.up": "the site was started",
    "site.repaired": "the site was repaired",
}


class ReleaseSource:
    """Reads the lease every second, and of the history what was added."""

    name = "release"
    every = EVERY
    deadline = 30.0

    def __init__(self, settings: Settings, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._state = settings.state
        self._keeps_warm = settings.slots.keep_warm
        self._lock = Lock(settings.state / "lock")
        self._journal = Journal(settings.history)
        self._clock = clock
        self._known: tuple[Entries, str, ReleaseStatus] | None = None

    def collect(self) -> Collected:
        holder, at = self._lock.holder(), self._clock.wall()
        purpose, entries = holder.purpose if holder else "", self._journal.entries()
        if self._known is not None:
            known, known_purpose, status = self._known
            # A release that runs may die without another entry, so what it left is looked at again.
            if known_purpose == purpose == "" and not status.left and _are_same(known, entries):
                return Collected(replace(status, at=at, maintenance=read_maintenance(self._state)))
        last = last_holding(entries)
        status = ReleaseStatus(
            at=at,
            purpose=purpose,
            has_users=last is not None,
            is_down=is_taken_down(entries),
            active=active_slot(entries) if last else None,
            has_previous=self._keeps_warm and last is not None and stands_by(entries, last),
            left="" if holder else _left(entries),
            last_change=last_change(entries),
            supervised=last_supervision(entries),
            maintenance=read_maintenance(self._state),
        )
        self._known = (entries, purpose, status)
        return Collected(status)


def _are_same(one: Entries, other: Entries) -> bool:
    """Whether nothing was appended between two looks at the history."""
    return other.continues(one) and one.continues(other)


def _left(entries: Entries) -> str:
    """Return what a release left behind that neither ended nor was undone, '' for nothing."""
    with contextlib.suppress(JournalError):
        for record in unfinished(entries):
            if runs_still(record):
                continue
            what = "cannot be undone" if record.outcome == STUCK else "died and is neither finished nor undone"
            return f"the {record.intent.kind} of {record.intent.version} ({record.intent.release}) {what}"
    return ""


def active_slot(entries: Entries) -> Colour | None:
    """Return the slot that users were brought to last: by a release that holds, a start or a repair of the site."""
    for entry in reversed(entries):
        is_end = entry.event == "release.finished" and entry.facts.get("outcome") in HOLDING
        if (is_end or entry.event in _BROUGHT) and entry.facts.get("slot") in set(Colour):
            return Colour(entry.facts["slot"])
    return None


def stands_by(entries: Entries, last: Record) -> bool:
    """Return whether the idle slot should run after the last release that holds users.

    A start of the site starts the version before again, but none that users were rolled back from.
    """
    if last.intent.active is None or last.intent.policy.keeps_old_slot_as_failover:
        return last.intent.active is not None
    end = ("release.finished", last.intent.release)
    since_end = takewhile(lambda entry: (entry.event, entry.release) != end, reversed(entries))
    return not any(entry.event == "site.up" for entry in since_end)


def last_change(entries: Entries) -> LastChange | None:
    """Return the newest entry that changed what users get, or may have."""
    for entry in reversed(entries):
        if (said := _SITE_EVENTS.get(entry.event)) is not None:
            return LastChange(_seconds(entry), said)
        if entry.event == "release.finished":
            outcome = str(entry.facts.get("outcome", "ended"))
            what = _what(entries, entry.release)
            return LastChange(
                _seconds(entry), f"{what} was promoted" if outcome == "promoted" else f"{what}: {outcome}"
            )
        if entry.event in ("step.done", "step.intent") and entry.step == "switch":
            return LastChange(_seconds(entry), f"users were switched to {_what(entries, entry.release)}")
        if entry.event == "undo.done" and entry.step == "switch":
            return LastChange(_seconds(entry), f"users were switched back from {_what(entries, entry.release)}")
    return None


def last_supervision(entries: Entries) -> LastChange | None:
    """Return the newest entry of the supervisor: what died and was started again, or that it keeps dying."""
    for entry in reversed(entries):
        if entry.event == "site.crash_loop":
            return LastChange(_seconds(entry), f"a crash loop: {entry.facts.get('what', '')}")
        if entry.event == "site.supervised":
            return LastChange(_seconds(entry), "; ".join(map(str, entry.facts.get("parts") or ())))
    return None


def _what(entries: Entries, release: str) -> str:
    for entry in reversed(entries):
        if entry.release == release and entry.event == "release.started":
            kind = f" (by a {policy.name})" if (policy := policy_of(str(entry.facts.get("kind")))).goes_back else ""
            return f"{entry.facts.get('version', 'a version')}{kind}"
    return f"release {release}"


def _seconds(entry: JournalEntry) -> float:
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(entry.at.replace("Z", "+00:00")).timestamp()
    return 0.0
