"""Companions on Docker: containers from the version's image, without a port and without a fixed address."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cakravia_verify.errors import CakraviaError
from cakravia_verify.platforms.companions import Companion
from cakravia_verify.platforms.docker import containers
from cakravia_verify.platforms.docker.commands import OF_A_SLOT
from cakravia_verify.platforms.docker.companion_service import ALIVE, CompanionServices
from cakravia_verify.platforms.docker.compose import ComposeFile
from cakravia_verify.platforms.docker.containers import Spec
from cakravia_verify.platforms.docker.engine.engine import SITE_LABEL, Engine
from cakravia_verify.platforms.docker.network import NETWORK_SECONDS, SiteNetwork
from cakravia_verify.platforms.docker.project_parts import NETWORKS, ensure_volumes, join_networks, rejoin_networks
from cakravia_verify.platforms.docker.secrets import SUFFIX, bring_secrets, forget_secrets, read_secrets
from cakravia_verify.platforms.docker.service import ServiceDefinition
from cakravia_verify.platforms.docker.slot_end import stop_in_grace
from cakravia_verify.platforms.docker.slot_spec import (
    DIGEST,
    RELEASE,
    SECRETS,
    VERSION,
    Place,
    prepare_data,
    slot_spec,
    user_of,
)
from cakravia_verify.platforms.docker.writable import own_writable
from cakravia_verify.settings.companions import CompanionSettings
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Artifact, Colour
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.files import write_atomically

if TYPE_CHECKING:
    from docker.models.containers import Container

COMPANION: Final = "cakravia.companion"
KEPT_LINES: Final = 1000


@dataclass(frozen=True)
class DockerCompanions:
    """The containers `<project>-companion-<name>`. At most one of each name exists, because names are unique."""

    settings: Settings
    engine: Engine
    network: SiteNetwork
    services: CompanionServices
    compose: ComposeFile

    def running(self) -> tuple[Companion, ...]:
        return tuple(_companion_of(each) for each in self.containers() if each.status in ALIVE)

    def containers(self) -> list[Container]:
        """Return every container of a companion of the site, also stopped ones."""
        labels = [f"{SITE_LABEL}={self.settings.site.name}", COMPANION]
        found = self.engine.ask(
            "looking for companions",
            lambda: self.engine.client.containers.list(all=True, filters={"label": labels}, ignore_removed=True),
        )
        return sorted(found, key=lambda container: str(container.name))

    def require(self, version: str) -> None:
        """Raise UsageError or PlatformError if a companion of the version cannot start."""
        for companion in self.settings.companions:
            self.services.require(self.engine, companion, version)

    def reconnect(self) -> Iterator[str]:
        """Connect running companions to networks that they lost. Yields one line for each."""
        running = [each for each in self.containers() if each.status in ALIVE]
        for container in running:
            if not self.network.has(container):
                self.network.ensure(deadline=Deadline("the network exists", NETWORK_SECONDS, clock=self.engine.clock))
                self.network.join(container, address="", service=f"companion-{container.labels[COMPANION]}")
                yield f"{container.name} had lost network {self.network.name}; it is connected again"
        yield from rejoin_networks(self.engine, running)

    def start(self, companion: CompanionSettings, artifact: Artifact, *, release: str, deadline: Deadline) -> Companion:
        self.stop(companion.name, deadline=deadline)
        definition = self.services.require(self.engine, companion, artifact.version, deadline=deadline)
        self.network.ensure(deadline=Deadline("the network exists", NETWORK_SECONDS, clock=self.engine.clock))
        spec = self._spec(companion, artifact, definition, release=release)
        ensure_volumes(self.engine, definition)
        bring_secrets(self.engine, spec, read_secrets(self.settings, definition))
        container = containers.create(self.engine, spec, also=self.compose.labels_for(spec))
        try:
            prepare_data(self.engine, container, spec.user)
            own_writable(self.engine, spec, container)
            join_networks(self.engine, container, definition.networks)
            containers.start(self.engine, container)
        except CakraviaError:
            containers.remove(self.engine, container)
            forget_secrets(self.engine, container)
            raise
        self.compose.put(spec)
        return _companion_of(container)

    def stop(self, name: str, *, deadline: Deadline) -> None:
        container = self._container(name)
        if container is None:
            return
        if container.status in ALIVE:
            stop_in_grace(self.engine, container, deadline=deadline, grace=deadline.remaining)
        with contextlib.suppress(CakraviaError, OSError):
            write_atomically(self._saved_log(name), self._log(container, KEPT_LINES))
        containers.remove(self.engine, container)
        forget_secrets(self.engine, container)
        self.compose.drop(f"companion-{name}")

    def logs(self, name: str, *, lines: int) -> str:
        container = self._container(name)
        if container is not None:
            content = self._log(container, lines)
        else:
            content = self._saved_log(name).read_bytes() if self._saved_log(name).exists() else b""
        return "\n".join(content.decode(errors="replace").splitlines()[-lines:])

    def _log(self, container: Container, lines: int) -> bytes:
        return self.engine.ask(f"reading the log of {container.name}", lambda: container.logs(tail=lines))

    def _saved_log(self, name: str) -> Path:
        return self.settings.state / "docker" / f"companion-{name}.log"

    def _container(self, name: str) -> Container | None:
        return self.engine.ours(self._name(name), site=self.settings.site.name)

    def _name(self, name: str) -> str:
        return f"{self.settings.docker.project or self.settings.site.name}-companion-{name}"

    def _spec(
        self, companion: CompanionSettings, artifact: Artifact, definition: ServiceDefinition, *, release: str
    ) -> Spec:
        slot = slot_spec(
            self.settings,
            artifact,
            Place(Colour.BLUE, release, ""),
            user=user_of(self.engine, artifact, definition),
            definition=definition,
            network=self.network,
            ports={},
        )
        name = self._name(companion.name)
        first, *rest = (part.replace("{version}", artifact.version) for part in companion.command or ("",))
        own = {key: value for key, value in slot.environment.items() if key not in OF_A_SLOT}
        return replace(
            slot,
            name=name,
            service=f"companion-{companion.name}",
            address="",
            environment={**own, "DEPLOYMENT_RELEASE": release, **companion.environment},
            labels={
                **definition.labels,
                SITE_LABEL: self.settings.site.name,
                COMPANION: companion.name,
                RELEASE: release,
                VERSION: artifact.version,
                DIGEST: artifact.digest,
                **({NETWORKS: ",".join(definition.networks)} if definition.networks else {}),
            },
            read_only_volumes={f"{name}{SUFFIX}": SECRETS} if slot.read_only_volumes else {},
            grace=max(1, round(companion.grace or slot.grace)),
            entrypoint=(first,) if companion.command else (),
            command=tuple(rest),
        )


def _companion_of(container: Container) -> Companion:
    labels = container.labels
    return Companion(
        name=labels[COMPANION],
        version=labels.get(VERSION, "unknown"),
        digest=str(container.attrs["Image"]),
        release=labels.get(RELEASE, ""),
        identity=f"{str(container.id)[:12]}@{container.attrs['State']['StartedAt']}",
    )
