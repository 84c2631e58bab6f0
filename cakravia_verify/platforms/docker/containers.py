"""What a container of a site looks like: one description, for the engine and for the compose file."""

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
    """One container, complete. Sizes in bytes, times in seconds; `ports` maps a port inside to (host, port).

    Nobody in it is root or can become it: no capabilities, no new privileges, nothing writable but tmpfs and volumes.
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
    healthcheck: tuple[str, ...] = ()
    stop_signal: str = ""

    @property
    def tmpfs_options(self) -> str:
        return f"rw,noexec,nosuid,nodev,size={self.tmpfs},mode=1777"

    def compose_service(self) -> dict[str, Any]:
        """The service that this container is, as a compose file says it."""
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
    """The container exists and is not started. `also` holds labels that the compose file does not have."""
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
    endpoint = api.create_endpoint_config(ipv4_address=spec.address, aliases=[spec.service])
    created = engine.ask(
        f"creating {spec.name}",
        lambda: api.create_container(
            spec.image,
            command=list(spec.command) or None,
            user=spec.user,
            name=spec.name,
            detach=True,
            ports=[(inside, "tcp") for inside in spec.ports],
            environment=dict(spec.environment),
            labels={**spec.labels, **also, **engine.home_label},
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
        raise kind(f"{spec.name} was created and is gone", remedy="something else removes containers on this engine")
    if container.attrs["Image"] != spec.image_id:
        remove(engine, container)
        raise kind(
            f"{spec.image} is {str(container.attrs['Image'])[:19]} now instead of {spec.image_id[:19]}",
            remedy="somebody gave that name to another image; deploy the version again",
        )
    return container


def start(engine: Engine, container: Container, *, kind: type[CakraviaError] = PlatformError) -> None:
    """The container runs; one that cannot is removed, for it would hold its name and address."""
    try:
        engine.ask(f"starting {container.name}", container.start, kind=kind)
    except CakraviaError:
        remove(engine, container)
        raise
    engine.ask(f"looking at {container.name}", container.reload, kind=kind)


def stop(engine: Engine, container: Container, *, deadline: Deadline, grace: float) -> None:
    """The container does not run: asked by its stop signal, killed when the grace is over."""
    seconds = max(1, int(min(grace, deadline.remaining)))
    engine.ask(f"stopping {container.name}", lambda: container.stop(timeout=seconds))
    engine.ask(f"looking at {container.name}", container.reload)


def remove(engine: Engine, container: Container) -> None:
    """The container is gone; its named volumes stay."""
    from docker.errors import NotFound

    def gone() -> None:
        try:
            container.remove(force=True, v=True)
        except NotFound:
            return

    engine.ask(f"removing {container.name}", gone)


def image_user(engine: Engine, image_id: str) -> str:
    """The user that the image runs as, as it says it."""
    attributes = engine.ask(f"looking at image {image_id[:19]}", lambda: engine.client.images.get(image_id).attrs)
    return str((attributes.get("Config") or {}).get("User") or "")
