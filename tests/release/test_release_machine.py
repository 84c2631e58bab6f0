"""Any sequence of deploys, rollbacks, crashes, recoveries and accidents leaves users served and the history whole."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cakravia_verify.errors import CakraviaError, LockHeld, ProxyError, RollbackFailed
from cakravia_verify.history.previous_version import previous_of
from cakravia_verify.history.releases import unfinished
from cakravia_verify.recovery.repair import repair, serve_again
from cakravia_verify.site.lock import Lock
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline
from cakravia_verify.testing.memory import FakeClock, MemorySite
from tests.memory_stage import Stage


class GuardedSite(MemorySite):
    """A site that notices when the slot that serves users well is stopped or replaced."""

    harmed = ""

    def _users_are_on(self, colour: Colour) -> bool:
        slot = self.running.get(colour)
        return self.proxy_runs and self.chosen is colour and slot is not None and slot.version not in self.sick

    def stop(self, colour: Colour, *, deadline: Deadline) -> None:
        if self._users_are_on(colour):
            self.harmed = f"{colour} was stopped while it served users"
        super().stop(colour, deadline=deadline)

    def start(self, colour: Colour, *args: object, **named: object):  # type: ignore[no-untyped-def]
        if self._users_are_on(colour):
            self.harmed = f"{colour} was replaced while it served users"
        return super().start(colour, *args, **named)  # type: ignore[arg-type]


class ReleaseMachine(RuleBasedStateMachine):
    """Users count as owed from the first promotion on; an accident that takes them away forgives it until the next
    promotion or recovery that could mend it."""

    @initialize(keep_warm=st.booleans())
    def begin(self, keep_warm: bool) -> None:
        memory = Path("/dev/shm")  # noqa: S108
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.memory = GuardedSite(FakeClock())
        self.stage = Stage(self.folder, keep_warm=keep_warm, memory=self.memory, bake=0.5)
        self.owed = False
        self.version = 0
        self.history = b""

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def new_version(self) -> str:
        self.version += 1
        return f"v{self.version}"

    def act(self, crash_at: int, action: str) -> None:
        """A command as a process runs it: the lock, the unfinished first, then its own work; or death on the way."""
        lock = Lock(self.stage.settings.state / "lock")
        lock.acquire(action)
        try:
            self.stage.die_at(crash_at, lambda: self.work(action))
        finally:
            with pytest.raises(LockHeld):
                Lock(lock.path).acquire("a second one")
            lock.release()

    def work(self, action: str) -> None:
        try:
            self.stage.recover()
        except (RollbackFailed, ProxyError):
            return
        with contextlib.suppress(CakraviaError):
            serve_again(self.stage.site)
        self.settle()
        if action == "recover":
            self.repair()
            return
        if action == "roll back":
            if self.can_roll_back():
                with contextlib.suppress(RollbackFailed):
                    self.stage.roll_back_to_previous()
        else:
            version = self.new_version()
            if action == "deploy ill":
                self.memory.sick.add(version)
            if action == "deploy lying":
                self.memory.lies[version] = "v0"
            with contextlib.suppress(RollbackFailed):
                self.stage.deploy(version)
        self.settle()

    def repair(self) -> None:
        may_fail = any(self.memory.failing.values())
        try:
            told = list(repair(self.stage.site))
        except CakraviaError:
            assert may_fail or self.stage.serving is None
            return
        drift = self.stage.site.observe().drift
        assert drift == () or may_fail or any("users stay on" in line for line in told), (drift, told)

    def settle(self) -> None:
        if self.stage.serving is not None:
            self.owed = True

    def can_roll_back(self) -> bool:
        active = self.stage.site.observe().active
        if active is None:
            return False
        record = previous_of(self.stage.site.journal.entries(), version=active.version, digest=active.digest)
        kept = {artifact.digest for artifact in self.memory.retained()}
        return record is not None and record.digest in kept

    @rule(crash_at=st.one_of(st.just(0), st.integers(1, 60)))
    def deploy(self, crash_at: int) -> None:
        self.act(crash_at, "deploy")

    @rule(crash_at=st.one_of(st.just(0), st.integers(1, 60)), how=st.sampled_from(["deploy ill", "deploy lying"]))
    def deploy_something_bad(self, crash_at: int, how: str) -> None:
        self.act(crash_at, how)

    @rule(crash_at=st.one_of(st.just(0), st.integers(1, 40)))
    def roll_back(self, crash_at: int) -> None:
        self.act(crash_at, "roll back")

    @rule(crash_at=st.one_of(st.just(0), st.integers(1, 30)))
    def recover(self, crash_at: int) -> None:
        self.act(crash_at, "recover")

    @rule(
        operation=st.sampled_from(["start", "point_at", "refresh", "build", "prune", "set_failover"]),
        times=st.integers(1, 2),
    )
    def an_operation_will_fail(self, operation: str, times: int) -> None:
        self.memory.failing[operation] = times

    @rule()
    def operations_work_again(self) -> None:
        self.memory.failing.clear()

    @precondition(lambda self: self.memory.running)
    @rule(colour=st.sampled_from(Colour))
    def accident_a_slot_dies(self, colour: Colour) -> None:
        self.memory.running.pop(colour, None)
        self.owed = self.owed and self.stage.serving is not None

    @rule(colour=st.sampled_from(Colour))
    def accident_somebody_flips_the_proxy(self, colour: Colour) -> None:
        self.memory.chosen = colour
        self.owed = self.owed and self.stage.serving is not None

    @rule()
    def accident_the_machine_restarts(self) -> None:
        self.memory.running.clear()
        self.memory.proxy_runs = False
        self.owed = False

    @invariant()
    def users_are_served(self) -> None:
        if not hasattr(self, "memory"):
            return
        assert not self.owed or self.stage.serving is not None

    @invariant()
    def the_serving_slot_was_not_harmed(self) -> None:
        assert not getattr(self, "memory", MemorySite(FakeClock())).__dict__.get("harmed")

    @invariant()
    def the_history_only_grows_and_has_no_damage(self) -> None:
        if not hasattr(self, "memory") or not self.stage.settings.history.exists():
            return
        content = self.stage.settings.history.read_bytes()
        assert content.startswith(self.history)
        self.history = content
        assert self.stage.site.journal.damage() == []

    @invariant()
    def at_most_one_release_is_unfinished(self) -> None:
        if hasattr(self, "memory"):
            assert len(unfinished(self.stage.site.journal.entries())) <= 1


TestReleaseMachine = ReleaseMachine.TestCase
TestReleaseMachine.settings = settings(
    max_examples=40, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
