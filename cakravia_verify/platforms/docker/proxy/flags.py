"""The proxy's flags in its volume, changed by one line to an open shell, or by an upload without a shell."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from cakravia_verify.errors import ProxyError
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.engine.exec import run_in
from cakravia_verify.platforms.docker.engine.files import ArchiveEntry, fetch, send
from cakravia_verify.platforms.docker.engine.shell import ContainerShell, ShellLost
from cakravia_verify.proxy.flags import GREEN_ACTIVE
from cakravia_verify.proxy.pins import PINS
from cakravia_verify.proxy.protocol import Switchover
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Clock

if TYPE_CHECKING:
    from docker.models.containers import Container

UID: Final = 10101
ROOT: Final = "/srv/proxy"
# A path that can never exist: its folder is missing, and the root file system is read-only.
NOWHERE: Final = "/nonexistent/flag"
CONF, FLAGS, LOGS = f"{ROOT}/conf", f"{ROOT}/flags", f"{ROOT}/logs"
ASSETS: Final = f"{ROOT}/assets"


class VolumeFlags:
    """Flags in the volume of the container that `find` returns. A broken connection leaves a valid state."""

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

    def point_at(self, colour: Colour) -> Switchover:
        """Send every request that begins after this returns to `colour`.

        Returns the instants before the command is sent and after its answer arrived. Raises ProxyError.
        """
        self.open_shell()  # opening it takes longer than the switch
        decided = self._clock.monotonic()
        if colour is Colour.GREEN:
            # mv: green.active exists from now on, green is active.
            return Switchover.timed(colour, decided=decided, effective=self.put(GREEN_ACTIVE))
        # rm: green.active is gone from now on, blue is active.
        return Switchover.timed(colour, decided=decided, effective=self.remove(GREEN_ACTIVE))

    def put(self, name: str) -> float:
        """Create the flag, durably. Returns the instant of the change in CLOCK_MONOTONIC seconds. Raises ProxyError."""
        # mv replaces the symbolic link that an upload may have left. A redirection would write to the link's target.
        # `true >`: a failed redirection of a special builtin would end the shell.
        flag, draft = f"{FLAGS}/{name}", f"{FLAGS}/.{name}"
        if (changed_at := self._run_durably(f"true > {draft} && mv -f {draft} {flag}")) is not None:
            return changed_at
        return self._change_by_upload(name, is_present=True)

    def remove(self, name: str) -> float:
        """Remove the flag, durably. Returns the instant of the change in CLOCK_MONOTONIC seconds. Raises ProxyError."""
        if (changed_at := self._run_durably(f"rm -f {FLAGS}/{name}")) is not None:
            return changed_at
        return self._change_by_upload(name, is_present=False)

    def upload_choice(self, container: Container, colour: Colour) -> None:
        """Make `colour` active in a container that does not run yet. Raises ProxyError."""
        is_green = colour is Colour.GREEN
        if self.has(GREEN_ACTIVE) is not is_green:
            self.upload(container, GREEN_ACTIVE, is_present=is_green)

    def _run_durably(self, line: str) -> float | None:
        """Run the line in the shell. Returns None if there is no shell, or if its connection broke."""
        shell = self._shell or self.open_shell()
        if shell is None:
            return None
        try:
            return shell.switchover(line, durable=f"sync {FLAGS}")
        except ShellLost:
            self.close()  # the line may have run or not
            return None

    def _change_by_upload(self, name: str, *, is_present: bool) -> float:
        container = self._find()
        if container is None:
            raise ProxyError("the proxy's container is gone", remedy="start it: cakravia up")
        if self.has(name) is not is_present:
            self.upload(container, name, is_present=is_present)
            if self.has(name) is not is_present:
                raise ProxyError(
                    f"the flag {FLAGS}/{name} in {container.name} did not change after an upload",
                    remedy="see what the proxy logged: cakravia logs proxy",
                )
        return self._clock.monotonic()

    def upload(self, container: Container, name: str, *, is_present: bool) -> None:
        """Change the flag by an upload. This works without a shell and on a stopped container.

        nginx ignores a symbolic link without a target. So an upload can remove a flag without a delete.
        """
        link = "" if is_present else NOWHERE
        entry = ArchiveEntry(name, b"", uid=UID, gid=UID, link=link)
        send(self._engine, container, FLAGS, [entry], kind=ProxyError)

    def put_pin(self, colour: Colour, version: str, spans: Sequence[str]) -> None:
        """Replace the pins of the slot by one for `version` (see `proxy.pins`). Raises ProxyError."""
        container = self._find()
        if container is None:
            raise ProxyError("the proxy's container is gone", remedy="start it: cakravia up")
        self.remove_pin(colour)
        place = f"{PINS}/{colour}/{version}"
        folders = [PINS, f"{PINS}/{colour}", place]
        entries = [ArchiveEntry(folder, mode=0o755, uid=UID, gid=UID) for folder in folders]
        entries += [ArchiveEntry(f"{place}/{span}", b"", uid=UID, gid=UID) for span in spans]
        send(self._engine, container, FLAGS, entries, kind=ProxyError)

    def remove_pin(self, colour: Colour) -> None:
        """Remove the pins of the slot. A proxy that does not run has no request to answer. Raises ProxyError."""
        container = self._find()
        if container is None or container.status != "running":
            return
        status, output = self.run(f"rm -rf {FLAGS}/{PINS}/{colour}")
        if status != 0:
            raise ProxyError(
                f"the pins of {colour} cannot be removed: {output.strip()[:200]}",
                remedy="[proxy.skew] needs a shell in the proxy's image; see docs/PROXY.md",
            )

    def read(self, container: Container, path: str) -> bytes | None:
        """Return the content of a small text file in the volume, None without a file."""
        if container.status == "running":
            with contextlib.suppress(ShellLost):
                status, text = self._in(container).run(f"cat {path} && echo .")
                return text.removesuffix(".").encode() if status == 0 else None
            self.close()
        return fetch(self._engine, container, path, kind=ProxyError)

    def run(self, line: str) -> tuple[int, str]:
        """Run a line that may run twice. Returns its status and output. Raises ProxyError."""
        container = self._find()
        if container is None:
            raise ProxyError("the proxy's container is gone", remedy="start it: cakravia up")
        for _ in range(2):
            with contextlib.suppress(ShellLost):
                return self._in(container).run(line)
            self.close()
        what = "running a command in the proxy's container"
        status, output = run_in(self._engine, container, ["sh", "-c", line], what=what, kind=ProxyError)
        return status, output.decode(errors="replace")

    def open_shell(self) -> ContainerShell | None:
        """Return an open shell in the container, None if the container or its shell does not run."""
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
