"""What the end of a container says about its application: a shell in front of it, a kill, no memory."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from cakravia_verify.errors import PlatformError
from cakravia_verify.platforms.docker.engine.engine import Engine

if TYPE_CHECKING:
    from docker.models.containers import Container

SHELLS: Final = frozenset({"sh", "ash", "bash", "dash", "ksh", "zsh", "busybox"})
INITS: Final = frozenset({"docker-init", "tini", "dumb-init", "catatonit"})
KILLED: Final = 137


def has_shell_in_front(engine: Engine, container: Container) -> bool:
    """Return whether the command of a running container is a shell that waits for the server. False if unknown."""
    with contextlib.suppress(PlatformError):
        rows = engine.ask(
            f"listing the processes of {container.name}", lambda: container.top(ps_args="-eo pid,ppid,comm")
        )
        return is_shell_in_front([tuple(row) for row in rows.get("Processes") or []])
    return False


def is_shell_in_front(rows: list[tuple[str, ...]]) -> bool:
    """Return whether the first process that is no init is a shell with a child. Rows are pid, parent, name."""
    inside = {pid for pid, _, _ in rows}
    first = next(((pid, name) for pid, parent, name in rows if parent not in inside), None)
    if first is not None and first[1] in INITS:
        first = next(((pid, name) for pid, parent, name in rows if parent == first[0]), None)
    if first is None or first[1] not in SHELLS:
        return False
    return any(parent == first[0] for _, parent, _ in rows)


def remarks_of(container: Container, *, has_shell: bool, grace: float) -> list[str]:
    """Return what a stopped container showed, one sentence each."""
    state = container.attrs["State"]
    if has_shell:
        return [
            f"{container.name} is started by a shell, which keeps SIGTERM from the server behind it: start the server "
            "with `exec`, or with the JSON form of CMD"
        ]
    if state.get("ExitCode") == KILLED and not state.get("OOMKilled"):
        return [f"{container.name} did not end within {grace:g} s of its stop signal and was killed"]
    return []


def out_of_memory(container: Container, *, limit: str) -> list[str]:
    """Return a line for the log of a container whose last end was for want of memory."""
    if not container.attrs["State"].get("OOMKilled"):
        return []
    return [f'cakravia: the engine killed {container.name} at [slots] memory_limit = "{limit}": out of memory']
