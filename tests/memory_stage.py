"""A whole site in memory for tests of what decides, and ways to let it die at any point."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cakravia_verify.errors import JournalError
from cakravia_verify.history.journal import Journal
from cakravia_verify.history.journal_file import JournalEntry
from cakravia_verify.history.previous_version import previous_of
from cakravia_verify.history.releases import PROMOTED, ROLLED_BACK
from cakravia_verify.recovery.interrupted import left_behind, recover
from cakravia_verify.release.hooks import with_hooks
from cakravia_verify.release.machine import Release
from cakravia_verify.release.planning import planned
from cakravia_verify.release.steps import STEPS
from cakravia_verify.settings.companions import CompanionSettings
from cakravia_verify.settings.hooks import HookSettings
from cakravia_verify.settings.models import HealthSettings, ReleaseSettings, Settings, SlotSettings
from cakravia_verify.site.lock import Lock
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Artifact, Slot
from cakravia_verify.testing.memory import FakeClock, MemoryProxy, MemorySite


class Crash(BaseException):
    """The process dies here: nothing in it may catch this and go on."""


class Fuse:
    """Lets the process die at the `point`-th thing it does; every journal entry is two things, before and after."""

    def __init__(self) -> None:
        self.point = 0
        self.count = 0

    def light(self, point: int) -> None:
        self.point, self.count = point, 0

    def burn(self, _: str = "") -> None:
        self.count += 1
        if self.count == self.point:
            raise Crash


class MortalJournal(Journal):
    """A journal whose writer may die before or after each entry, and whose disk may be full."""

    def __init__(self, path: Path, *, clock: FakeClock, fuse: Fuse) -> None:
        super().__init__(path, clock=clock)
        self._fuse = fuse
        self.is_full = False

    def append(self, event: str, *, release: str = "", step: str = "", **facts: Any) -> JournalEntry:
        if self.is_full:
            raise JournalError("the history cannot be written: no space left on device", remedy="free space")
        self._fuse.burn()
        entry = super().append(event, release=release, step=step, **facts)
        self._fuse.burn()
        return entry


class Stage:
    """A site in memory with the release logic on top, as a session or a command would use it."""

    def __init__(
        self,
        folder: Path,
        *,
        keep_warm: bool = True,
        bake: float = 1.0,
        memory: MemorySite | None = None,
        hooks: tuple[HookSettings, ...] = (),
        companions: tuple[CompanionSettings, ...] = (),
    ):
        self.clock = FakeClock()
        self.memory = memory or MemorySite(self.clock)
        self.memory.clock = self.clock
        self.fuse = Fuse()
        self.memory.before = self.fuse.burn
        self.settings = Settings(
            root=folder,
            slots=SlotSettings(keep_warm=keep_warm),
            release=ReleaseSettings(bake=bake, drain=2.0, drain_minimum=0.1, confirmations=2, retain=2),
            health=HealthSettings(consecutive=2, deadline=5.0),
            hooks=hooks,
            companions=companions,
        )
        self.site = self.opened()
        self.number = 0

    def opened(self) -> Site:
        """The site as a new process sees it."""
        proxy = MemoryProxy(self.memory)
        journal = self.journal = MortalJournal(self.settings.history, clock=self.clock, fuse=self.fuse)
        lock = Lock(self.settings.state / "lock")
        self.site = Site(self.settings, self.memory, proxy, self.memory, journal, lock, self.clock)
        return self.site

    def release(self, version: str, *, kind: str = "deploy", target: Artifact | None = None) -> Release:
        state = self.site.observe()
        self.number += 1
        intent = planned(self.site, state, release=f"r{self.number}", kind=kind, version=version, target=target)
        return Release(self.site, intent, with_hooks(STEPS, self.settings.hooks), target=target)

    def finished(self, release: Release) -> str:
        """The outcome of the release, gone forward as far as it goes and back where it failed."""
        release.start()
        try:
            release.advance("bake")
        except Exception as error:
            release.record_verdict("ROLL BACK", why=str(error))
            release.roll_back(str(error))
            release.finish(ROLLED_BACK)
            return ROLLED_BACK
        release.record_verdict("PROMOTE", why="all good")
        release.advance("cleanup")
        release.finish(PROMOTED, digest=release.facts.artifact.digest if release.facts.artifact else "")
        return PROMOTED

    def deploy(self, version: str) -> str:
        return self.finished(self.release(version))

    def roll_back_to_previous(self) -> str:
        active = self.site.observe().active
        assert active is not None
        record = previous_of(self.site.journal.entries(), version=active.version, digest=active.digest)
        assert record is not None
        (target,) = (each for each in self.memory.retained() if each.digest == record.digest)
        return self.finished(self.release(target.version, kind="rollback", target=target))

    def die_at(self, point: int, act: Callable[[], object]) -> bool:
        """Whether `act` died at that point; a new process has the site open afterwards."""
        self.fuse.light(point)
        try:
            act()
        except Crash:
            return True
        finally:
            self.fuse.light(0)
            self.opened()
        return False

    def recover(self) -> list[str]:
        return [recover(self.site, record, STEPS, on_event=lambda _: None) for record in left_behind(self.site)]

    @property
    def serving(self) -> Slot | None:
        """The slot that gives users good answers now, None without one."""
        served = self.site.serving()
        slot = self.memory.running.get(served.slot) if served.slot else None
        return slot if slot and slot.version not in self.memory.sick else None

    def acts(self, release: Callable[[], object]) -> list[str]:
        """What the platform and the proxy were told to do meanwhile, in order."""
        before = len(self.memory.acted)
        release()
        return self.memory.acted[before:]


def events(stage: Stage, *names: str) -> list[tuple[str, str]]:
    return [(entry.event, entry.step) for entry in stage.site.journal.entries() if not names or entry.event in names]
