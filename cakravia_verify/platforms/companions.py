"""Companions on every platform: processes of a version beside its slots, such as workers and schedulers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cakravia_verify.settings.companions import CompanionSettings
from cakravia_verify.slots import Artifact
from cakravia_verify.system.clock import Deadline


@dataclass(frozen=True)
class Companion:
    """A running companion. `identity` changes with every new process or container."""

    name: str
    version: str
    digest: str
    release: str
    identity: str

    def __str__(self) -> str:
        return f"{self.name} ({self.version})"


class CompanionPlatform(Protocol):
    """Starts, stops and observes companions. Every method that acts is idempotent."""

    def running(self) -> tuple[Companion, ...]:
        """Return the running companions of the site, also those that the settings no longer name."""
        ...

    def start(self, companion: CompanionSettings, artifact: Artifact, *, release: str, deadline: Deadline) -> Companion:
        """Start the companion with the artifact. What a killed start of the same name left is ended first.

        Raises PlatformError or UsageError.
        """
        ...

    def stop(self, name: str, *, deadline: Deadline) -> None:
        """Stop the companion: a stop signal first, and a kill at the deadline. Nothing of it runs afterwards."""
        ...

    def logs(self, name: str, *, lines: int) -> str:
        """Return the last lines of the companion's log."""
        ...
