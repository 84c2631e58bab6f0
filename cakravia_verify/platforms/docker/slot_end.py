"""What the end of a container says about its application: a shell in front of it, a kill, no memory."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from cakravia_verify.errors import PlatformError
from cakravia_verify.platforms.docker import containers
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.engine.exec import run_in
from cakravia_verify.system.clock import Deadline

if TYPE_CHECKING:
    from docker.models.containers import Container

SHELLS: Final = frozenset({"sh", "ash", "bash", "dash", "ksh", "zsh", "busybox"})
INITS: Final = frozenset({"docker-init", "tini", "dumb-init", "catatonit"})
KILLED: Final = 137
NO_RESTART: Final[Any] = {"Name": "no", "MaximumRetryCount": 0}
# Sends the signal to each process that a shell started, except shells. It needs nothing but a shell.
TELL_SERVERS: Final = """
is_shell() { case $1 in sh|ash|bash|dash|ksh|zsh|busybox) return 0;; esac; return 1; }
for file in /proc/[0-9]*/status; do
  name= pid= parent= above=
  while read -r key value rest; do
    case $key in Name:) name=$value;; Pid:) pid=$value;; PPid:) parent=$value;; esac
  done < "$file"
  read -r above < "/proc/$parent/comm"
  if is_shell "$above" && ! is_shell "$name"; then kill -s "$1" "$pid" && echo "$pid"; fi
done 2>/dev/null
exit 0
"""


def stop_in_grace(engine: Engine, container: Container, *, deadline: Deadline, grace: float) -> list[str]:
    """Stop a running container that is removed next. Returns what was noticed, one sentence each.

    A shell in front of the server keeps the stop signal to itself, so the server is told directly.
    """
    has_shell = has_shell_in_front(engine, container)
    left = Deadline(f"{container.name} ends", min(grace, deadline.remaining), clock=engine.clock)
    was_told = has_shell and _told_servers(engine, container)
    if was_told:
        while _is_running(engine, container) and not left.is_over:
            engine.clock.sleep(0.1)
    containers.stop(engine, container, deadline=deadline, grace=left.remaining)
    remarks = remarks_of(container, has_shell=has_shell, grace=grace)
    return [f"{each}; the server was told directly this time" for each in remarks] if was_told else remarks


def _told_servers(engine: Engine, container: Container) -> bool:
    """Send the stop signal to the servers behind the shell. Returns whether one got it."""
    signal = str(container.attrs["Config"].get("StopSignal") or "SIGTERM").removeprefix("SIG")
    with contextlib.suppress(PlatformError):
        # The engine must not start again what ends by itself now.
        engine.ask(f"stopping {container.name}", lambda: container.update(restart_policy=NO_RESTART))
        what = f"telling the server in {container.name} to end"
        _, output = run_in(engine, container, ["sh", "-c", TELL_SERVERS, "sh", signal], what=what)
        return bool(output.strip())
    return False


def _is_running(engine: Engine, container: Container) -> bool:
    engine.ask(f"reading {container.name}", container.reload)
    return container.status == "running"


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
            f"{container.name} is started by a shell, which keeps the stop signal from the server behind it: start the "
            "server with `exec`, or with the JSON form of CMD"
        ]
    if state.get("ExitCode") == KILLED and not state.get("OOMKilled"):
        return [f"{container.name} did not end within {grace:g} s of its stop signal and was killed"]
    return []


def out_of_memory(container: Container, *, limit: str) -> list[str]:
    """Return a line for the log of a container whose last end was for want of memory."""
    if not container.attrs["State"].get("OOMKilled"):
        return []
    return [f'cakravia: the engine killed {container.name} at [slots] memory_limit = "{limit}": out of memory']
