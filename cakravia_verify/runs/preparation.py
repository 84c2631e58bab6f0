"""What comes before a release: take the lock, finish or undo earlier releases, and decide what to do."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from cakravia_verify.errors import CakraviaError, NothingToDo, RollbackFailed, UsageError
from cakravia_verify.history.releases import STUCK, Intent
from cakravia_verify.kinds import SessionPolicy, policy_of
from cakravia_verify.recovery.interrupted import doubt_about_history, left_behind, recover
from cakravia_verify.recovery.repair import reconnect, serve_again
from cakravia_verify.recovery.rollback_checks import migrations_in_words
from cakravia_verify.recovery.rollback_target import is_promoted, target_of
from cakravia_verify.release.hooks import end_left_hooks
from cakravia_verify.release.machine import StepEvent
from cakravia_verify.release.planning import planned
from cakravia_verify.release.steps import STEPS, kept_artifact
from cakravia_verify.runs.permit import Permit, require_unused
from cakravia_verify.site.site import Site, SiteState
from cakravia_verify.slots import Artifact, checked_version
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.resources import keep_disk_reserve, use_disk_reserve


@dataclass(frozen=True)
class Request:
    """What the command line requests. `version` is empty for a rollback to the version before.

    `permit` is the signed verdict that the release depends on, None if it needs none. `digest` names the only artifact
    that may be released; it is empty if any may be. `accept_changes` names the requests of the mix whose answers may
    change.
    """

    kind: str
    version: str
    reason: str = ""
    redeploy: bool = False
    wait: float = 0.0
    permit: Permit | None = None
    accept_changes: tuple[str, ...] = ()
    digest: str = ""

    @property
    def only_digest(self) -> str:
        """The digest of the only artifact that may be released, '' if any may be."""
        return self.permit.digest if self.permit else self.digest

    @property
    def policy(self) -> SessionPolicy:
        """What this kind of release does differently."""
        return policy_of(self.kind)


@dataclass(frozen=True)
class Preparation:
    """What to do on a site whose lock is held.

    `target` is the artifact a rollback goes to. `notices` says what happened during the preparation.
    """

    state: SiteState
    intent: Intent
    target: Artifact | None
    notices: tuple[str, ...]


def prepare_run(
    request: Request, site: Site, *, on_event: Callable[[StepEvent], None], waiting: Callable[[str], None]
) -> Preparation:
    """Take the lock, finish or undo earlier releases, serve users that get no answer, and decide what comes now.

    `waiting` gets a line for each step of a build, and one if this waits for another release. Raises UsageError,
    LockHeld or RollbackFailed; the site is free then.
    """
    _prefetch(request, site, waiting)
    notices = list(use_disk_reserve(site.settings.state)) if request.policy.goes_back else []
    notices += _hold(request, site, waiting)
    try:
        notices += site.platform.notes()
        notices += reconnect(site)
        notices += end_left_hooks(site)
        notices += _settle_earlier_releases(request, site, on_event)
        state = site.observe()
        intent, target = _planned(request, site, state)
        if request.permit is not None:
            require_unused(request.permit, site.journal.entries())
            notices.append(f"permitted by {request.permit.origin}: {request.permit.digest}")
    except BaseException:
        site.lock.release()
        raise
    notices += [f"drift: {each}" for each in state.drift]
    if not request.policy.goes_back:
        keep_disk_reserve(site.settings.state)
    if target is not None:
        notices += migrations_in_words(site, target.version)
    return Preparation(state, intent, target, tuple(notices))


def reload_in_words(site: Site, state: SiteState) -> list[str]:
    """Return what the reload in the step *prepare* changes for users, one line for each change."""
    with contextlib.suppress(CakraviaError):  # the step meets it again, and is undone
        if state.proxy.is_running:
            return [f"nginx will be reloaded: {change}" for change in site.proxy.changes()]
    return []


def _prefetch(request: Request, site: Site, told: Callable[[str], None]) -> None:
    """Fetch the version before the lock is taken, so that no other release waits for it.

    A failure is reported when the version is built: then the history has it.
    """
    if not request.version or request.policy.goes_back:
        return
    if kept_artifact(site, request.version, digest=request.only_digest):
        return
    deadline = Deadline("the version is fetched", site.settings.app.build_timeout, clock=site.clock)
    try:
        site.platform.prefetch(checked_version(request.version), deadline=deadline, told=told)
    except UsageError:
        raise
    except CakraviaError:
        return


def _hold(request: Request, site: Site, waiting: Callable[[str], None]) -> Iterator[str]:
    lock = site.lock
    purpose = f"{request.kind} {request.version or 'to the previous version'}"
    if request.wait and (holder := lock.holder()):
        waiting(f"waiting up to {request.wait:g} s for {holder}")
    wait = Deadline("the lock is free", request.wait, clock=site.clock) if request.wait else None
    lease = lock.acquire(purpose, wait=wait)
    site.journal.token = lease.token
    if dead := lock.taken_over:
        site.journal.append("lock.taken_over", holder=str(dead), holder_token=dead.token)
        yield f"took the lock over from {dead}, which has ended"
    yield from lock.notices


def _settle_earlier_releases(request: Request, site: Site, on_event: Callable[[StepEvent], None]) -> Iterator[str]:
    stuck: RollbackFailed | None = None
    if doubt := doubt_about_history(site):
        yield f"{doubt}; no earlier release is finished or undone"
    for record in () if doubt else left_behind(site):
        release = record.intent.release
        try:
            yield f"recovered release {release}: {recover(site, record, STEPS, on_event=on_event)}"
        except RollbackFailed as error:
            # It was reported before. A working version is what helps this site now.
            if record.outcome != STUCK or not request.policy.follows_stuck_release:
                stuck = error
                break
            yield f"release {release} still cannot be undone: {error.message}"
    try:
        yield from serve_again(site)
    except CakraviaError as error:
        # The new version may correct what is broken here.
        yield f"users are not served, and that could not be repaired: {error.message}"
    if stuck is not None:
        raise stuck


def _planned(request: Request, site: Site, state: SiteState) -> tuple[Intent, Artifact | None]:
    target = target_of(site, state, version=request.version) if request.policy.goes_back else None
    version = target.version if target else checked_version(request.version)
    active = state.active
    is_active = active is not None and active.version == version and (target is None or active.digest == target.digest)
    # Users may be on the target only because the version that was promoted died: then a verdict is still needed.
    needs_verdict = target is not None and active is not None and not is_promoted(site.journal.entries(), active)
    if active and is_active and not request.redeploy and not needs_verdict:
        raise NothingToDo(
            f"{active.version} is active already, on {active.colour}",
            remedy="nothing was changed; --redeploy releases it again",
        )
    release = _release_id(version, site.clock.wall())
    plan = planned(
        site, state, release=release, kind=request.kind, version=version, target=target, reason=request.reason
    )
    return plan, target


def _release_id(version: str, wall: float) -> str:
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in version)[:40]
    return f"{datetime.fromtimestamp(wall, UTC):%Y%m%d-%H%M%S}-{safe}-{secrets.token_hex(2)}"
