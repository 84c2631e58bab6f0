"""What the journal says of each release, read back as values."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Iterator, Mapping, Reversible, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from cakravia_verify.errors import JournalError, LockHeld
from cakravia_verify.history.journal import Journal, JournalEntry
from cakravia_verify.kinds import SessionPolicy, policy_of
from cakravia_verify.slots import Colour
from cakravia_verify.system.processes import identity_of, process_named

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
    """The intent that a `release.started` entry records. Raises JournalError where it records none."""
    try:
        return _intent(entry)
    except (KeyError, ValueError) as error:
        raise JournalError(
            f"entry {entry.seq} of the history does not say what release {entry.release} is: {error!r}",
            remedy="mend that line, keeping a copy; a line that is taken out leaves the history damaged",
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
    """One release as the journal tells it. `outcome` is empty while it is unfinished; `seconds` likewise 0.

    `begun`, `undoing` and `undone` name steps in the order of the journal; `decision` is the last one on record, and
    `stands` says that users were to stay on the version whatever it is; `digest` is the artifact's. `process` and
    `host` say which process ran it, '' where an earlier history does not.
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
        """Whether users were left on its version: promoted, or gone back to for want of proof of anything better."""
        return self.outcome in HOLDING


@dataclass(frozen=True)
class Build:
    """One exact build of a version; `digest` is empty where the history does not tell it."""

    version: str
    digest: str

    def is_of(self, version: str, digest: str) -> bool:
        """Whether it may be this one: two versions may be built from the same files, and a version twice."""
        return self.version == version and digest in ("", self.digest or digest)


def this_process() -> dict[str, str]:
    """Who runs a release that starts now, for its first entry."""
    return {"process": identity_of(psutil.Process()), "host": socket.gethostname()}


def runs_still(record: Record) -> bool:
    """Whether another process of this machine still runs a release that has no end on record."""
    if record.is_finished or record.host != socket.gethostname():
        return False
    return record.process != identity_of(psutil.Process()) and process_named(record.process) is not None


def require_ended(record: Record) -> None:
    """Raises LockHeld, naming the process, where the release still runs."""
    if runs_still(record):
        pid = record.process.partition("@")[0]
        raise LockHeld(
            f"release {record.intent.release} ({record.intent.kind} {record.intent.version}) still runs: {record.who}, "
            f"process {pid} on {record.host}, since {record.at}; its lock does not show it: was that file removed?",
            remedy=f"wait for it to end, or stop process {pid}: the next command then finishes or undoes its release",
        )


def highest_token(journal: Journal) -> int:
    """The highest token under which anybody wrote. Raises LockHeld where the release of another process still runs,
    though its lock file was removed under it; JournalError where the history cannot be read."""
    with contextlib.suppress(JournalError):  # an intent that cannot be read names nobody
        for record in unfinished(journal.entries()):
            require_ended(record)
    return journal.highest_token()


def records(entries: Iterable[JournalEntry]) -> tuple[Record, ...]:
    """Every release in the journal, oldest first."""
    found: dict[str, list[JournalEntry]] = {}
    for entry in entries:
        if entry.event == "release.started":
            found[entry.release] = [entry]
        elif entry.release in found:
            found[entry.release].append(entry)
    return tuple(_record_of(rows) for rows in found.values())


def _newest_first(entries: Reversible[JournalEntry]) -> Iterator[Record]:
    """Every release in the journal, newest first; of a long history only what is looked at is read."""
    later: dict[str, list[JournalEntry]] = {}
    told: set[str] = set()
    for entry in reversed(entries):
        if not entry.release or entry.release in told:
            continue
        later.setdefault(entry.release, []).append(entry)
        if entry.event == "release.started":
            told.add(entry.release)
            yield _record_of(later.pop(entry.release)[::-1])


def _record_of(rows: Sequence[JournalEntry]) -> Record:
    """The release whose entries these are, in their order and beginning with `release.started`."""
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
    """Releases that came to no end, newest first: the order in which they are to be undone.

    What lies before one that holds users is history: undoing it now would take them away from where they are since.
    """
    found = []
    for record in _newest_first(entries):
        if record.holds_users:
            break
        if not record.is_finished or record.outcome == STUCK:
            found.append(record)
    return tuple(found)


def knows(entries: Iterable[JournalEntry], release: str) -> bool:
    """Whether this history tells of a release: one that a running slot names and it does not know came after it, or
    before it was lost."""
    return any(entry.release == release and entry.event == "release.started" for entry in entries)


def is_whole(journal: Journal) -> bool:
    """Whether users may be moved on the strength of this history."""
    return not flaw_of(journal)


def flaw_of(journal: Journal) -> str:
    """Why the history cannot be relied on, '' where it is whole: it or a line cannot be read, a line is missing,
    or one does not say what it should."""
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
    """Whether somebody took the site down and nothing has had users since: then it stays down until it is asked for."""
    for entry in reversed(entries):
        if entry.event == "site.down":
            return True
        if entry.event in ("site.up", "site.repaired") or entry.facts.get("outcome") in HOLDING:
            return False
    return False


def last_holding(entries: Reversible[JournalEntry]) -> Record | None:
    """The release that made the present version active, as far as the journal knows."""
    return next((record for record in _newest_first(entries) if record.holds_users), None)


def previous_of(entries: Iterable[JournalEntry], *, version: str, digest: str = "") -> Build | None:
    """The build that was active before the active one came.

    A rollback takes back what came after its target: rolling back twice goes two versions back, and never forward to
    the version that was rolled back from. Of what was before the history began, its first release tells the last.
    """
    line: list[Build] = []
    holding = [record for record in records(entries) if record.holds_users]
    if holding and not holding[0].intent.policy.goes_back and holding[0].intent.active_version:
        line.append(Build(holding[0].intent.active_version, holding[0].intent.active_digest))
    for record in holding:
        build = Build(record.intent.version, record.digest)
        if record.intent.policy.goes_back:
            same = [at for at, other in enumerate(line) if other.is_of(build.version, build.digest)]
            line = line[: same[-1]] if same else line
        line.append(build)
    active = [at for at, build in enumerate(line) if build.is_of(version, digest)]
    earlier = [build for build in line[: active[-1] if active else None] if not build.is_of(version, digest)]
    return earlier[-1] if earlier else None
