"""What a release would do now, step by step, with the durations that the history expects. Changes nothing."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cakravia_verify.errors import CakraviaError, JournalError
from cakravia_verify.history.releases import records
from cakravia_verify.recovery.interrupted import left_behind
from cakravia_verify.release.hooks import with_hooks
from cakravia_verify.release.steps import STEPS
from cakravia_verify.settings.hooks import HookMoment
from cakravia_verify.site.site import Site, SiteState
from cakravia_verify.slots import Slot, checked_version

# How many of the latest releases count.
RECENT: Final = 10


@dataclass(frozen=True)
class PlannedStep:
    """One step: what it would do, and how long it took before, in seconds. None: the history has no such step."""

    name: str
    does: str
    seconds: float | None


@dataclass(frozen=True)
class ReleasePreview:
    """The dry run of a deploy. `problems` are reasons why it would be refused; `first` is done before the first step.

    `seconds` is the median of the whole releases in the history, None without any.
    """

    version: str
    state: SiteState
    steps: tuple[PlannedStep, ...]
    first: tuple[str, ...]
    problems: tuple[str, ...]
    seconds: float | None
    basis: str


def preview_release(site: Site, version: str) -> ReleasePreview:
    """Return what a deploy of the version would do on the site as it is now. Raises UsageError for a bad version."""
    checked_version(version)
    state = site.observe()
    past = _past_seconds(site)
    words = _words(site, state, version)
    steps = tuple(
        PlannedStep(step.name, words.get(step.name) or _hooks_at(site, step.name), past.steps.get(step.name))
        for step in with_hooks(STEPS, site.settings.hooks)
    )
    return ReleasePreview(
        version=version,
        state=state,
        steps=steps,
        first=tuple(_first(site, state)),
        problems=tuple(_problems(site, state, version)),
        seconds=past.whole,
        basis=f"median of {past.count} deploy{'s' if past.count > 1 else ''}" if past.count else "",
    )


@dataclass(frozen=True)
class _PastSeconds:
    """Medians of the latest promoted deploys."""

    steps: Mapping[str, float]
    whole: float | None = None
    count: int = 0


def _past_seconds(site: Site) -> _PastSeconds:
    try:
        found = [record for record in records(site.journal.entries()) if record.holds_users and record.step_seconds]
    except JournalError:
        return _PastSeconds({})
    deploys = [record for record in found if not record.intent.policy.goes_back][-RECENT:]
    if not deploys:
        return _PastSeconds({})
    by_step: dict[str, list[float]] = {}
    for record in deploys:
        for step, seconds in record.step_seconds:
            by_step.setdefault(step, []).append(seconds)
    medians = {step: statistics.median(seconds) for step, seconds in by_step.items()}
    return _PastSeconds(medians, statistics.median(record.seconds for record in deploys), len(deploys))


def _first(site: Site, state: SiteState) -> Iterator[str]:
    for record in left_behind(site):
        yield f"finishes or undoes the interrupted release {record.intent.release}"
    yield from (f"drift: {each}" for each in state.drift)
    yield from site.platform.notes()


def _problems(site: Site, state: SiteState, version: str) -> Iterator[str]:
    if state.active and state.active.version == version:
        yield f"{version} is active already, on {state.active.colour}: a release of it needs --redeploy"
    if holder := site.lock.holder():
        yield f"the site is locked by {holder}: a release needs --wait"
    try:
        site.platform.check()
        site.proxy.check()
    except CakraviaError as error:
        yield str(error).replace("\n", " ")


def _words(site: Site, state: SiteState, version: str) -> dict[str, str]:
    """Return what each step would do, in words."""
    settings, candidate, old = site.settings, state.slots.idle_colour, state.active
    idle = state.slots.idle
    health, release = settings.health, settings.release
    paths = ", ".join(settings.contract.endpoints.values())
    smoke = ", ".join(f"{each.method} {each.path}" for each in release.smoke)
    return {
        "build": f"makes {version} from {_source(site)}",
        "prepare": f"withdraws failover, and {_reload(site, state)}",
        "stage": f"starts {version} in {candidate}" + (f"; {idle.version}, which runs there, ends" if idle else ""),
        "prove": f"waits for {health.consecutive} good rounds of {paths}, at most {health.deadline:g} s",
        "smoke": f"sends {smoke}",
        "switch": f"sends users from {old} to {candidate}" if old else f"sends users to {candidate}",
        "confirm": f"waits for {release.confirmations} answers in a row of {candidate} ({version})",
        "drain": f"waits for requests in flight on {old}, at most {release.drain:g} s" if old else "no old slot",
        "bake": f"watches {version} under traffic for {release.bake:g} s",
        "promote": _of_old(old, keep_warm=settings.slots.keep_warm),
        "cleanup": f"keeps {release.retain} versions for rollbacks, and removes older ones",
    }


def _reload(site: Site, state: SiteState) -> str:
    """Return what the release does to the proxy's configuration, and what that changes for users."""
    try:
        changes = site.proxy.changes() if state.proxy.is_running else ()
    except CakraviaError:  # it is among the problems
        changes = ()
    if not changes:
        return "loads the proxy's configuration if it changed"
    return f"reloads the proxy's configuration: {'; '.join(changes)}"


def _source(site: Site) -> str:
    settings = site.settings
    if settings.site.platform != "docker":
        build = f", and runs {' '.join(settings.app.build)}" if settings.app.build else ""
        return f"a copy of {settings.app.source}{build}"
    docker = settings.docker
    named = [f"{name} {getattr(docker, name)}" for name in docker.sources]
    return named[0] if named else f"service {docker.service} of the compose file"


def _of_old(old: Slot | None, *, keep_warm: bool) -> str:
    if old is None:
        return "there is no version before"
    return f"keeps {old} warm for failover and rollback" if keep_warm else f"stops {old}"


def _hooks_at(site: Site, moment: str) -> str:
    titles = [hook.title for hook in site.settings.hooks if hook.at == HookMoment(moment)]
    return f"runs {', '.join(titles)}"
