"""The rollback target, and the preview: would a rollback succeed now, and how long would it take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cakravia_verify.errors import JournalError, NothingToDo
from cakravia_verify.history.journal_file import JournalEntry
from cakravia_verify.history.previous_version import Build, previous_of
from cakravia_verify.history.releases import ROLLED_BACK, STUCK, Record, is_taken_down, last_holding, records
from cakravia_verify.recovery.rollback_checks import PreflightCheck, site_checks, target_checks
from cakravia_verify.recovery.rollback_estimate import Estimate, estimate_of
from cakravia_verify.release.conditions import is_healthy, kept_artifact
from cakravia_verify.site.site import Site, SiteState
from cakravia_verify.slots import Address, Artifact, Colour, Slot, checked_version


@dataclass(frozen=True)
class RollbackPreview:
    """The dry run of a rollback. `target` is None without a version to roll back to; `estimate` is None if the history
    has no similar release."""

    active: Slot | None
    target: Artifact | None
    is_warm: bool
    checks: tuple[PreflightCheck, ...]
    estimate: Estimate | None

    @property
    def is_possible(self) -> bool:
        """Whether every check passed, so that a rollback would succeed now."""
        return self.target is not None and all(check.is_ok for check in self.checks)


def target_of(site: Site, state: SiteState, *, version: str = "") -> Artifact:
    """Return the artifact to roll back to: the newest of `version`, else the one before the active version.

    Raises NothingToDo.
    """
    retained = site.platform.retained()
    entries = site.journal.entries()
    if version:
        wanted = checked_version(version)
        found = [artifact for artifact in retained if artifact.version == wanted]
    else:
        if state.active is None:
            raise NothingToDo("no version is active, so there is nothing to roll back", remedy="deploy a version first")
        before = _served_by_failover(entries, state.active) or previous_of(
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
            remedy="deploy it again from its source: cakravia deploy " + wanted,
        )
    return found[0]


def _refuse_another_build(before: Build, retained: Sequence[Artifact]) -> None:
    """Raise NothingToDo if only another build of that version is retained.

    A version can have several builds. Users had one of them; another one must be asked for by name.
    """
    others = [artifact.digest[:19] for artifact in retained if artifact.version == before.version]
    if others:
        raise NothingToDo(
            f"the build of {before.version} that users were on, {before.digest[:19]}, is not retained here; retained "
            f"under that name: {', '.join(others)}",
            remedy=f"--version {before.version} rolls back to the newest build of that name; or name another version, "
            "or deploy the version you want",
        )


def is_promoted(entries: Sequence[JournalEntry], slot: Slot) -> bool:
    """Return whether the version of this slot is the one that the history promoted last."""
    last = last_holding(entries)
    return last is not None and last.intent.version == slot.version and last.digest in ("", slot.digest)


def _served_by_failover(entries: Sequence[JournalEntry], active: Slot) -> Build | None:
    """Return the version before the promoted one if users are on it already, because the promoted one died.

    A rollback then promotes exactly that version, not an older one.
    """
    last = last_holding(entries)
    if last is None or is_promoted(entries, active):
        return None
    before = previous_of(entries, version=last.intent.version, digest=last.digest)
    return before if before and before.is_of(active.version, active.digest) else None


def preview_rollback(site: Site, *, version: str = "") -> RollbackPreview:
    """Run every check of the preflight. Nothing is changed. Raises UsageError if `version` is not a valid name."""
    if version:
        checked_version(version)
    now = site.observe()
    state = _once_repaired(site, now)
    checks = [*site_checks(site, now, repaired=state)]
    try:
        target = target_of(site, state, version=version)
    except (NothingToDo, JournalError) as error:
        checks.append(PreflightCheck("target", is_ok=False, detail=error.message, remedy=error.remedy))
        return RollbackPreview(state.active, None, is_warm=False, checks=tuple(checks), estimate=None)
    idle = state.slots.idle
    is_warm = idle is not None and (idle.version, idle.digest) == (target.version, target.digest)
    checks += [_target(site, state, target), *target_checks(site, state, target, is_warm=is_warm)]
    estimate = estimate_of(site, is_warm=is_warm)
    return RollbackPreview(state.active, target, is_warm=is_warm, checks=tuple(checks), estimate=estimate)


def _once_repaired(site: Site, state: SiteState) -> SiteState:
    """Return the site as it will be after the repair that a rollback does first.

    Returns `state` itself if nothing will be repaired, or if the result of the repair cannot be known.
    """
    try:
        entries = site.journal.entries()
        last = last_holding(entries)
    except JournalError:
        return state
    if (state.proxy.is_running and state.served is not None) or (state.is_empty and is_taken_down(entries)):
        return state
    slots, first = state.slots, state.proxy.chosen
    running = [slot for slot in (slots.at(first), slots.at(first.other)) if slot is not None]
    if (
        not running
        and last is not None
        and (kept := kept_artifact(site, version=last.intent.version, digest=last.digest))
    ):
        again = _started(last.intent.candidate, kept)
        pair = replace(slots, active_colour=again.colour, **{str(again.colour): again})
        return replace(state, slots=pair)
    healthy = next((slot for slot in running if is_healthy(site, slot)), None)
    return replace(state, slots=replace(slots, active_colour=healthy.colour)) if healthy else state


def _started(colour: Colour, artifact: Artifact) -> Slot:
    """Return the slot as it will be when that artifact runs in it."""
    return Slot(colour, artifact.version, artifact.digest, "", Address("", 0), identity="", started_at=0.0)


def past_rollbacks(entries: Sequence[JournalEntry]) -> tuple[Record, ...]:
    """Return the rollbacks that were asked for, and the releases that were undone or could not be."""
    return tuple(
        record
        for record in records(entries)
        if record.intent.policy.goes_back or record.outcome in (ROLLED_BACK, STUCK)
    )


def _target(site: Site, state: SiteState, target: Artifact) -> PreflightCheck:
    active = state.active
    is_active = active is not None and (active.version, active.digest) == (target.version, target.digest)
    # Users may be on the target only because the promoted version died: then a rollback makes it the promoted one.
    if active is not None and is_active and is_promoted(site.journal.entries(), active):
        return PreflightCheck(
            "target",
            is_ok=False,
            detail=f"{target.version} is active already",
            remedy="name another version with --version",
        )
    return PreflightCheck("target", is_ok=True, detail=target.version)
