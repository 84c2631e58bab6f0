"""The proxy's flags in its volume: one line to a shell opened before, or an upload where there is no shell."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cakravia_verify.errors import ProxyError
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.engine.exec import run_in
from cakravia_verify.platforms.docker.engine.files import ArchiveEntry, fetch, send
from cakravia_verify.platforms.docker.engine.shell import ContainerShell, ShellLost
from cakravia_verify.system.clock import Clock

if TYPE_CHECKING:
    from docker.models.containers import Container

UID: Final = 10101
ROOT: Final = "/srv/proxy"
# Nothing can ever be made there: not even its folder exists, and the root file system is read-only.
NOWHERE: Final = "/nonexistent/flag"
CONF, FLAGS, LOGS = f"{ROOT}/conf", f"{ROOT}/flags", f"{ROOT}/logs"


class VolumeFlags:
    """Flags in the volume of the container that `find` finds. Every state that a broken connection leaves is valid."""

    def __init__(self, engine: Engine, find: Callable[[], Container | None], *, clock: Clock) -> None:
        self._engine = engine
        self._find = find
        self._clock = clock
        self._shell: ContainerShell | None = None

    def has(self, name: str) -> bool:
        container = self._find()
        if container is None:
            return False
        if container.status == "running":
            with contextlib.suppress(ShellLost):
                return self._in(container).run(f"test -f {FLAGS}/{name}")[0] == 0
            self.close()
        return fetch(self._engine, container, f"{FLAGS}/{name}", kind=ProxyError) is not None

    def put(self, name: str) -> None:
        self.set(name, wanted=True)

    def remove(self, name: str) -> None:
        self.set(name, wanted=False)

    def set(self, name: str, *, wanted: bool) -> float:
        """The instant, in CLOCK_MONOTONIC seconds, from which on every request finds the flag so. Raises ProxyError."""
        path = f"{FLAGS}/{name}"
        # Renamed into place: written straight, a flag that an upload took away would come back as its link's target.
        # `true >`: a failed redirection of a special builtin would end the shell.
        draft = f"{FLAGS}/.{name}"
        act = f"true > {draft} && mv -f {draft} {path}" if wanted else f"rm -f {path}"
        shell = self._shell or self.open_shell()
        if shell is not None:
            try:
                return shell.switchover(act, durable=f"sync {FLAGS}")
            except ShellLost:
                # Nobody knows whether the line ran.
                self.close()
        container = self._find()
        if container is None:
            raise ProxyError("the proxy's container is gone", remedy="cakravia up starts it")
        if self.has(name) is not wanted:
            self.write(container, name, wanted=wanted)
            if self.has(name) is not wanted:
                raise ProxyError(f"the flag {name} did not change", remedy="look at the proxy's volume")
        return self._clock.monotonic()

    def write(self, container: Container, name: str, *, wanted: bool) -> None:
        """The flag by upload, which works without a shell and on a container that does not run.

        nginx takes a symbolic link into the void for no file: a flag can be taken away without deleting anything.
        """
        entry = (
            ArchiveEntry(name, b"", uid=UID, gid=UID) if wanted else ArchiveEntry(name, link=NOWHERE, uid=UID, gid=UID)
        )
        send(self._engine, container, FLAGS, [entry], kind=ProxyError)

    def read(self, container: Container, path: str) -> bytes | None:
        """A small text file of the volume."""
        if container.status == "running":
            with contextlib.suppress(ShellLost):
                status, text = self._in(container).run(f"cat {path} && echo .")
                return text.removesuffix(".").encode() if status == 0 else None
            self.close()
        return fetch(self._engine, container, path, kind=ProxyError)

    def run(self, line: str) -> tuple[int, str]:
        """Status and output of a line that only looks. Raises ProxyError."""
        container = self._find()
        if container is None:
            raise ProxyError("the proxy's container is gone", remedy="cakravia up starts it")
        for _ in range(2):
            with contextlib.suppress(ShellLost):
                return self._in(container).run(line)
            self.close()
        what = "looking into the proxy's container"
        status, said = run_in(self._engine, container, ["sh", "-c", line], what=what, kind=ProxyError)
        return status, said.decode(errors="replace")

    def open_shell(self) -> ContainerShell | None:
        """The shell that waits for the switch, where there can be one."""
        container = self._find()
        if container is not None and container.status == "running":
            with contextlib.suppress(ShellLost):
                return self._in(container)
        return None

    def close(self) -> None:
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    def _in(self, container: Container) -> ContainerShell:
        if self._shell is not None and self._shell.container_id != container.id:
            self.close()
        if self._shell is None:
            self._shell = ContainerShell(self._engine, container, clock=self._clock)
        return self._shell
