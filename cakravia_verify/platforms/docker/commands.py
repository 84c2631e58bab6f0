"""A command as a container of its own, made from the candidate's image and gone afterwards."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from cakravia_verify.errors import CakraviaError
from cakravia_verify.platforms.commands import VersionCommand
from cakravia_verify.platforms.docker import containers
from cakravia_verify.platforms.docker.containers import Spec
from cakravia_verify.platforms.docker.engine.engine import SITE_LABEL, Engine
from cakravia_verify.platforms.docker.project_parts import join_networks
from cakravia_verify.platforms.docker.secrets import SUFFIX, bring_secrets, forget_secrets
from cakravia_verify.platforms.docker.slot_spec import SECRETS, VERSION, prepare_data
from cakravia_verify.platforms.docker.writable import own_writable
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.commands import GRACE_SECONDS, BoundedOutput

if TYPE_CHECKING:
    from docker.models.containers import Container

# What a slot is told about its own address and log; a command has neither.
OF_A_SLOT: Final = frozenset(
    {
        *("HOST", "PORT", "DEPLOYMENT_SLOT", "DEPLOYMENT_RELEASE", "DEPLOYMENT_TIMESTAMP", "REQUEST_LOG"),
        "DEPLOYMENT_ROLE_FILE",
    }
)


def command_spec(slot: Spec, command: VersionCommand, *, name: str, version: str) -> Spec:
    """Return the container of a command: that of a slot, without its address, its checks and its entry point."""
    first, *rest = (part.replace("{version}", version) for part in command.argv)
    own = {key: value for key, value in slot.environment.items() if key not in OF_A_SLOT}
    return replace(
        slot,
        name=name,
        service=name,
        address="",
        restart="no",
        ports={},
        environment=own | dict(command.environment),
        labels={SITE_LABEL: slot.labels[SITE_LABEL], VERSION: version},
        read_only_volumes={f"{name}{SUFFIX}": SECRETS} if slot.read_only_volumes else {},
        entrypoint=(first,),
        command=tuple(rest),
        takes_stdin=True,
        definition=replace(slot.definition, healthcheck=None, entrypoint=(), command=()),
    )


class ContainerCommand:
    """One command in a container. Raises PlatformError if it cannot be started."""

    def __init__(self, engine: Engine, spec: Spec, *, secrets: Mapping[str, bytes], stdin: bytes) -> None:
        self._engine = engine
        self._output = ""
        self._status: int | None = None
        if (left := engine.ours(spec.name, site=spec.labels[SITE_LABEL])) is not None:
            remove_command(engine, left)
        bring_secrets(engine, spec, secrets)
        self._container = containers.create(engine, spec, also={})
        try:
            prepare_data(engine, self._container, spec.user)
            own_writable(engine, spec, self._container)
            join_networks(engine, self._container, spec.definition.networks)
            self._start(stdin)
        except CakraviaError:
            remove_command(engine, self._container)
            raise

    def status(self) -> int | None:
        """Return the exit status, None while the command runs."""
        if self._status is None:
            self._engine.ask(f"reading {self._container.name}", self._container.reload)
            state = self._container.attrs["State"]
            if state["Status"] in ("exited", "dead"):
                self._status = int(state["ExitCode"])
        return self._status

    def output(self) -> str:
        """Return what the command wrote, bounded."""
        return self._output or self._read_output()

    def end(self) -> None:
        """Stop and remove the container, with everything in it."""
        with contextlib.suppress(CakraviaError):
            if self.status() is None:
                deadline = Deadline("the command ends", GRACE_SECONDS, clock=self._engine.clock)
                containers.stop(self._engine, self._container, deadline=deadline, grace=GRACE_SECONDS)
            self._output = self._read_output()
        remove_command(self._engine, self._container)

    def _read_output(self) -> str:
        bounded = BoundedOutput()
        what = f"reading the log of {self._container.name}"
        for piece in self._engine.ask(what, lambda: self._container.logs(stream=True, follow=False)):
            bounded.add(piece)
        return bounded.text

    def _start(self, stdin: bytes) -> None:
        container = self._container
        what = f"giving {container.name} its input"
        wrapper: Any = self._engine.ask(what, lambda: container.attach_socket(params={"stdin": 1, "stream": 1}))
        connection: Any = getattr(wrapper, "_sock", wrapper)
        try:
            containers.start(self._engine, container)
            with contextlib.suppress(OSError):  # a command need not read its input
                connection.sendall(stdin)
                connection.shutdown(socket.SHUT_WR)
        finally:
            for each in (cast(Any, getattr(wrapper, "_response", None)), wrapper, connection):
                with contextlib.suppress(Exception):
                    each.close()


def remove_command(engine: Engine, container: Container) -> None:
    """Remove the container of a command, and the secrets that it was given."""
    containers.remove(engine, container)
    forget_secrets(engine, container)
