"""The specification of a container, for the engine and for the compose file, and its life cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from cakravia_verify.errors import CakraviaError, PlatformError
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.system.clock import Deadline

if TYPE_CHECKING:
    from docker.models.containers import Container

SECOND: Final = 1_000_000_000
COMPOSE: Final = "com.docker.compose"


@dataclass(frozen=True)
class Spec:
    """One complete container. Sizes are in bytes, times in seconds. `ports` maps a port inside to (host, port).

    No process in it is root or can become root: no capabilities, no new privileges. Only tmpfs and volumes are
    writable.
    """

    name: str
    service: str
    image: str
    image_id: str
    user: str
    network: str
    address: str
    memory: int
    cpus: float
    pids: int
    tmpfs: int
    restart: str
    grace: int
    log_options: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    read_only_volumes: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    takes_stdin: bool = False
    healthcheck: tuple[str, ...] = ()
    stop_signal: str = ""

    @property
    def tmpfs_options(self) -> str:
        return f"rw,noexec,nosuid,nodev,size={self.tmpfs},mode=1777"

    def compose_service(self) -> dict[str, Any]:
        """Return the container as a service of a compose file."""
        service: dict[str, Any] = {
            "image": self.image,
            "container_name": self.name,
            "user": self.user,
            "environment": dict(self.environment),
            "labels": dict(self.labels),
            "init": True,
            "read_only": True,
            "tmpfs": [f"/tmp:{self.tmpfs_options}"],  # noqa: S108 - the container's own
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "mem_limit": str(self.memory),
            "memswap_limit": str(self.memory),
            "cpus": self.cpus,
            "pids_limit": self.pids,
            "restart": self.restart,
            "stop_grace_period": f"{self.grace}s",
            "logging": {"driver": "json-file", "options": dict(self.log_options)},
            "networks": {"site": {"ipv4_address": self.address, "aliases": [self.service]}},
            "volumes": [
                *(f"{volume}:{path}" for volume, path in self.volumes.items()),
                *(f"{volume}:{path}:ro" for volume, path in self.read_only_volumes.items()),
            ],
        }
        if self.command:
            service["command"] = list(self.command)
        if self.healthcheck:
            service["healthcheck"] = {"test": ["CMD", *self.healthcheck], "interval": "10s", "timeout": "5s"}
        if self.stop_signal:
            service["stop_signal"] = self.stop_signal
        if self.ports:
            service["ports"] = [f"{host}:{port}:{inside}" for inside, (host, port) in self.ports.items()]
        return service


def create(
    engine: Engine, spec: Spec, *, also: Mapping[str, str], kind: type[CakraviaError] = PlatformError
) -> Container:
    """Create the container without starting it. `also`: labels that are not in the compose file."""
    from docker.types import LogConfig, NetworkingConfig

    api = engine.client.api
    host = api.create_host_config(
        read_only=True,
        init=True,
        tmpfs={"/tmp": spec.tmpfs_options},  # noqa: S108 - the container's own
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        mem_limit=spec.memory,
        memswap_limit=spec.memory,
        nano_cpus=int(spec.cpus * SECOND),
        pids_limit=spec.pids,
        restart_policy={"Name": spec.restart},
        log_config=LogConfig(type="json-file", config=dict(spec.log_options)),
        binds=[
            *(f"{volume}:{path}:rw" for volume, path in spec.volumes.items()),
            *(f"{volume}:{path}:ro" for volume, path in spec.read_only_volumes.items()),
        ],
        port_bindings={f"{inside}/tcp": place for inside, place in spec.ports.items()},
        network_mode=spec.network,
    )
    health = {"test": ["CMD", *spec.healthcheck], "interval": 10 * SECOND, "timeout": 5 * SECOND}
    endpoint = api.create_endpoint_config(ipv4_address=spec.address or None, aliases=[spec.service])
    created = engine.ask(
        f"creating {spec.name}",
        lambda: api.create_container(
            spec.image,
            command=list(spec.command) or None,
            entrypoint=list(spec.entrypoint) or None,
            stdin_open=spec.takes_stdin,
            user=spec.user,
            name=spec.name,
            detach=not spec.takes_stdin,  # the SDK closes the input after its writer only for an attached container
            ports=[(inside, "tcp") for inside in spec.ports],
            environment=dict(spec.environment),
            labels={**spec.labels, **also},
            stop_signal=spec.stop_signal or None,
            stop_timeout=spec.grace,
            healthcheck=health if spec.healthcheck else None,
            host_config=host,
            networking_config=cast(Any, NetworkingConfig(cast(Any, {spec.network: endpoint}))),
        ),
        kind=kind,
        again=False,
    )
    container = engine.container(str(created["Id"]))
    if container is None:
        raise kind(
            f"{spec.name} was created, but is gone", remedy="stop the program that removes containers on this engine"
        )
    if container.attrs["Image"] != spec.image_id:
        remove(engine, container)
        raise kind(
            f"{spec.image} now names image {str(container.attrs['Image'])[:19]} instead of {spec.image_id[:19]}",
            remedy="deploy the version again: another image has got its name",
        )
    return container


def start(engine: Engine, container: Container, *, kind: type[CakraviaError] = PlatformError) -> None:
    """Start the container. If it does not start, it is removed: it would occupy its name and address."""
    try:
        engine.ask(f"starting {container.name}", container.start, kind=kind)
    except CakraviaError:
        remove(engine, container)
        raise
    engine.ask(f"reading {container.name}", container.reload, kind=kind)


def stop(engine: Engine, container: Container, *, deadline: Deadline, grace: float) -> None:
    """Stop the container by its stop signal. It is killed after `grace` seconds or at the deadline."""
    seconds = max(1, int(min(grace, deadline.remaining)))
    engine.ask(f"stopping {container.name}", lambda: container.stop(timeout=seconds))
    engine.ask(f"reading {container.name}", container.reload)


def remove(engine: Engine, container: Container) -> None:
    """Remove the container. Its named volumes stay."""
    from docker.errors import NotFound

    def gone() -> None:
        try:
            container.remove(force=True, v=True)
        except NotFound:
            return

    engine.ask(f"removing {container.name}", gone)


def image_user(engine: Engine, image_id: str) -> str:
    """Return the image's USER, empty if it has none."""
    attributes = engine.ask(f"reading image {image_id[:19]}", lambda: engine.client.images.get(image_id).attrs)
    return str((attributes.get("Config") or {}).get("User") or "")
