"""The protocol of every platform."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Protocol

from cakravia_verify.platforms.commands import RunningCommand, VersionCommand
from cakravia_verify.platforms.companions import CompanionPlatform
from cakravia_verify.slots import Artifact, Colour, Slot
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.resources import SlotUse


class Platform(Protocol):
    """Starts, stops and observes versions in the two slots. Every method that acts is idempotent."""

    @property
    def name(self) -> str: ...

    @property
    def companions(self) -> CompanionPlatform:
        """The processes of a version beside its slots."""
        ...

    def check(self) -> None:
        """Raise UsageError if slots cannot run here: tools, permissions, ports. Changes nothing."""
        ...

    def notes(self) -> tuple[str, ...]:
        """Return one line for each thing that a slot gets otherwise than the project defines it. Changes nothing."""
        ...

    def reconnect(self) -> tuple[str, ...]:
        """Reconnect running parts of the site that lost their network. Returns one line for each part.

        Called with the lock held; starts and stops nothing. Raises UsageError if the settings name another address
        than a running slot has.
        """
        ...

    def prefetch(self, version: str, *, deadline: Deadline, told: Callable[[str], None] = lambda _: None) -> None:
        """Fetch in advance what `build` needs, before the lock is held. Changes nothing that runs.

        `told` gets lines about the progress.
        """
        ...

    def build(self, version: str, *, deadline: Deadline) -> Artifact:
        """Build or locate the artifact of `version`, and retain it for rollbacks."""
        ...

    @property
    def build_log(self) -> Path | None:
        """The whole output of the last build as a local file. None, or no such file: nothing was built."""
        ...

    def retained(self) -> tuple[Artifact, ...]:
        """Return the artifacts that can start without a build, newest first."""
        ...

    def verify(self, artifact: Artifact) -> None:
        """Raise PlatformError if the retained artifact no longer matches its digest. Changes nothing."""
        ...

    def require_startable(self, artifact: Artifact) -> None:
        """Check that everything the artifact needs to start, apart from itself, is here.

        Changes nothing. Raises PlatformError or MissingTool, which name what is missing.
        """
        ...

    def start(self, colour: Colour, artifact: Artifact, *, release: str, deadline: Deadline) -> Slot:
        """Stop the slot's present version, then start `artifact` there. It may not be ready yet."""
        ...

    def set_roles(self, active: Colour | None) -> None:
        """Write into the role file of each slot if it is the active one. Raises PlatformError or OSError."""
        ...

    def run_command(self, artifact: Artifact, command: VersionCommand) -> RunningCommand:
        """Start a command as the artifact's version runs: its files, its environment, and no slot."""
        ...

    def end_commands(self, release: str) -> None:
        """End every command that this release started and that still runs."""
        ...

    def observe(self, colour: Colour) -> Slot | None:
        """Return the running slot, None if it is empty."""
        ...

    def connections(self, colour: Colour) -> int:
        """Return how many connections the proxy has open to the slot: an upper limit of users' requests in flight.

        Connections of others, such as a monitor, do not count.
        """
        ...

    def stop(self, colour: Colour, *, deadline: Deadline) -> None:
        """Stop the slot: a stop signal first, so that the application drains, and a kill at the deadline."""
        ...

    def remarks(self) -> tuple[str, ...]:
        """Return what was noticed about the applications since the last call, one sentence each."""
        ...

    def prune(self, *, keep: Collection[str], retain: int, promoted: Collection[str] = ()) -> tuple[Artifact, ...]:
        """Remove artifacts beyond `retain`, except the digests in `keep`. Returns the removed ones.

        Promoted artifacts (digests in `promoted`) are retained first, because only they are rollback targets. Then
        newer ones are retained before older ones.
        """
        ...

    def logs(self, colour: Colour, *, lines: int) -> str:
        """Return the last lines of the slot's application log."""
        ...

    def file_names(self, colour: Colour, folder: str) -> tuple[str, ...]:
        """Return the names of all files below a folder of the slot's version, relative to it. () without the folder.

        A relative `folder` starts from the application's working directory.
        """
        ...

    def write_failures(self, colour: Colour) -> tuple[str, ...]:
        """Return one line for each kind of write that failed in the slot, with its correction. Changes nothing."""
        ...

    def use(self, colour: Colour) -> SlotUse | None:
        """Return what the slot's processes use now, None if it is not known. Changes nothing."""
        ...

    def request_log(self, colour: Colour) -> Path | None:
        """Return the application's own request log as a local file, None if it has none."""
        ...

    def fetch_logs(self) -> None:
        """Bring the files of `request_log` up to date."""
        ...

    def bound_logs(self) -> None:
        """Shorten logs of slots that are longer than their limit. Not called during a measured run."""
        ...


def surplus_of(artifacts: Iterable[Artifact], *, retain: int, promoted: Collection[str]) -> list[Artifact]:
    """Return the artifacts beyond `retain`. Promoted ones are retained first, then newer before older ones.

    `artifacts` are newest first.
    """
    return sorted(artifacts, key=lambda artifact: artifact.digest not in promoted)[retain:]
