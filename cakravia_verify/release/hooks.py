"""The hooks of a release: commands of the operator at fixed moments, journalled with their intent."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from cakravia_verify.errors import CakraviaError, HookFailed, JournalError, PlatformError, SiteLost
from cakravia_verify.history.hooks import HOOK_DONE, HOOK_FAILED, HOOK_INTENT, MIGRATION, left_hooks, migration_of
from cakravia_verify.history.releases import HOLDING, ROLLED_BACK, Intent
from cakravia_verify.platforms.commands import RunningCommand, VersionCommand
from cakravia_verify.release.candidate_watch import CandidateWatch
from cakravia_verify.release.conditions import kept_artifact
from cakravia_verify.release.machine import SHORTEST_GRACE, HookResult, Release, Step, StepEvent
from cakravia_verify.settings.hooks import HookKind, HookMoment, HookPlace, HookSettings, variable_of
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Artifact
from cakravia_verify.system.commands import ProcessCommand

# A moment that decides is a step of the release: before the named step, or after it.
BEFORE: Final = {"stage": HookMoment.BEFORE_STAGE, "switch": HookMoment.BEFORE_SWITCH}
AFTER: Final = {"confirm": HookMoment.AFTER_SWITCH}
DECIDING: Final = (*BEFORE.values(), *AFTER.values())
SHOWN_LINES: Final = 10
_EVERY: Final = 0.05


@dataclass(frozen=True)
class ReleaseEnd:
    """How a release ended, for the hooks that are told."""

    outcome: str
    why: str
    digest: str = ""


def with_hooks(steps: Sequence[Step], hooks: Sequence[HookSettings]) -> tuple[Step, ...]:
    """Return the steps, with a step for each moment that has hooks and decides."""

    def step_at(moment: HookMoment | None) -> Iterator[Step]:
        if moment and any(hook.at is moment for hook in hooks):
            yield Step(str(moment), partial(run_hooks, moment=moment))

    found: list[Step] = []
    for step in steps:
        found += [*step_at(BEFORE.get(step.name)), step, *step_at(AFTER.get(step.name))]
    return tuple(found)


def run_hooks(release: Release, *, moment: HookMoment) -> dict[str, Any]:
    """Run the hooks of a moment, in the order of the settings. Raises HookFailed at the first that fails.

    A rollback runs no migration, and a hook that fails does not stop it: users leave a version that harms them.
    """
    policy = release.intent.policy
    for hook in _hooks_at(release.site, moment):
        if hook.kind is HookKind.MIGRATION and (policy.goes_back or _skip_migration(release, hook)):
            continue
        try:
            _run(release, hook)
        except (HookFailed, PlatformError):
            if not policy.goes_back:
                raise
    done = [result for result in release.facts.hooks if result.moment == moment]
    return {"note": "; ".join(f"{result.name}: {result.note}" for result in done)}


def moments_of(intent: Intent, outcome: str) -> tuple[HookMoment, ...]:
    """Return the moments that an outcome of a release is told at."""
    if outcome in HOLDING:
        return (HookMoment.AFTER_ROLLBACK,) if intent.policy.goes_back else (HookMoment.AFTER_PROMOTE,)
    return (HookMoment.AFTER_ROLLBACK, HookMoment.ON_FAILURE) if outcome == ROLLED_BACK else (HookMoment.ON_FAILURE,)


def tell_hooks(release: Release, moments: Sequence[HookMoment], ended: ReleaseEnd) -> list[str]:
    """Run the hooks that are told how the release ended. Returns one line for each that failed."""
    lines = []
    for hook in (hook for moment in moments for hook in _hooks_at(release.site, moment)):
        began = release.site.clock.monotonic()
        kind, note = "done", hook.title
        try:
            _run(release, hook, ended=ended)
        except (CakraviaError, OSError) as error:
            kind, note = "failed", error.message if isinstance(error, CakraviaError) else str(error)
            lines.append(note)
        now = release.site.clock.monotonic()
        release.publish(StepEvent(str(hook.at), kind, now, now - began, note))
    return lines


def end_left_hooks(site: Site) -> list[str]:
    """End the hooks that killed releases left, and record it. Returns one line for each."""
    try:
        left = left_hooks(site.journal.entries())
    except JournalError:
        return []  # the history is reported elsewhere
    lines = []
    for run in left:
        what = f"hook '{run.name}' ({run.moment}) of release {run.release}, which was killed while it ran,"
        try:
            site.platform.end_commands(run.release)
        except CakraviaError as error:
            lines.append(f"{what} could not be ended: {error.message}")
            continue
        facts = {"hook": run.name, "kind": run.kind, "version": run.version, "command": run.digest}
        error_text = "its release was killed while it ran"
        site.journal.append(HOOK_FAILED, release=run.release, step=run.moment, error=error_text, **facts)
        again = "; it runs again with the next release of this version" if run.kind == MIGRATION else ""
        lines.append(f"{what} was ended{again}")
    return lines


def command_digest(hook: HookSettings) -> str:
    """Return `sha256:...` over the command as the settings have it, and the place where it runs."""
    return "sha256:" + hashlib.sha256(json.dumps([*hook.command, hook.where]).encode()).hexdigest()


def _hooks_at(site: Site, moment: HookMoment) -> list[HookSettings]:
    return [hook for hook in site.settings.hooks if hook.at is moment]


def _skip_migration(release: Release, hook: HookSettings) -> bool:
    version, entries = release.intent.version, release.site.journal.entries()
    earlier = migration_of(entries, version=version, digest=command_digest(hook))
    if earlier is None:
        return False
    note = f"not run: it ran for {version} in release {earlier.release}"
    release.facts.hooks.append(_result(hook, note))
    return True


def _run(release: Release, hook: HookSettings, *, ended: ReleaseEnd | None = None) -> None:
    """Run one hook. Its intent and its result are in the journal, and its result is in the facts of the release."""
    clock = release.site.clock
    _record(release, hook, HOOK_INTENT)
    began = clock.monotonic()
    outputs: list[str] = []
    try:
        _run_to_its_end(release, hook, ended=ended, outputs=outputs)
    except BaseException as error:
        seconds = clock.monotonic() - began
        reason = error.message if isinstance(error, CakraviaError) else type(error).__name__
        release.facts.hooks.append(_result(hook, reason, seconds=seconds, output="".join(outputs), is_failed=True))
        _record_failure(release, hook, seconds=round(seconds, 3), error=reason)
        raise
    seconds = clock.monotonic() - began
    note = f"done in {seconds:.1f} s"
    has_migrated = hook.kind is HookKind.MIGRATION
    result = _result(hook, note, seconds=seconds, output="".join(outputs), has_migrated=has_migrated)
    release.facts.hooks.append(result)
    _record(release, hook, HOOK_DONE, seconds=round(seconds, 3))


def _result(
    hook: HookSettings,
    note: str,
    *,
    seconds: float = 0.0,
    output: str = "",
    is_failed: bool = False,
    has_migrated: bool = False,
) -> HookResult:
    return HookResult(hook.title, str(hook.at), note, seconds, is_failed, output, has_migrated)


def _record(release: Release, hook: HookSettings, event: str, **facts: Any) -> None:
    release.site.journal.append(
        event,
        release=release.id,
        step=str(hook.at),
        hook=hook.title,
        kind=str(hook.kind),
        version=release.intent.version,
        command=command_digest(hook),
        **facts,
    )


def _record_failure(release: Release, hook: HookSettings, **facts: Any) -> None:
    try:
        _record(release, hook, HOOK_FAILED, **facts)
    except SiteLost:
        raise
    except JournalError:
        return


def _run_to_its_end(release: Release, hook: HookSettings, *, ended: ReleaseEnd | None, outputs: list[str]) -> None:
    if hook.kind is HookKind.MIGRATION:
        with release.migration_guard(hook.title):
            _wait_for(release, hook, ended=ended, outputs=outputs)
    else:
        _wait_for(release, hook, ended=ended, outputs=outputs)


def _wait_for(release: Release, hook: HookSettings, *, ended: ReleaseEnd | None, outputs: list[str]) -> None:
    """Wait until the command has ended well. Raises HookFailed; everything that it started has ended then."""
    command = VersionCommand(hook.command, *_told(release, hook, ended))
    seconds = hook.timeout
    if release.shutdown_deadline is not None:
        seconds = min(seconds, max(release.shutdown_deadline.remaining, SHORTEST_GRACE))
    deadline = release.deadline(f"hook '{hook.title}' ends", seconds)
    pause = release.site.clock.sleep if ended else _watchful_pause(release)
    running = _start(release, hook, command, digest=ended.digest if ended else "")
    try:
        while (status := running.status()) is None and not deadline.is_over:
            pause(_EVERY)
    finally:
        try:
            running.end()
        finally:
            outputs.append(running.output())
    if status == 0:
        return
    reason = f"did not end within {seconds:g} s and was killed" if status is None else f"ended with status {status}"
    raise HookFailed(
        f"hook '{hook.title}' ({hook.at}) {reason}{_last_lines(outputs[-1])}",
        remedy="read hooks.log in the report of this release, and correct the command",
    )


def _watchful_pause(release: Release) -> Callable[[float], None]:
    """Return a pause that may end the release: by its watchers, and by the candidate's health if users are on it."""
    candidate = release.facts.candidate
    if candidate is None or not release.facts.switchovers:
        return release.pause
    return CandidateWatch(release, candidate).pause


def _last_lines(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()][-SHOWN_LINES:]
    return f"; its last lines: {' | '.join(lines)}" if lines else ""


def _start(release: Release, hook: HookSettings, command: VersionCommand, *, digest: str) -> RunningCommand:
    if hook.where is HookPlace.MACHINE:
        version = release.intent.version
        argv = [part.replace("{version}", version).replace("{python}", sys.executable) for part in command.argv]
        environment = dict(os.environ) | dict(command.environment)
        try:
            return ProcessCommand(argv, folder=release.site.settings.root, environment=environment, stdin=command.stdin)
        except OSError as error:
            raise HookFailed(
                f"hook '{hook.title}' ({hook.at}): {argv[0]!r} does not start: {error.strerror}",
                remedy="correct the command, or install the program on this machine",
            ) from error
    artifact = _artifact(release, digest)
    if artifact is None:
        raise HookFailed(
            f"hook '{hook.title}' ({hook.at}) was not run: there is no artifact of {release.intent.version}",
            remedy='set where = "machine" if it has to run without one',
        )
    return release.site.platform.run_command(artifact, command)


def _artifact(release: Release, digest: str) -> Artifact | None:
    known = release.facts.artifact or release.target
    return known or kept_artifact(release.site, version=release.intent.version, digest=digest)


def _told(release: Release, hook: HookSettings, ended: ReleaseEnd | None) -> tuple[Mapping[str, str], bytes]:
    """Return the facts of the release, as environment and as JSON."""
    intent, site, facts = release.intent, release.site, release.facts
    artifact = _artifact(release, ended.digest if ended else "")
    values = {
        "release": intent.release,
        "kind": intent.kind,
        "version": intent.version,
        "slot": str(intent.candidate),
        "digest": artifact.digest if artifact else "",
        "previous_version": intent.active_version,
        "previous_slot": str(intent.active) if intent.active else "",
        "site": site.settings.site.name,
        "platform": site.settings.site.platform,
        "url": site.proxy.address.url,
        "candidate_url": facts.candidate.address.url if facts.candidate else "",
        "reason": intent.reason,
        "hook": hook.title,
        "at": str(hook.at),
        "outcome": ended.outcome if ended else "",
        "why": ended.why if ended else "",
    }
    environment = {variable_of(name): text.replace("\0", "") for name, text in values.items()}
    return dict(hook.environment) | environment, json.dumps(values).encode() + b"\n"
