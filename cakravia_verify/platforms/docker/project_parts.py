"""The parts of the project that a slot uses but does not own: networks, volumes, and other services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cakravia_verify.errors import PlatformError
from cakravia_verify.platforms.docker.containers import COMPOSE
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.service import MountKind, ServiceDefinition, ServiceVolume
from cakravia_verify.system.clock import Deadline, poll

if TYPE_CHECKING:
    from docker.models.containers import Container
    from docker.models.networks import Network

# The label that keeps which networks of the project a slot was started with.
NETWORKS: Final = "cakravia.networks"
# After a restart of the machine, services start side by side.
NEEDS_SECONDS: Final = 30.0
STARTED, HEALTHY, COMPLETED = "service_started", "service_healthy", "service_completed_successfully"


def require_parts(engine: Engine, definition: ServiceDefinition) -> None:
    """Raise PlatformError if a network or an external volume is missing, or a dependency is not as it must be."""
    _require_files(engine, definition)
    for name in definition.networks:
        require_network(engine, name, create=definition.up_command)
    for volume in definition.volumes:
        if volume.is_external and not _has_volume(engine, volume.name):
            raise PlatformError(
                f"the external volume {volume.name} is missing", remedy=f"create it: docker volume create {volume.name}"
            )
    for missing in unmet(engine, definition):
        services = " ".join(need.service for need in definition.needs)
        raise PlatformError(missing, remedy=f"start it: {definition.up_command} {services}; it was not touched")


def _require_files(engine: Engine, definition: ServiceDefinition) -> None:
    """Check files and folders of the machine that are mounted. Those of a remote engine cannot be seen."""
    if engine.is_remote and definition.configs:
        raise PlatformError(
            f"configs are files of this machine ({', '.join(definition.configs)}), but the engine is remote",
            remedy="use [docker] secrets, or put the file into the image",
        )
    sources = [mount.source for mount in definition.mounts if mount.kind is MountKind.BIND]
    for source in () if engine.is_remote else (*sources, *map(str, definition.configs.values())):
        if not Path(source).exists():
            raise PlatformError(
                f"{source}, which the service mounts, is missing", remedy=f"create it, for example: mkdir -p {source}"
            )


def wait_for_needs(engine: Engine, definition: ServiceDefinition, *, deadline: Deadline) -> None:
    """Wait until the services that this one depends on are as they must be. None is started or stopped."""
    limit = Deadline(
        "the services that it depends on are ready", min(NEEDS_SECONDS, deadline.remaining), clock=engine.clock
    )
    poll(
        lambda: not list(unmet(engine, definition)),
        deadline=limit,
        every=0.5,
        observed=lambda: "; ".join(unmet(engine, definition)),
    )


def unmet(engine: Engine, definition: ServiceDefinition) -> Iterator[str]:
    """Yield one line for each dependency that is not as it must be."""
    for need in definition.needs:
        found = containers_of(engine, definition.project, need.service)
        states = [each.attrs["State"] for each in found]
        if any(_meets(state, need.condition) for state in states):
            continue
        shown = ", ".join(map(_shown, states)) or "missing"
        wanted = {STARTED: "running", HEALTHY: "healthy", COMPLETED: "completed with status 0"}
        yield (
            f"service {need.service} of compose project {definition.project} must be "
            f"{wanted.get(need.condition, need.condition)}, but is {shown}"
        )


def require_network(engine: Engine, name: str, *, create: str = "docker compose up -d") -> Network:
    """Return the network of that name. Raises PlatformError if it is missing."""
    networks = engine.ask(f"looking for network {name}", lambda: engine.client.networks.list(names=[f"^{name}$"]))
    found = next((network for network in networks if network.name == name), None)
    if found is None:
        raise PlatformError(
            f"the project's network {name} is missing",
            remedy=f"start the project's other services first, for example: {create} db",
        )
    return found


def join_networks(engine: Engine, container: Container, names: Iterable[str]) -> None:
    """Connect the container to networks of the project, without the service's name.

    The project's other services would reach both slots at that name, also an unproven candidate.
    """
    for name in names:
        network = require_network(engine, name)
        engine.ask(
            f"connecting {container.name} to network {name}",
            lambda network=network: network.connect(container),  # type: ignore[misc]
            again=False,
        )


def lost_networks(container: Container) -> tuple[str, ...]:
    """Return the project's networks that the container was started with and is no longer in."""
    wanted = container.labels.get(NETWORKS, "").split(",")
    return tuple(name for name in wanted if name and name not in container.attrs["NetworkSettings"]["Networks"])


def rejoin_networks(engine: Engine, slots: Iterable[Container]) -> Iterator[str]:
    """Connect running slots to networks of the project that they lost. Yields one line for each."""
    for container in slots:
        for name in lost_networks(container):
            try:
                join_networks(engine, container, [name])
            except PlatformError as error:
                yield f"{container.name} has lost network {name}, and that could not be repaired: {error.message}"
            else:
                yield f"{container.name} had lost network {name}; it is connected again"


def ensure_volumes(engine: Engine, definition: ServiceDefinition) -> None:
    """Create the project's missing volumes, with the labels by which compose knows its own."""
    for volume in definition.volumes:
        if not volume.is_external and not _has_volume(engine, volume.name):
            _create_volume(engine, volume, definition.project)


def _create_volume(engine: Engine, volume: ServiceVolume, project: str) -> None:
    labels = {f"{COMPOSE}.project": project, f"{COMPOSE}.volume": volume.key} if project else {}
    engine.ask(
        f"creating volume {volume.name}",
        lambda: engine.client.volumes.create(
            volume.name, driver=volume.driver or "local", driver_opts=dict(volume.options), labels=labels
        ),
        again=False,
    )


def _has_volume(engine: Engine, name: str) -> bool:
    from docker.errors import NotFound

    def found() -> bool:
        try:
            engine.client.volumes.get(name)
        except NotFound:
            return False
        return True

    return bool(engine.ask(f"looking for volume {name}", found))


def containers_of(engine: Engine, project: str, service: str) -> list[Container]:
    """Return the containers of a service of a compose project, also stopped ones."""
    labels = [f"{COMPOSE}.project={project}", f"{COMPOSE}.service={service}", f"{COMPOSE}.oneoff=False"]
    return engine.ask(
        f"looking for service {service}",
        lambda: engine.client.containers.list(all=True, filters={"label": labels}, ignore_removed=True),
    )


def _meets(state: dict[str, Any], condition: str) -> bool:
    if condition == COMPLETED:
        return bool(state["Status"] == "exited" and state["ExitCode"] == 0)
    if condition == HEALTHY:
        return bool(state["Status"] == "running" and (state.get("Health") or {}).get("Status") == "healthy")
    return bool(state["Status"] == "running")


def _shown(state: dict[str, Any]) -> str:
    health = (state.get("Health") or {}).get("Status")
    return f"{state['Status']}{f' ({health})' if health else ''}"
