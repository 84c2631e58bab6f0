"""The companions of a version move with the release: at the promotion, and back with a release that is undone.

A companion is stopped before its successor starts, so that none runs twice. The intent is in the journal first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from cakravia_verify.errors import CakraviaError, CompanionFailed, JournalError, SiteLost
from cakravia_verify.history.companions import (
    COMPANIONS_DONE,
    COMPANIONS_INTENT,
    COMPANIONS_RETURN,
    COMPANIONS_RETURNED,
    companions_before,
)
from cakravia_verify.history.releases import last_holding
from cakravia_verify.platforms.companions import Companion
from cakravia_verify.release.conditions import kept_artifact
from cakravia_verify.release.machine import Release
from cakravia_verify.settings.companions import CompanionSettings
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Artifact
from cakravia_verify.system.clock import Deadline

SHOWN_LINES: Final = 5
_EVERY: Final = 0.1


def move_companions(release: Release) -> str:
    """Stop the companions of other versions, and start those of the candidate. Returns a note, '' without companions.

    Raises CompanionFailed if one does not stay alive. In a rollback the note says so instead: users have left a version
    that harmed them, and do not go back to it for a companion.
    """
    site, running = release.site, release.site.platform.companions.running()
    if not site.settings.companions and not running:
        return ""
    artifact = _artifact(release)
    before = [{"name": each.name, "version": each.version, "digest": each.digest} for each in running]
    site.journal.append(COMPANIONS_INTENT, release=release.id, version=artifact.version, before=before)
    mine = {each.name for each in running if (each.digest, each.release) == (artifact.digest, release.id)}
    mine &= {companion.name for companion in site.settings.companions}
    _stop(site, [each.name for each in running if each.name not in mine], seconds=_graces_left(release))
    missing = [companion for companion in site.settings.companions if companion.name not in mine]
    problems = []
    for companion in missing:
        try:
            start_companion(site, companion, artifact, release=release.id)
        except CompanionFailed as error:
            if not release.intent.policy.goes_back:
                raise
            problems.append(error.message)
    now = site.platform.companions.running()
    names = ", ".join(each.name for each in now)
    site.journal.append(COMPANIONS_DONE, release=release.id, running=[each.name for each in now])
    return "; ".join([f"companions of {artifact.version}: {names or 'none'}", *problems])


def return_companions(release: Release) -> list[str]:
    """Bring back the companions that ran before this release moved them. Returns one line for each that fails.

    Users are back already. A companion that cannot be brought back stops nothing.
    """
    site = release.site
    try:
        before = companions_before(site.journal.entries(), release.id)
    except JournalError:
        return []  # the history is reported elsewhere
    if before is None:
        return []
    _record(release, COMPANIONS_RETURN)
    began = [each.name for each in site.platform.companions.running() if each.release == release.id]
    lines = _without_errors("stopped", began, lambda name: _stop(site, [name], seconds=_graces_left(release)))
    known = {companion.name: companion for companion in site.settings.companions}
    left = {each.name for each in site.platform.companions.running()}
    back = {each.name: each for each in before if each.name in known and each.name not in left}

    def start(name: str) -> None:
        artifact = kept_artifact(site, version=back[name].version, digest=back[name].digest)
        if artifact is None:
            raise CompanionFailed(f"version {back[name].version} is not retained")
        start_companion(site, known[name], artifact, release=_last_release(site))

    lines += _without_errors("brought back", back, start)
    _record(release, COMPANIONS_RETURNED, problems=lines or None)
    return lines


def correct_companions(site: Site) -> Iterator[str]:
    """Run exactly the companions of the promoted version. Yields one line for each change and for each failure."""
    last = last_holding(site.journal.entries())
    running = {each.name: each for each in site.platform.companions.running()}
    wanted = {companion.name: companion for companion in site.settings.companions}
    if last is None or (not wanted and not running):
        return
    artifact = kept_artifact(site, version=last.intent.version, digest=last.digest)
    wrong = [name for name, each in running.items() if name not in wanted or each.digest != last.digest]
    missing = [name for name in wanted if name not in running or name in wrong]
    if not wrong and not missing:
        return
    site.journal.append(COMPANIONS_INTENT, version=last.intent.version, stop=wrong, start=missing)
    failures = _without_errors("stopped", wrong, lambda name: _stop(site, [name], seconds=_graces(site)))
    yield from failures
    if failures:
        return  # a second one must not run beside one that still runs
    yield from (f"companion {running[name]} was stopped" for name in wrong)

    def start(name: str) -> None:
        if artifact is None:
            raise CompanionFailed(f"version {last.intent.version} is not retained")
        start_companion(site, wanted[name], artifact, release=last.intent.release)

    yield from _without_errors("started", missing, start)
    now = {each.name for each in site.platform.companions.running()}
    yield from (f"companion {name} ({last.intent.version}) was started" for name in missing if name in now)
    site.journal.append(COMPANIONS_DONE, version=last.intent.version, running=sorted(now))


def stop_companions(site: Site) -> list[str]:
    """Stop every companion of the site. Returns their names with the versions."""
    running = site.platform.companions.running()
    _stop(site, [each.name for each in running], seconds=_graces(site))
    return [str(each) for each in running]


def start_companion(site: Site, companion: CompanionSettings, artifact: Artifact, *, release: str) -> None:
    """Start the companion, and watch it for its settle time. Raises CompanionFailed; nothing of it runs then."""
    platform = site.platform.companions
    deadline = Deadline(f"{companion.name} starts", site.settings.health.deadline, clock=site.clock)
    try:
        started = platform.start(companion, artifact, release=release, deadline=deadline)
    except (CakraviaError, OSError) as error:
        message = error.message if isinstance(error, CakraviaError) else str(error)
        raise CompanionFailed(
            f"companion {companion.name} of {artifact.version} does not start: {message}",
            remedy=error.remedy if isinstance(error, CakraviaError) else "",
        ) from error
    settled = Deadline(f"{companion.name} stays alive", companion.settle, clock=site.clock)
    while _is_alive(platform.running(), started):
        if settled.is_over:
            return
        site.clock.sleep(min(_EVERY, max(settled.remaining, 0.01)))
    log = platform.logs(companion.name, lines=SHOWN_LINES)
    platform.stop(companion.name, deadline=Deadline(f"{companion.name} ends", 5.0, clock=site.clock))
    shown = " | ".join(line.strip() for line in log.splitlines() if line.strip())
    raise CompanionFailed(
        f"companion {companion.name} of {artifact.version} ended within {companion.settle:g} s of its start"
        f"{f'; its last lines: {shown}' if shown else ''}",
        remedy="correct its command in [[companions]], or the version",
    )


def _is_alive(running: Iterable[Companion], started: Companion) -> bool:
    return any((each.name, each.identity) == (started.name, started.identity) for each in running)


def _stop(site: Site, names: Iterable[str], *, seconds: Callable[[str], float]) -> None:
    for name in names:
        site.platform.companions.stop(name, deadline=Deadline(f"{name} ends", seconds(name), clock=site.clock))


def _graces(site: Site) -> Callable[[str], float]:
    """Return how many seconds each companion has from its stop signal to its kill."""
    own = {companion.name: companion.grace for companion in site.settings.companions}
    return lambda name: own.get(name) or site.settings.app.grace


def _graces_left(release: Release) -> Callable[[str], float]:
    """Return the same; after a signal it is what the signal leaves."""
    graces = _graces(release.site)
    return graces if release.shutdown_deadline is None else lambda name: min(graces(name), release.grace)


def _artifact(release: Release) -> Artifact:
    known = release.facts.artifact or release.target
    if known is not None:
        return known
    intent = release.intent
    slot = release.site.platform.observe(intent.candidate)
    kept = kept_artifact(release.site, version=intent.version, digest=slot.digest if slot else "")
    if kept is None:
        raise CompanionFailed(f"version {intent.version} is not retained, so its companions cannot start")
    return kept


def _last_release(site: Site) -> str:
    last = last_holding(site.journal.entries())
    return last.intent.release if last else ""


def _without_errors(what: str, names: Iterable[str] | Mapping[str, object], act: Callable[[str], None]) -> list[str]:
    """Act on each name. Returns one line for each failure; the others are done."""
    lines = []
    for name in names:
        try:
            act(name)
        except SiteLost:
            raise
        except (CakraviaError, OSError) as error:
            message = error.message if isinstance(error, CakraviaError) else str(error)
            lines.append(f"companion {name} could not be {what}: {message}")
    return lines


def _record(release: Release, event: str, **facts: Any) -> None:
    try:
        release.site.journal.append(event, release=release.id, **facts)
    except SiteLost:
        raise
    except JournalError:
        return
