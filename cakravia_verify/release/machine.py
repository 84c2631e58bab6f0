"""A release: ordered steps, each journalled before it acts, and the rollback through their undos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

from cakravia_verify.errors import CakraviaError, JournalError, ReleaseError, RollbackFailed, SiteLost
from cakravia_verify.history.releases import PROMOTE, Intent
from cakravia_verify.history.running_release import this_process
from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Artifact, Slot
from cakravia_verify.system.clock import Deadline

SHORTEST_GRACE: Final = 0.5


@dataclass(frozen=True)
class Step:
    """One step of a release.

    `undo` restores the state before the step, after `do` ran completely, in part or not at all. It may run twice. It is
    None if the step leaves nothing to restore. `limit` returns how many seconds the step may take, None if nothing
    bounds it. The journal has it, so that `cakravia watch` can count down.
    """

    name: str
    do: Callable[[Release], dict[str, Any]]
    undo: Callable[[Release], dict[str, Any]] | None = None
    limit: Callable[[Settings], float | None] = lambda _: None


@dataclass(frozen=True)
class StepEvent:
    """One event of a step, for observers. `at` is in CLOCK_MONOTONIC seconds; `seconds` is the duration.

    `kind` is one of begins, done, failed, undone and undo failed.
    """

    step: str
    kind: str
    at: float
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class HookResult:
    """What one hook did. `note` is one line; `output` is bounded; `has_migrated` says that shared data changed."""

    name: str
    moment: str
    note: str
    seconds: float
    is_failed: bool
    output: str
    has_migrated: bool


@dataclass
class ReleaseFacts:
    """What the steps observed, for the gate. Counters count rounds of readings; switchovers are in order of time."""

    artifact: Artifact | None = None
    candidate: Slot | None = None
    good_rounds: int = 0
    bad_rounds: int = 0
    smoke_passed: int = 0
    switchovers: list[Switchover] = field(default_factory=list)
    confirmed_at: float | None = None
    confirmations: int = 0
    left_in_flight: int | None = None
    bake_began: float | None = None
    bake_ended: float | None = None
    bake_bad_rounds: int = 0
    bake_rounds: int = 0
    hooks: list[HookResult] = field(default_factory=list)


class Release:
    """One attempt to make a version active.

    `watchers` are called during every wait and may raise ReleaseError to end the release early. `on_event` observes
    each event; an error in it changes nothing. `shutdown_deadline` is set by a signal and shortens the waits of the
    rollback. `migration_guard` is entered around each migration, with its name, and may raise ReleaseError. Only an
    artifact with `permitted_digest` is released; an empty one permits every artifact.
    """

    def __init__(
        self,
        site: Site,
        intent: Intent,
        steps: Sequence[Step],
        *,
        target: Artifact | None = None,
        on_event: Callable[[StepEvent], None] = lambda _: None,
    ) -> None:
        self.site = site
        self.intent = intent
        self.steps = tuple(steps)
        self.target = target
        self.on_event = on_event
        self.watchers: list[Callable[[], None]] = []
        self.migration_guard: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
        self.permitted_digest = ""
        self.facts = ReleaseFacts()
        self.begun: list[str] = []
        self.done: list[str] = []
        self.undone: list[str] = []
        self.events: list[StepEvent] = []
        self.failure: BaseException | None = None
        self.shutdown_deadline: Deadline | None = None
        self._started = site.clock.monotonic()

    @property
    def id(self) -> str:
        return self.intent.release

    @property
    def grace(self) -> float:
        """How many seconds an undo may wait for a clean stop. It is never zero, also after a signal."""
        grace = self.site.settings.app.grace
        return (
            grace
            if self.shutdown_deadline is None
            else min(grace, max(self.shutdown_deadline.remaining, SHORTEST_GRACE))
        )

    def start(self) -> None:
        """Record the release in the journal, before it changes anything."""
        self.site.journal.append("release.started", release=self.id, **self.intent.as_facts(), **this_process())

    def advance(self, to: str) -> None:
        """Do every step up to and including `to`; skip those that are done.

        A failed release does not advance: it raises ReleaseError with the failure.
        """
        if self.failure is not None:
            raise ReleaseError(f"the release stopped earlier: {self.failure}") from self.failure
        names = [step.name for step in self.steps]
        for step in self.steps[: names.index(to) + 1]:
            if step.name not in self.done:
                self._do(step)

    def _do(self, step: Step) -> None:
        self.site.journal.append("step.intent", release=self.id, step=step.name, limit=step.limit(self.site.settings))
        self.begun.append(step.name)
        began = self.site.clock.monotonic()
        self.publish(StepEvent(step.name, "begins", began))
        try:
            facts = self._with_remarks(step.do(self))
        except BaseException as error:
            self.failure = error
            seconds = self.site.clock.monotonic() - began
            self.publish(StepEvent(step.name, "failed", self.site.clock.monotonic(), seconds, _first_line(error)))
            self._journal("step.failed", step.name, seconds=round(seconds, 4), error=_first_line(error))
            raise
        seconds = self.site.clock.monotonic() - began
        try:
            self.site.journal.append("step.done", release=self.id, step=step.name, seconds=round(seconds, 4), **facts)
        except CakraviaError as error:
            self.failure = error
            raise
        self.done.append(step.name)
        self.publish(StepEvent(step.name, "done", self.site.clock.monotonic(), seconds, str(facts.get("note", ""))))

    def roll_back(self, why: str) -> None:
        """Bring users back to where they were, and remove what this release started.

        Every step that was begun is undone, newest first. Raises RollbackFailed at the first undo that fails; the rest
        stays as it is, because a slot that serves users must not be stopped after a failed undo.

        A full journal does not stop the rollback. The journal has the intent of each step already, and the next command
        undoes the release again. Raises SiteLost if a later holder of the site wrote into the journal; nothing more is
        changed then.
        """
        for step in reversed(self.steps):
            if step.undo is None or step.name not in self.begun or step.name in self.undone:
                continue
            self._journal("undo.intent", step.name, why=why)
            began = self.site.clock.monotonic()
            try:
                facts = self._with_remarks(step.undo(self))
            except Exception as error:
                self.publish(StepEvent(step.name, "undo failed", self.site.clock.monotonic(), note=_first_line(error)))
                self._journal("undo.failed", step.name, error=_first_line(error))
                raise RollbackFailed(
                    f"undoing '{step.name}' failed: {_first_line(error)}", remedy=_remedy_of(error)
                ) from error
            seconds = self.site.clock.monotonic() - began
            self._journal("undo.done", step.name, seconds=round(seconds, 4), **facts)
            self.undone.append(step.name)
            self.publish(
                StepEvent(step.name, "undone", self.site.clock.monotonic(), seconds, str(facts.get("note", "")))
            )

    def record_verdict(self, decision: str, *, why: str, keeps_users: bool = False) -> None:
        """Record the decision of the gate before anything is done about it.

        PROMOTE is final from here on, and so is a rollback that keeps its users without it (`keeps_users`): recovery
        carries it out if this process dies. Raises JournalError if a final decision cannot be recorded. Any other
        decision is carried out without its entry.
        """
        try:
            self.site.journal.append(
                "release.verdict", release=self.id, decision=decision, why=why, stands=keeps_users or None
            )
        except JournalError:
            if keeps_users or decision == PROMOTE:
                raise

    def finish(self, outcome: str, *, why: str = "", **facts: Any) -> None:
        """Record the end of this release."""
        seconds = self.site.clock.monotonic() - self._started
        self.site.journal.append(
            "release.finished",
            release=self.id,
            outcome=outcome,
            why=why or None,
            version=self.intent.version,
            slot=str(self.intent.candidate),
            seconds=round(seconds, 3),
            **facts,
        )

    def deadline(self, what: str, seconds: float) -> Deadline:
        """Return a deadline on the clock of the site."""
        return Deadline(what, seconds, clock=self.site.clock)

    def watch(self) -> None:
        """Call every watcher. Raises the first objection."""
        for watcher in self.watchers:
            watcher()

    def pause(self, seconds: float) -> None:
        """Sleep for `seconds`, then call the watchers."""
        self.site.clock.sleep(seconds)
        self.watch()

    def _with_remarks(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Add to the note of a step what the platform noticed meanwhile."""
        remarks = self.site.platform.remarks()
        return {**facts, "note": "; ".join(filter(None, (facts.get("note", ""), *remarks)))} if remarks else facts

    def _journal(self, event: str, step: str, **facts: Any) -> None:
        """Append the entry if the journal can be written. Raises SiteLost if another process holds the site now."""
        try:
            self.site.journal.append(event, release=self.id, step=step, **facts)
        except SiteLost:
            raise
        except JournalError:
            return

    def publish(self, event: StepEvent) -> None:
        self.events.append(event)
        # A closed terminal or a failing plugin must not stop a release or its rollback.
        try:
            self.on_event(event)
        except KeyboardInterrupt:
            raise
        except BaseException:  # also pytest.fail, pytest.skip and sys.exit
            return


def _first_line(error: BaseException) -> str:
    text = error.message if isinstance(error, CakraviaError) else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0]


def _remedy_of(error: BaseException) -> str:
    return error.remedy if isinstance(error, CakraviaError) else ""
