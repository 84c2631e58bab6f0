"""Companions in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cakravia_verify.platforms.companions import Companion
from cakravia_verify.settings.companions import CompanionSettings
from cakravia_verify.slots import Artifact
from cakravia_verify.system.clock import Deadline


@dataclass
class MemoryCompanions:
    """Companions by name. `short_lived` holds versions whose companions end at once.

    `act` is called with each operation and its subject, and may raise. `doubles` counts starts beside a living one.
    """

    act: Callable[[str, str], None]
    alive: dict[str, Companion] = field(default_factory=dict)
    short_lived: set[str] = field(default_factory=set)
    doubles: int = 0
    _starts: int = 0

    def running(self) -> tuple[Companion, ...]:
        return tuple(self.alive.values())

    def start(self, companion: CompanionSettings, artifact: Artifact, *, release: str, deadline: Deadline) -> Companion:
        self.act("start_companion", f"{companion.name} {artifact.version}")
        self.doubles += companion.name in self.alive
        self._starts += 1
        started = Companion(companion.name, artifact.version, artifact.digest, release, f"run-{self._starts}")
        if artifact.version not in self.short_lived:
            self.alive[companion.name] = started
        return started

    def stop(self, name: str, *, deadline: Deadline) -> None:
        self.act("stop_companion", name)
        self.alive.pop(name, None)

    def logs(self, name: str, *, lines: int) -> str:
        return f"the log of {name}"
