"""A shell inside a container, opened before it is needed: one line in, its answer out, within a millisecond."""

from __future__ import annotations

import secrets
import weakref
from typing import TYPE_CHECKING

from cakravia_verify.errors import ProxyError
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.engine.exec import Attached
from cakravia_verify.system.clock import Clock

if TYPE_CHECKING:
    from docker.models.containers import Container

# Ends a shell whose machine vanished without closing the connection; an idle site has no process besides nginx.
COMMAND = ["timeout", "-s", "KILL", "1800", "sh"]
ANSWER_SECONDS = 10.0


class ShellLost(Exception):  # noqa: N818 - never leaves this package
    """The connection broke: nobody knows whether the last line ran."""


class ContainerShell:
    """`sh` in a running container, as the container's own user."""

    def __init__(self, engine: Engine, container: Container, *, clock: Clock) -> None:
        self.container_id = str(container.id)
        self._clock = clock
        self._text = b""
        try:
            self._attached = Attached(engine, self.container_id, COMMAND, stdin=True)
        except Exception as error:
            raise ShellLost(str(error)) from error
        # The connection, and the shell with it, ends with this object.
        self.close = weakref.finalize(self, self._attached.close)
        self._attached.socket.settimeout(ANSWER_SECONDS)
        if self.run("echo ready") != (0, "ready"):
            self.close()
            raise ShellLost("the shell gives no sensible answer")

    def run(self, line: str) -> tuple[int, str]:
        """Status and output of one line of commands. Raises ShellLost."""
        marker = secrets.token_hex(8)
        self._send(f"{{ {line} ; }} 2>&1; echo {marker} $?\n")
        said = self._until(f"{marker} ")
        status = self._until("\n")
        return int(status.strip() or 1), said.rstrip("\n")

    def switchover(self, act: str, *, durable: str) -> float:
        """The instant, in CLOCK_MONOTONIC seconds, at which `act` was known to have returned; then `durable` is done.

        Raises ShellLost where nobody knows, and ProxyError where the shell said that it failed. A line cut short by a
        dying connection is a syntax error and does nothing.
        """
        marker = secrets.token_hex(4)
        self._send(
            f"{{ {act} && echo done-{marker} && {durable} && echo kept-{marker} || echo failed-{marker}; }} 2>&1\n"
        )
        said = ""
        while f"done-{marker}" not in said:
            said += self._until("\n") + "\n"
            if f"failed-{marker}" in said:
                raise ProxyError(
                    f"the switch was refused in the proxy's container: {' '.join(said.split())[:300]}",
                    remedy="free space in its volume or mend its permissions; users are where they were",
                )
        instant = self._clock.monotonic()
        last = self._until("\n")
        if last != f"kept-{marker}":
            raise ProxyError(
                f"the switch is in force, but not on disk: {last[:300]}", remedy="look at the disk of the engine"
            )
        return instant

    def _send(self, line: str) -> None:
        try:
            self._attached.socket.sendall(line.encode())
        except OSError as error:
            raise ShellLost(str(error)) from error

    def _until(self, end: str) -> str:
        """What was said up to `end`, which is taken off too."""
        wanted = end.encode()
        while wanted not in self._text:
            self._text += self._frame()
        said, _, self._text = self._text.partition(wanted)
        return said.decode(errors="replace")

    def _frame(self) -> bytes:
        try:
            stream, payload = self._attached.frame()
        except OSError as error:
            raise ShellLost(str(error)) from error
        if not stream:
            raise ShellLost("the connection was closed")
        return payload
