"""What the journal says about a release that runs, after each of its entries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from cakravia_verify.history.journal_file import JournalEntry
from cakravia_verify.history.releases import Intent, intent_of
from cakravia_verify.slots import Colour

_TO_USERS: Final = "switch"


class CandidateState(StrEnum):
    """What the candidate's slot does, in words."""

    WAITS = "idle"
    STARTS = "starts"
    STARTED = "started"
    HEALTHY = "healthy"
    GONE = "stopped"


_AFTER: Final = {
    "stage": CandidateState.STARTED,
    "prove": CandidateState.HEALTHY,
    "smoke": CandidateState.HEALTHY,
}


@dataclass(frozen=True)
class OpenStep:
    """The step that is under way. `began` is in seconds since 1970; `limit` is in seconds, None without a limit."""

    name: str
    began: float
    limit: float | None = None
    is_undo: bool = False


@dataclass(frozen=True)
class ReleaseProgress:
    """A release, as far as it is in the journal. `began` is in seconds since 1970.

    `users` is the slot that gets the users, None if no slot does. `failure` is the first thing that went wrong.
    """

    intent: Intent
    began: float
    users: Colour | None
    candidate: CandidateState = CandidateState.WAITS
    step: OpenStep | None = None
    last: str = ""
    is_drained: bool = False
    failure: str = ""
    decision: str = ""
    outcome: str = ""
    why: str = ""

    @property
    def is_finished(self) -> bool:
        return bool(self.outcome)


def progress_at(started: JournalEntry) -> ReleaseProgress:
    """Return a release at its first entry. Raises JournalError if the entry describes none."""
    intent = intent_of(started)
    return ReleaseProgress(
        intent, seconds_of(started.at), intent.active if intent.proxy_was_running else None, _state_before(intent)
    )


def progress_after(before: ReleaseProgress, entry: JournalEntry) -> ReleaseProgress:
    """Return the release after one more of its entries."""
    facts = entry.facts
    match entry.event:
        case "step.intent":
            limit = _number(facts.get("limit"))
            begun = replace(before, step=OpenStep(entry.step, seconds_of(entry.at), limit))
            return replace(begun, candidate=CandidateState.STARTS) if entry.step == "stage" else begun
        case "step.done":
            return _done(before, entry.step)
        case "step.failed":
            return replace(before, step=None, last=entry.step, failure=before.failure or str(facts.get("error") or ""))
        case "undo.intent":
            return replace(before, step=OpenStep(entry.step, seconds_of(entry.at), is_undo=True))
        case "undo.done":
            return _undone(before, entry.step)
        case "undo.failed":
            return replace(before, step=None, last=entry.step, failure=str(facts.get("error") or ""))
        case "release.verdict":
            decision, why = str(facts.get("decision") or ""), str(facts.get("why") or "")
            return replace(before, decision=decision, why=why)
        case "release.finished":
            why = str(facts.get("why") or before.why)
            return replace(before, step=None, outcome=str(facts.get("outcome") or ""), why=why)
    return before


def _done(before: ReleaseProgress, step: str) -> ReleaseProgress:
    after = replace(before, step=None, last=step, candidate=_AFTER.get(step, before.candidate))
    if step == _TO_USERS:
        return replace(after, users=before.intent.candidate)
    return replace(after, is_drained=True) if step == "drain" else after


def _undone(before: ReleaseProgress, step: str) -> ReleaseProgress:
    after = replace(before, step=None, last=step)
    if step == _TO_USERS:
        return replace(after, users=before.intent.active if before.intent.active_digest else None)
    return replace(after, candidate=CandidateState.GONE) if step == "stage" else after


def _state_before(intent: Intent) -> CandidateState:
    return CandidateState.STARTED if intent.is_warm else CandidateState.WAITS


def seconds_of(at: str) -> float:
    """Return the instant of an entry in seconds since 1970, 0 if it is unreadable."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
