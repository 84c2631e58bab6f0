"""A shell in the container of a lease. It comes back after a restart of the engine, and never after a takeover."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cakravia_verify.errors import CakraviaError, PlatformError, SiteLost
from cakravia_verify.platforms.docker.engine.engine import Engine, explained
from cakravia_verify.platforms.docker.engine.shell import ContainerShell
from cakravia_verify.system.clock import Clock, Deadline

if TYPE_CHECKING:
    from docker.models.containers import Container


class LeaseShell:
    """Runs lines in one container, identified by its id: another container of that name is another holder's.

    Not thread-safe.
    """

    def __init__(self, engine: Engine, name: str, *, clock: Clock) -> None:
        self._engine = engine
        self._name = name
        self._clock = clock
        self._id = ""
        self._shell: ContainerShell | None = None
        self._is_lost = False

    def enter(self, container_id: str) -> None:
        """Run the next lines in this container."""
        self.close()
        self._id, self._is_lost = container_id, False

    def require_there(self) -> None:
        """Raise SiteLost if the container was found missing."""
        if self._is_lost:
            raise SiteLost(
                "this process no longer holds the site: its lease on the engine was taken over, or removed",
                remedy="this process does nothing more; see the site with cakravia status, and finish half-done steps "
                "with cakravia recover",
            )

    def run(self, line: str, *, patience: float | None = None) -> tuple[int, str]:
        """Run a line that may run twice, and return its status and output.

        Raises SiteLost if the container is gone, and PlatformError without an answer within `patience` seconds.
        """
        wait = self._engine.patience if patience is None else patience
        deadline = Deadline("the engine answers", wait, clock=self._clock)
        while True:
            try:
                return self._opened().run(line)
            except SiteLost:
                raise
            except Exception as error:
                self.close()
                if deadline.is_over:
                    failure = error.message if isinstance(error, CakraviaError) else explained(error)
                    raise PlatformError(
                        f"the container {self._name} of this site's lease does not answer: {failure}",
                        remedy="start the engine; the next command finishes or undoes the release",
                    ) from error
            except BaseException:
                self.close()  # an answer that nobody waits for would be taken for the next one
                raise
            self._clock.sleep(0.2)

    def close(self) -> None:
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    def _opened(self) -> ContainerShell:
        if self._shell is None:
            self._shell = ContainerShell(self._engine, self._running(), clock=self._clock)
        return self._shell

    def _running(self) -> Container:
        """Return the container, started again after a restart of the engine. Raises SiteLost if it is gone."""
        from docker.errors import NotFound

        try:
            container = self._engine.client.containers.get(self._id)
            if container.status != "running":
                container.start()
                container.reload()
        except NotFound:
            self._is_lost = True
            self.require_there()
            raise
        return container
