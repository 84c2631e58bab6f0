"""The releases in the journal, read back as values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Reversible, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from cakravia_verify.errors import JournalError
from cakravia_verify.history.journal import Journal
from cakravia_verify.history.journal_file import JournalEntry
from cakravia_verify.kinds import SessionPolicy, policy_of
from cakravia_verify.slots import Colour

# The gate's decision, and the outcomes of a release.
PROMOTE = "PROMOTE"
PROMOTED = "promoted"
UNPROVEN = "unproven"
ROLLED_BACK = "rolled back"
STUCK = "needs a person"
# Outcomes that leave users on the version: a promotion, or a rollback without complete evidence.
HOLDING = (PROMOTED, UNPROVEN)


@dataclass(frozen=True)
class Intent:
    """The plan of a release, fixed before its first step. It is enough to undo every step.

    `active` is the slot that users were on, None on an empty site. `is_warm`: the idle slot already ran the target.
    `had_failover`: the proxy could fail over to the idle slot. `was_ill`: the active slot answered but was unhealthy.
    """

    release: str
    kind: str
    version: str
    candidate: Colour
    active: Colour | None
    active_version: str
    active_digest: str
    is_warm: bool
    proxy_was_running: bool
    reason: str
    had_failover: bool = True
    was_ill: bool = False

    @property
    def policy(self) -> SessionPolicy:
        """What this kind of release does differently."""
        return policy_of(self.kind)

    def as_facts(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "version": self.version,
            "slot": str(self.candidate),
            "from_slot": str(self.active) if self.active else None,
            "from_version": self.active_version or None,
            "from_digest": self.active_digest or None,
            "warm": self.is_warm,
            "proxy_was_running": self.proxy_was_running,
            "failover": self.had_failover,
            "from_ill": self.was_ill or None,
            "reason": self.reason or None,
        }


def intent_of(entry: JournalEntry) -> Intent:
    """Return the intent in a `release.started` entry. Raises JournalError if the entry has none."""
    try:
        return _intent(entry)
    except (KeyError, ValueError) as error:
        raise JournalError(
            f"entry {entry.seq} of the history does not describe release {entry.release}: {error!r}",
            remedy="keep a copy of the history and correct that line; a removed line would leave the history damaged",
        ) from error


def _intent(entry: JournalEntry) -> Intent:
    facts = entry.facts
    return Intent(
        release=entry.release,
        kind=str(facts["kind"]),
        version=str(facts["version"]),
        candidate=Colour(facts["slot"]),
        active=Colour(facts["from_slot"]) if facts.get("from_slot") else None,
        active_version=str(facts.get("from_version") or ""),
        active_digest=str(facts.get("from_digest") or ""),
        is_warm=bool(facts.get("warm")),
        proxy_was_running=bool(facts.get("proxy_was_running")),
        reason=str(facts.get("reason") or ""),
        had_failover=facts.get("failover") is not False,
        was_ill=facts.get("from_ill") is True,
    )


@dataclass(frozen=True)
class Record:
    """One release in the journal. While it is unfinished, `outcome` is empty and `seconds` is 0.

    `begun`, `undoing` and `undone` name steps in the order of the journal. `decision` is the last one in the journal.
    `stands`: users stay on the version, whatever the decision. `digest` is the artifact's. `process` and `host` name
    the process that ran the release; they are empty in an old history.
    """

    intent: Intent
    who: str
    at: str
    begun: tuple[str, ...] = ()
    undoing: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    outcome: str = ""
    decision: str = ""
    stands: bool = False
    why: str = ""
    digest: str = ""
    seconds: float = 0.0
    step_seconds: tuple[tuple[str, float], ...] = ()
    process: str = ""
    host: str = ""

    @property
    def is_finished(self) -> bool:
        return bool(self.outcome)

    @property
    def holds_users(self) -> bool:
        """Return whether the release left users on its version: promoted, or a rollback without complete evidence."""
        return self.outcome in HOLDING


def records(entries: Iterable[JournalEntry]) -> tuple[Record, ...]:
    """Return every release in the journal, oldest first."""
    found: dict[str, list[JournalEntry]] = {}
    for entry in entries:
        if entry.event == "release.started":
            found[entry.release] = [entry]
        elif entry.release in found:
            found[entry.release].append(entry)
    return tuple(_record_of(rows) for rows in found.values())


def newest_records(entries: Reversible[JournalEntry], most: int) -> tuple[Record, ...]:
    """Return at most `most` releases, newest first. Older entries are not decoded."""
    return tuple(islice(_newest_first(entries), most))


def _newest_first(entries: Reversible[JournalEntry]) -> Iterator[Record]:
    """Yield every release in the journal, newest first. Entries are decoded only as far as needed."""
    later: dict[str, list[JournalEntry]] = {}
    complete: set[str] = set()
    for entry in reversed(entries):
        if not entry.release or entry.release in complete:
            continue
        later.setdefault(entry.release, []).append(entry)
        if entry.event == "release.started":
            complete.add(entry.release)
            yield _record_of(later.pop(entry.release)[::-1])


def _record_of(rows: Sequence[JournalEntry]) -> Record:
    """Return the release with these entries. They are in journal order and begin with `release.started`."""
    started, *later = rows
    begun: list[str] = []
    undoing: list[str] = []
    undone: list[str] = []
    timed: list[tuple[str, float]] = []
    outcome, decision, why, digest, stands, seconds = "", "", "", "", False, 0.0
    for entry in later:
        facts = entry.facts
        match entry.event:
            case "step.intent":
                begun.append(entry.step)
            case "step.done":
                timed.append((entry.step, _number(facts, "seconds")))
                digest = str(facts.get("digest") or digest)
            case "undo.intent":
                undoing.append(entry.step)
            case "undo.done":
                undone.append(entry.step)
            case "release.verdict":
                decision, why = str(facts.get("decision", "")), str(facts.get("why", ""))
                stands = facts.get("stands") is True or decision == PROMOTE
            case "release.finished":
                outcome, why = str(facts.get("outcome", "")), str(facts.get("why") or why)
                seconds = _number(facts, "seconds")
    return Record(
        intent=intent_of(started),
        who=started.who,
        at=started.at,
        begun=tuple(begun),
        undoing=tuple(undoing),
        undone=tuple(undone),
        outcome=outcome,
        decision=decision,
        stands=stands,
        why=why,
        digest=digest,
        seconds=seconds,
        step_seconds=tuple(timed),
        process=str(started.facts.get("process") or ""),
        host=str(started.facts.get("host") or ""),
    )


def _number(facts: Mapping[str, Any], key: str) -> float:
    try:
        return float(facts.get(key) or 0.0)
    except (TypeError, ValueError):
        return 0.0


def unfinished(entries: Reversible[JournalEntry]) -> tuple[Record, ...]:
    """Return the releases without an end, newest first. This is the order in which they are undone.

    Releases before the last one that holds users are skipped. Undoing those would move users off the active version.
    """
    found = []
    for record in _newest_first(entries):
        if record.holds_users:
            break
        if not record.is_finished or record.outcome == STUCK:
            found.append(record)
    return tuple(found)


def knows(entries: Iterable[JournalEntry], release: str) -> bool:
    """Return whether the release began in this history.

    A running slot may name a release that is not here: the history was lost, or an older copy was put back.
    """
    return any(entry.release == release and entry.event == "release.started" for entry in entries)


def flaw_of(journal: Journal) -> str:
    """Return the first defect of the history, '' if it is whole.

    A defect is an unreadable file or line, a missing entry, or a `release.started` entry without an intent.
    """
    try:
        if damage := journal.damage():
            return damage[0]
        for entry in journal.entries():
            if entry.event == "release.started":
                intent_of(entry)
    except JournalError as error:
        return error.message
    return ""


def is_taken_down(entries: Reversible[JournalEntry]) -> bool:
    """Return whether `cakravia down` was the last change. Such a site stays down until `cakravia up` or a release."""
    for entry in reversed(entries):
        if entry.event == "site.down":
            return True
        if entry.event in ("site.up", "site.repaired") or entry.facts.get("outcome") in HOLDING:
            return False
    return False


def last_holding(entries: Reversible[JournalEntry]) -> Record | None:
    """Return the release that made the present version active, None if the journal has none."""
    return next((record for record in _newest_first(entries) if record.holds_users), None)
