"""What the journal says of each release, read back as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cakravia_verify.errors import JournalError
from cakravia_verify.journal import Entry
from cakravia_verify.slots import Colour

# What the gate decides, and what becomes of a release.
PROMOTE = "PROMOTE"
PROMOTED = "promoted"
UNPROVEN = "unproven"
ROLLED_BACK = "rolled back"
STUCK = "needs a person"
# Users were left on the version: after a promotion, or after a rollback that stands though not everything was shown.
HOLDING = (PROMOTED, UNPROVEN)


@dataclass(frozen=True)
class Intent:
    """What a release set out to do, fixed before its first step and enough to undo every step of it.

    `active` is where users were, None on an empty site. `is_warm` says that the idle slot already ran the target,
    `had_failover` that it might stand in, and `was_ill` that the active slot answered users and was not healthy.
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


def intent_of(entry: Entry) -> Intent:
    """The intent that a `release.started` entry records. Raises JournalError where it records none."""
    try:
        return _intent(entry)
    except (KeyError, ValueError) as error:
        raise JournalError(
            f"entry {entry.seq} of the history does not say what release {entry.release} is: {error!r}",
            remedy="mend that line or take it out of deployment-history.log; keep a copy",
        ) from error


def _intent(entry: Entry) -> Intent:
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
    """One release as the journal tells it. `outcome` is empty while it is unfinished; `seconds` likewise 0.

    `begun`, `undoing` and `undone` name steps in the order of the journal; `decision` is the last one on record, and
    `stands` says that users were to stay on the version whatever it is; `digest` is the artifact's.
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

    @property
    def is_finished(self) -> bool:
        return bool(self.outcome)

    @property
    def holds_users(self) -> bool:
        """Whether users were left on its version: promoted, or gone back to for want of proof of anything better."""
        return self.outcome in HOLDING


def records(entries: Iterable[Entry]) -> tuple[Record, ...]:
    """Every release in the journal, oldest first."""
    found: dict[str, Record] = {}
    for entry in entries:
        if entry.event == "release.started":
            found[entry.release] = Record(intent=intent_of(entry), who=entry.who, at=entry.at)
        elif entry.release in found:
            found[entry.release] = _after(found[entry.release], entry)
    return tuple(found.values())


def _after(record: Record, entry: Entry) -> Record:
    facts = entry.facts
    match entry.event:
        case "step.intent":
            return replace(record, begun=(*record.begun, entry.step))
        case "step.done":
            timed = (*record.step_seconds, (entry.step, _number(facts, "seconds")))
            return replace(record, step_seconds=timed, digest=str(facts.get("digest") or record.digest))
        case "undo.intent":
            return replace(record, undoing=(*record.undoing, entry.step))
        case "undo.done":
            return replace(record, undone=(*record.undone, entry.step))
        case "release.verdict":
            decision, stands = str(facts.get("decision", "")), facts.get("stands") is True
            return replace(
                record, decision=decision, stands=stands or decision == PROMOTE, why=str(facts.get("why", ""))
            )
        case "release.finished":
            return replace(
                record,
                outcome=str(facts.get("outcome", "")),
                why=str(facts.get("why") or record.why),
                seconds=_number(facts, "seconds"),
            )
    return record


def _number(facts: Mapping[str, Any], key: str) -> float:
    try:
        return float(facts.get(key) or 0.0)
    except (TypeError, ValueError):
        return 0.0


def unfinished(entries: Iterable[Entry]) -> tuple[Record, ...]:
    """Releases that came to no end, newest first: the order in which they are to be undone.

    What lies before one that holds users is history: undoing it now would take them away from where they are since.
    """
    found = []
    for record in reversed(records(entries)):
        if record.holds_users:
            break
        if not record.is_finished or record.outcome == STUCK:
            found.append(record)
    return tuple(found)


def is_taken_down(entries: Sequence[Entry]) -> bool:
    """Whether somebody took the site down and nothing has had users since: then it stays down until it is asked for."""
    for entry in reversed(entries):
        if entry.event == "site.down":
            return True
        if entry.event in ("site.up", "site.repaired") or entry.facts.get("outcome") in HOLDING:
            return False
    return False


def last_holding(entries: Iterable[Entry]) -> Record | None:
    """The release that made the present version active, as far as the journal knows."""
    holding = [record for record in records(entries) if record.holds_users]
    return holding[-1] if holding else None


def previous_of(entries: Sequence[Entry], *, version: str, digest: str = "") -> Record | None:
    """The release whose version was active before the active one came.

    A rollback takes back what came after its target: rolling back twice goes two versions back, and never forward to
    the version that was rolled back from.
    """
    line: list[Record] = []
    for record in records(entries):
        if record.holds_users:
            line = [*_before_version(line, record), record]
    active = [at for at, record in enumerate(line) if _is_of(record, version, digest)]
    earlier = [record for record in line[: active[-1] if active else None] if not _is_of(record, version, digest)]
    return earlier[-1] if earlier else None


def _before_version(line: list[Record], record: Record) -> list[Record]:
    """The part of `line` that a release of `record` leaves standing below itself."""
    if record.intent.kind != "rollback":
        return line
    same = [at for at, other in enumerate(line) if _is_of(other, record.intent.version, record.digest)]
    return line[: same[-1]] if same else line


def _is_of(record: Record, version: str, digest: str) -> bool:
    """Whether a release is of exactly this version: two versions may be built from the same files."""
    return record.intent.version == version and digest in ("", record.digest or digest)
