"""An open shell in a container. It runs a line in about a millisecond."""

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

# `timeout` ends the shell if this machine disappears without closing the connection.
COMMAND = ["timeout", "-s", "KILL", "1800", "sh"]
ANSWER_SECONDS = 10.0


class ShellLost(Exception):  # noqa: N818 - never leaves this package
    """The connection broke. The last line may have run or not."""


class ContainerShell:
    """`sh` in a running container, as the container's user."""

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
            raise ShellLost("the shell does not answer as expected")

    def run(self, line: str) -> tuple[int, str]:
        """Run one line. Returns its status and output. Raises ShellLost."""
        marker = secrets.token_hex(8)
        self._send(f"{{ {line} ; }} 2>&1; echo {marker} $?\n")
        output = self._until(f"{marker} ")
        status = self._until("\n")
        return int(status.strip() or 1), output.rstrip("\n")

    def switchover(self, act: str, *, durable: str) -> float:
        """Run `act`, then `durable`. Returns the CLOCK_MONOTONIC instant at which `act` was reported done, in seconds.

        Raises ShellLost if the connection breaks, and ProxyError if a command fails. A line that a broken connection
        cuts off is a syntax error and has no effect.
        """
        marker = secrets.token_hex(4)
        self._send(
            f"{{ {act} && echo done-{marker} && {durable} && echo kept-{marker} || echo failed-{marker}; }} 2>&1\n"
        )
        output = ""
        while f"done-{marker}" not in output:
            output += self._until("\n") + "\n"
            if f"failed-{marker}" in output:
                raise ProxyError(
                    f"the switch failed in the proxy's container: {' '.join(output.split())[:300]}",
                    remedy="free space in its volume, or correct its permissions; users are where they were",
                )
        instant = self._clock.monotonic()
        last = self._until("\n")
        if last != f"kept-{marker}":
            raise ProxyError(
                f"the switch is effective, but not yet on disk: {last[:300]}",
                remedy="check the engine's disk (see: docker system df)",
            )
        return instant

    def _send(self, line: str) -> None:
        try:
            self._attached.socket.sendall(line.encode())
        except OSError as error:
            raise ShellLost(str(error)) from error

    def _until(self, end: str) -> str:
        """Return the output up to `end`, and remove both."""
        wanted = end.encode()
        while wanted not in self._text:
            self._text += self._frame()
        output, _, self._text = self._text.partition(wanted)
        return output.decode(errors="replace")

    def _frame(self) -> bytes:
        try:
            stream, payload = self._attached.frame()
        except OSError as error:
            raise ShellLost(str(error)) from error
        if not stream:
            raise ShellLost("the connection was closed")
        return payload
