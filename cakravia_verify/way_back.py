"""The way back: which artifact a rollback would return to, whether it would succeed now, and how long it would take."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cakravia_verify.errors import CakraviaError, JournalError, LockHeld, NothingToDo
from cakravia_verify.history import ROLLED_BACK, STUCK, Build, Record, last_holding, previous_of, records, unfinished
from cakravia_verify.journal import Entry
from cakravia_verify.report.latest import require_writable
from cakravia_verify.site import Site, SiteState
from cakravia_verify.slots import Artifact, Slot, checked_version

# What has to happen before users are back, and what follows while they are.
UNTIL_USERS_ARE_BACK = ("build", "prepare", "stage", "prove", "smoke", "switch")
OF_A_COLD_START = ("stage", "prove")
RECENT = 10


@dataclass(frozen=True)
class Finding:
    """One thing a rollback needs: what was seen, and what to do where it is not so."""

    name: str
    is_ok: bool
    seen: str
    remedy: str = ""


@dataclass(frozen=True)
class Estimate:
    """How long a rollback takes, in seconds: until users are back, and to its very end. `basis` says from what."""

    users_back: float
    whole: float
    basis: str


@dataclass(frozen=True)
class WayBack:
    """What a rollback would meet now. `target` is None where there is nothing to go back to; `estimate` is None where
    the history has measured nothing like it."""

    active: Slot | None
    target: Artifact | None
    is_warm: bool
    findings: tuple[Finding, ...]
    estimate: Estimate | None

    @property
    def is_open(self) -> bool:
        """Whether a rollback would succeed, as far as can be seen without doing it."""
        return self.target is not None and all(finding.is_ok for finding in self.findings)


def target_of(site: Site, state: SiteState, *, version: str = "") -> Artifact:
    """The exact artifact to go back to: that of `version`, or of the one before the active one. Raises NothingToDo."""
    retained = site.platform.retained()
    entries = site.journal.entries()
    if version:
        wanted = checked_version(version)
        found = [artifact for artifact in retained if artifact.version == wanted]
    else:
        if state.active is None:
            raise NothingToDo("no version is active, so there is nothing to roll back", remedy="deploy one first")
        before = _stood_in(entries, state.active) or previous_of(
            entries, version=state.active.version, digest=state.active.digest
        )
        if before is None:
            raise NothingToDo(
                f"there is no version before {state.active.version} in the history",
                remedy="name one with --version, or deploy the version you want",
            )
        wanted = before.version
        found = [artifact for artifact in retained if before.is_of(artifact.version, artifact.digest)]
        if not found:
            _refuse_another_build(before, retained)
    if not found:
        names = ", ".join(dict.fromkeys(artifact.version for artifact in retained)) or "none"
        raise NothingToDo(
            f"version {wanted} is not retained here; retained: {names}",
            remedy="deploy it again from its source: pytest suites/deploy --version " + wanted,
        )
    return found[0]


def _refuse_another_build(before: Build, retained: Sequence[Artifact]) -> None:
    """A version can be built twice: users had one of these, and another under the same name is not what they go back to
    unless somebody asks for it by name."""
    others = [artifact.digest[:19] for artifact in retained if artifact.version == before.version]
    if others:
        raise NothingToDo(
            f"the build of {before.version} that users were on, {before.digest[:19]}, is not retained here; retained "
            f"under that name: {', '.join(others)}",
            remedy=f"--version {before.version} goes to the newest build of that name, another --version elsewhere; "
            "or deploy the version you want",
        )


def is_promoted(entries: Sequence[Entry], slot: Slot) -> bool:
    """Whether the history promoted this slot's version last, so that users are on it by a verdict."""
    last = last_holding(entries)
    return last is not None and last.intent.version == slot.version and last.digest in ("", slot.digest)


def _stood_in(entries: Sequence[Entry], active: Slot) -> Build | None:
    """The version before the promoted one, where users are on that version already because the promoted one died or
    gave no answer: going back makes it theirs by a verdict, and goes no further back."""
    last = last_holding(entries)
    if last is None or is_promoted(entries, active):
        return None
    before = previous_of(entries, version=last.intent.version, digest=last.digest)
    return before if before and before.is_of(active.version, active.digest) else None


def look_back(site: Site, *, version: str = "") -> WayBack:
    """Whether a rollback would succeed now; nothing is changed. Raises UsageError for a name that cannot be one."""
    if version:
        checked_version(version)
    state = site.observe()
    findings = [_lock(site), _history(site), *_tools(site), _proxy(state)]
    try:
        target = target_of(site, state, version=version)
    except NothingToDo as error:
        findings.append(Finding("target", is_ok=False, seen=error.message, remedy=error.remedy))
        return WayBack(state.active, None, is_warm=False, findings=tuple(findings), estimate=None)
    idle = state.slots.idle
    is_warm = idle is not None and (idle.version, idle.digest) == (target.version, target.digest)
    findings += [_target(state, target), _retained(site, target), _slot(site, state, target, is_warm=is_warm)]
    estimate = estimate_of(site, is_warm=is_warm)
    return WayBack(state.active, target, is_warm=is_warm, findings=tuple(findings), estimate=estimate)


def ways_back(entries: Sequence[Entry]) -> tuple[Record, ...]:
    """Every release in which users went back, or should have: rollbacks somebody asked for, and releases undone."""
    return tuple(
        record
        for record in records(entries)
        if record.intent.kind == "rollback" or record.outcome in (ROLLED_BACK, STUCK)
    )


def estimate_of(site: Site, *, is_warm: bool) -> Estimate | None:
    """How long a rollback would take, by the medians of what the history measured of the like."""
    try:
        promoted = [record for record in records(site.journal.entries()) if record.holds_users and record.step_seconds]
    except JournalError:
        return None
    alike = [record for record in promoted if record.intent.kind == "rollback" and record.intent.is_warm is is_warm]
    if alike:
        alike = alike[-RECENT:]
        basis = f"median of {len(alike)} {'warm' if is_warm else 'cold'} rollback{'s' if len(alike) > 1 else ''}"
        whole = statistics.median(record.seconds for record in alike)
        return Estimate(_users_back(alike, UNTIL_USERS_ARE_BACK), whole, basis)
    # Deploys go the same way, and build on top; their candidates always start cold.
    cold = [record for record in promoted if not record.intent.is_warm and record.intent.active is not None]
    cold = (cold or [record for record in promoted if not record.intent.is_warm])[-RECENT:]
    if not cold:
        return None
    without = {"build", *(OF_A_COLD_START if is_warm else ())}
    steps = [step for step in UNTIL_USERS_ARE_BACK if step not in without]
    health = site.settings.health
    # Of a warm slot only the good readings in a row are waited for.
    proving = (health.consecutive - 1) * health.interval if is_warm else 0.0
    users_back = _users_back(cold, steps) + proving
    after = statistics.median(
        record.seconds - sum(seconds for step, seconds in record.step_seconds if step in UNTIL_USERS_ARE_BACK)
        for record in cold
    )
    return Estimate(users_back, users_back + after, f"from {len(cold)} deploy{'s' if len(cold) > 1 else ''}")


def _users_back(alike: Sequence[Record], steps: Sequence[str]) -> float:
    return statistics.median(sum(seconds for step, seconds in record.step_seconds if step in steps) for record in alike)


# What a rollback needs, one thing at a time.


def _lock(site: Site) -> Finding:
    name = "the site is free"
    holder = site.lock.holder()
    if holder is not None:
        error = LockHeld(str(holder), remedy="wait for it to end, or give the rollback --wait 60")
        return Finding(name, is_ok=False, seen=f"held by {error.message}", remedy=error.remedy)
    return Finding(name, is_ok=True, seen="nobody holds the lock")


def _history(site: Site) -> Finding:
    name = "the history is whole"
    try:
        damage, left = site.journal.damage(), unfinished(site.journal.entries())
    except JournalError as error:
        return Finding(name, is_ok=False, seen=error.message, remedy=error.remedy)
    if damage:
        return Finding(name, is_ok=False, seen=damage[0], remedy="mend that line; keep a copy of the file")
    if site.journal.path.exists() and not os.access(site.journal.path, os.W_OK):
        return Finding(name, is_ok=False, seen="it cannot be written", remedy=f"mend {site.journal.path}")
    if left and site.lock.holder() is None:
        what = "cannot be undone" if left[0].outcome == STUCK else "died and is neither finished nor undone"
        return Finding(name, is_ok=False, seen=f"release {left[0].intent.release} {what}", remedy="cakravia recover")
    return Finding(name, is_ok=True, seen="it can be read and written, and no release is left half done")


def _tools(site: Site) -> Iterator[Finding]:
    for name, ask in (
        ("slots can run", site.platform.check),
        ("the proxy can run", site.proxy.check),
        ("a report can be written", lambda: require_writable(site.settings.reports)),
    ):
        yield _found(name, ask, seen="as it should be")


def _proxy(state: SiteState) -> Finding:
    name = "users are served"
    if not state.proxy.is_running:
        return Finding(name, is_ok=False, seen="the proxy is not running", remedy="cakravia up")
    if state.drift:
        return Finding(name, is_ok=False, seen="; ".join(state.drift), remedy="cakravia recover")
    return Finding(name, is_ok=True, seen=f"{state.active} serves them, and proxy, slots and history agree")


def _target(state: SiteState, target: Artifact) -> Finding:
    active = state.active
    if active is not None and (active.version, active.digest) == (target.version, target.digest):
        return Finding(
            "target", is_ok=False, seen=f"{target.version} is active already", remedy="name another one with --version"
        )
    return Finding("target", is_ok=True, seen=target.version)


def _retained(site: Site, target: Artifact) -> Finding:
    return _found(
        "its artifact is intact",
        lambda: site.platform.verify(target),
        seen=f"{target.digest[:19]}, as when it was made",
    )


def _slot(site: Site, state: SiteState, target: Artifact, *, is_warm: bool) -> Finding:
    colour, idle = state.slots.idle_colour, state.slots.idle
    name = f"{colour} is ready for it"
    if not is_warm or idle is None:
        there = f"{idle} makes room" if idle else "it is empty"
        return Finding(name, is_ok=True, seen=f"cold: {there}, {target.version} is started")
    ill = [reading for reading in site.readings(idle) if not reading.is_healthy]
    if ill:
        remedy = f"see cakravia logs {colour}; pytest suites/deploy --version {target.version} starts it anew"
        return Finding(name, is_ok=False, seen=f"{idle} is warm but not healthy: {ill[0]}", remedy=remedy)
    return Finding(name, is_ok=True, seen=f"warm: {idle} is healthy")


def _found(name: str, ask: Callable[[], object], *, seen: str) -> Finding:
    try:
        ask()
    except CakraviaError as error:
        return Finding(name, is_ok=False, seen=error.message, remedy=error.remedy)
    return Finding(name, is_ok=True, seen=seen)
