"""A rollback that moves users first: to a target that runs already. The session then proves the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cakravia_verify.errors import CakraviaError
from cakravia_verify.gate.model import Decision
from cakravia_verify.history.releases import ROLLED_BACK, UNPROVEN
from cakravia_verify.release.conditions import require_users_on
from cakravia_verify.release.hooks import with_hooks
from cakravia_verify.release.machine import Release, Step, StepEvent
from cakravia_verify.release.steps import STEPS, restore_failover, withdraw_failover
from cakravia_verify.runs.preparation import Preparation, Request, prepare_run
from cakravia_verify.site.site import Site

WHY: Final = "users went back first; the proof follows"


def users_first(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps with `switch` and `confirm` before `prove` and `smoke`.

    `switch` itself refuses a slot that is not healthy. A changed configuration waits for the next release, because a
    reload takes time.
    """
    by_name = {step.name: step for step in steps} | {
        "prepare": Step("prepare", withdraw_failover, restore_failover),
    }
    names = [step.name for step in steps]
    early, late = ("switch", "confirm"), ("prove", "smoke")
    rest = names[names.index("confirm") + 1 :]
    order = [*names[: names.index("prove")], *early, *late, *rest]
    return tuple(by_name[name] for name in order)


@dataclass(frozen=True)
class MovedUsers:
    """Users that are on the rollback target already, or a release that failed to bring them there.

    The site's lock is held.
    """

    site: Site
    request: Request
    preparation: Preparation
    release: Release


def move_users(request: Request, site: Site) -> MovedUsers | None:
    """Bring users to the rollback target at once if it runs and is healthy. Returns None if it does not run.

    The site is free again then, and nothing was changed. From the moment that answers confirm the target, users stay
    there if this process dies: recovery ends the rollback as `unproven`.

    Raises UsageError, LockHeld, RollbackFailed or another CakraviaError if there is nothing to go back to; the site is
    free then.
    """
    preparation = prepare_run(request, site, on_event=_unobserved, waiting=lambda _: None)
    intent = preparation.intent
    if not (intent.is_warm and intent.proxy_was_running and intent.active is not None):
        site.lock.release()
        return None
    steps = with_hooks(users_first(STEPS), site.settings.hooks)
    release = Release(site, intent, steps, target=preparation.target)
    moved = MovedUsers(site, request, preparation, release)
    try:
        release.start()
        release.advance("confirm")
        release.record_verdict(Decision.INCONCLUSIVE, why=WHY, keeps_users=True)
    except CakraviaError:
        # The release has its failure, or the history lacks the verdict. The session brings users back, and reports.
        return moved
    except KeyboardInterrupt:
        leave(moved)
        raise
    return moved


def leave_out_proof(release: Release) -> bool:
    """Let the release go on with `promote`, without the rest of its proof. Returns False if it is not well."""
    try:
        require_users_on(release.site, release.intent.candidate)
    except CakraviaError:
        return False
    names = [step.name for step in release.steps]
    release.done = names[: names.index("promote")]
    release.failure = None
    return True


def _unobserved(_: StepEvent) -> None:
    return


# One process moves users and then becomes the session.
_HANDED_OVER: list[MovedUsers] = []


def hand_over(moved: MovedUsers) -> None:
    """Leave the release to the session that this process becomes."""
    _HANDED_OVER.append(moved)


def take_over() -> MovedUsers | None:
    """Return the release that this process began, once; None if it began none."""
    return _HANDED_OVER.pop() if _HANDED_OVER else None


def leave(moved: MovedUsers) -> None:
    """Free the site without a session: undo a release that failed, else leave users on the target without a proof."""
    try:
        if moved.release.failure is not None:
            moved.release.roll_back("interrupted before users were back")
            moved.release.finish(ROLLED_BACK, why="interrupted before users were back")
        elif leave_out_proof(moved.release):
            moved.release.advance("cleanup")
            moved.release.finish(UNPROVEN, why=WHY)
    finally:
        moved.site.lock.release()
