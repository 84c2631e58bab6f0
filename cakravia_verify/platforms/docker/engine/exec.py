"""Commands in containers. The SDK's `exec_run` would leave its connections to the garbage collector."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from cakravia_verify.errors import CakraviaError, PlatformError
from cakravia_verify.platforms.docker.engine.engine import Engine

if TYPE_CHECKING:
    from docker.models.containers import Container

STDOUT: Final = 1


class Attached:
    """The connection to one command in a container. A frame has a stream byte, three padding bytes and a length."""

    def __init__(
        self, engine: Engine, container_id: str, command: Sequence[str], *, user: str = "", stdin: bool = False
    ) -> None:
        self._api = engine.client.api
        created = self._api.exec_create(
            container_id, list(command), stdin=stdin, stdout=True, stderr=True, tty=False, user=user
        )
        self.id = str(created["Id"])
        # Typed as Any: the SDK returns another wrapper class for each transport.
        self._wrapper: Any = cast(Any, self._api.exec_start(self.id, socket=True))
        self.socket: Any = getattr(self._wrapper, "_sock", self._wrapper)
        self._buffer = b""

    def frame(self) -> tuple[int, bytes]:
        """Return stream and payload of the next frame, (0, b"") at the end. Raises OSError."""
        header = self._exactly(8)
        if not header:
            return 0, b""
        return header[0], self._exactly(struct.unpack(">I", header[4:])[0])

    def status(self) -> int:
        """Return the exit status of a command that has ended."""
        code = self._api.exec_inspect(self.id)["ExitCode"]
        return 1 if code is None else int(code)

    def close(self) -> None:
        # Closing only the SDK's wrapper would leave the connection, and the command, open.
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        ends: list[Any] = [getattr(self._wrapper, "_response", None), self._wrapper, self.socket]
        for each in ends:
            with contextlib.suppress(Exception):
                each.close()

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            part = self.socket.recv(65536)
            if not part:
                return b""
            self._buffer += part
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken


def output_of(engine: Engine, container: Container, command: Sequence[str], *, user: str = "") -> Iterator[bytes]:
    """Yield the command's standard output in pieces. Raises PlatformError if the command fails."""
    attached = Attached(engine, str(container.id), command, user=user)
    try:
        while True:
            stream, piece = attached.frame()
            if not stream:
                break
            if stream == STDOUT:
                yield piece
        if (status := attached.status()) != 0:
            raise PlatformError(
                f"{command[0]} in {container.name} ended with status {status}",
                remedy=f"read its log: docker logs {container.name}",
            )
    finally:
        attached.close()


def run_in(
    engine: Engine,
    container: Container,
    command: Sequence[str],
    *,
    what: str,
    user: str = "",
    kind: type[CakraviaError] = PlatformError,
) -> tuple[int, bytes]:
    """Run a command in a running container. Returns its status and output."""

    def ran() -> tuple[int, bytes]:
        attached = Attached(engine, str(container.id), command, user=user)
        try:
            output = b""
            while True:
                stream, piece = attached.frame()
                if not stream:
                    return attached.status(), output
                output += piece
        finally:
            attached.close()

    return engine.ask(what, ran, kind=kind)
