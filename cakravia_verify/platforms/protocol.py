"""What every platform can do for a release."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol

from cakravia_verify.slots import Artifact, Colour, Slot
from cakravia_verify.system.clock import Deadline


class Platform(Protocol):
    """Starts, stops and observes versions in the two slots. Every method that acts is idempotent."""

    @property
    def name(self) -> str: ...

    def check(self) -> None:
        """Whether slots could run here: tools, permissions, ports. Raises UsageError; changes nothing."""
        ...

    def mend(self) -> tuple[str, ...]:
        """What of the site runs but could not be reached, for whatever held it together was taken away, can be reached
        again; one sentence for each such part. Called with the lock held; starts and stops nothing. Raises UsageError
        where the settings send users of a running slot to where it is not."""
        ...

    def prefetch(self, version: str, *, deadline: Deadline) -> None:
        """What `build` needs is here, as far as it can be had before the lock is held. Touches nothing that runs."""
        ...

    def build(self, version: str, *, deadline: Deadline) -> Artifact:
        """The artifact of `version`, built or located now and retained for later rollbacks."""
        ...

    def retained(self) -> tuple[Artifact, ...]:
        """Artifacts that can be started without a build, newest first."""
        ...

    def verify(self, artifact: Artifact) -> None:
        """The retained artifact is still exactly what its digest names. Raises PlatformError; changes nothing."""
        ...

    def require_startable(self, artifact: Artifact) -> None:
        """Check that everything the artifact needs to start, apart from itself, is here.

        Changes nothing. Raises PlatformError or MissingTool, which name what is missing.
        """
        ...

    def start(self, colour: Colour, artifact: Artifact, *, release: str, deadline: Deadline) -> Slot:
        """`artifact` runs in the slot (not necessarily ready yet); whatever ran there before is stopped first."""
        ...

    def observe(self, colour: Colour) -> Slot | None:
        """What runs in the slot now, None where nothing does."""
        ...

    def connections(self, colour: Colour) -> int:
        """Connections to the slot that are open now: an upper bound of the requests in flight there."""
        ...

    def stop(self, colour: Colour, *, deadline: Deadline) -> None:
        """Nothing runs in the slot. Asked politely first (the application drains), killed at the deadline."""
        ...

    def prune(self, *, keep: Collection[str], retain: int, promoted: Collection[str] = ()) -> tuple[Artifact, ...]:
        """What was removed: all artifacts but `retain` of them and those that `keep` names by digest. Ones that
        `promoted` names stay before any other, for nobody goes back to what was never promoted; then the newest do."""
        ...

    def logs(self, colour: Colour, *, lines: int) -> str:
        """The last lines that the slot's application wrote."""
        ...

    def request_log(self, colour: Colour) -> Path | None:
        """The application's own request log as a file of this machine, None where it has none."""
        ...

    def fetch_logs(self) -> None:
        """The files that `request_log` names hold everything written up to now."""
        ...

    def bound_logs(self) -> None:
        """No log that a slot writes on and on is longer than its bound. Called where no measured run reads one."""
        ...


def beyond(retain: int, artifacts: Iterable[Artifact], *, promoted: Collection[str]) -> list[Artifact]:
    """The ones of `artifacts`, newest first, for which there is no room: promoted ones have it before any other, newer
    ones before older ones."""
    return sorted(artifacts, key=lambda artifact: artifact.digest not in promoted)[retain:]
