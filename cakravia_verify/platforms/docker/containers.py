"""The specification of a container, for the engine and for the compose file, and its life cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from cakravia_verify.errors import CakraviaError, PlatformError
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.service import Healthcheck, ServiceDefinition
from cakravia_verify.slots import Address
from cakravia_verify.system.clock import Deadline

if TYPE_CHECKING:
    from docker.models.containers import Container
    from docker.types import Mount

SECOND: Final = 1_000_000_000
COMPOSE: Final = "com.docker.compose"
TMP: Final = "/tmp"  # noqa: S108 - the container's own
# Compose labels the images that it builds, and a container inherits the labels of its image. A container of the site
# must not become part of the project that built its image.
NO_PROJECT: Final = {f"{COMPOSE}.project": ""}


@dataclass(frozen=True)
class Spec:
    """One complete container. Sizes are in bytes, times in seconds. `ports` maps a port inside to (host, port) outside.

    No process in it is root or can become root: no new privileges, and no capabilities but those of the definition.
    Only tmpfs and volumes are writable, unless the definition says otherwise.
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
    ports: Mapping[int, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    takes_stdin: bool = False
    stop_signal: str = ""
    definition: ServiceDefinition = field(default_factory=ServiceDefinition)

    @property
    def tmpfs_mounts(self) -> dict[str, str]:
        """The mount options of each tmpfs. /tmp is always one, unless something else is mounted there."""
        others = {mount.target for mount in self.definition.mounts} | set(self.definition.writable)
        default = {} if TMP in others else {TMP: f"rw,noexec,nosuid,nodev,size={self.tmpfs},mode=1777"}
        return default | dict(self.definition.tmpfs)

    def compose_service(self) -> dict[str, Any]:
        """Return the container as a service of a compose file."""
        more = self.definition.compose_keys()
        service: dict[str, Any] = more | {
            "image": self.image,
            "container_name": self.name,
            "user": self.user,
            "environment": dict(self.environment),
            "labels": dict(self.labels),
            "init": self.definition.init,
            "read_only": self.definition.read_only,
            "tmpfs": [f"{path}:{options}" for path, options in self.tmpfs_mounts.items()],
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "mem_limit": str(self.memory),
            "memswap_limit": str(self.memory),
            "cpus": self.cpus,
            "pids_limit": self.pids,
            "restart": self.restart,
            "stop_grace_period": f"{self.grace}s",
            "logging": {"driver": "json-file", "options": dict(self.log_options)},
            "networks": {
                "site": {"aliases": [self.service]} | ({"ipv4_address": self.address} if self.address else {}),
                **{network: {} for network in self.definition.networks},
            },
            "volumes": [
                *more.get("volumes", ()),
                *(f"{volume}:{path}" for volume, path in self.volumes.items()),
                *(f"{volume}:{path}:ro" for volume, path in self.read_only_volumes.items()),
            ],
        }
        if self.command:
            service["command"] = list(self.command)
        if self.definition.healthcheck:
            service["healthcheck"] = self.definition.healthcheck.compose_healthcheck()
        if self.stop_signal:
            service["stop_signal"] = self.stop_signal
        if self.ports:
            service["ports"] = [
                f"{Address(host, port)}:{inside}" for inside, places in self.ports.items() for host, port in places
            ]
        return service


def create(
    engine: Engine, spec: Spec, *, also: Mapping[str, str], kind: type[CakraviaError] = PlatformError
) -> Container:
    """Create the container without starting it. `also`: labels that are not in the compose file."""
    from docker.types import LogConfig, NetworkingConfig, Ulimit

    api, more = engine.client.api, spec.definition
    host = api.create_host_config(
        read_only=more.read_only,
        init=more.init,
        tmpfs=spec.tmpfs_mounts,
        mounts=_mounts(more),
        cap_add=list(more.cap_add) or None,
        extra_hosts=list(more.extra_hosts) or None,
        dns=list(more.dns) or None,
        dns_search=list(more.dns_search) or None,
        dns_opt=list(more.dns_opt) or None,
        ulimits=[Ulimit(name=each.name, soft=each.soft, hard=each.hard) for each in more.ulimits],
        sysctls=dict(more.sysctls) or None,
        shm_size=more.shm_size or None,
        group_add=list(more.group_add) or None,
        devices=list(more.devices) or None,
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
        port_bindings={f"{inside}/tcp": list(places) for inside, places in spec.ports.items()},
        network_mode=spec.network,
    )
    endpoint = api.create_endpoint_config(ipv4_address=spec.address or None, aliases=[spec.service])
    created = engine.ask(
        f"creating {spec.name}",
        lambda: api.create_container(
            spec.image,
            command=list(spec.command or more.command) or None,
            entrypoint=list(spec.entrypoint or more.entrypoint) or None,
            working_dir=more.working_dir or None,
            stdin_open=spec.takes_stdin,
            user=spec.user,
            name=spec.name,
            detach=not spec.takes_stdin,  # the SDK closes the input after its writer only for an attached container
            ports=[(inside, "tcp") for inside in spec.ports],
            environment=dict(spec.environment),
            labels={**NO_PROJECT, **spec.labels, **also},
            stop_signal=spec.stop_signal or None,
            stop_timeout=spec.grace,
            healthcheck=_healthcheck(more.healthcheck) if more.healthcheck else None,
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


def _mounts(definition: ServiceDefinition) -> list[Mount]:
    """Return the mounts of the project, in the form of the engine."""
    from docker.types import Mount

    mounts = [
        Mount(
            each.target,
            each.source or None,
            type=each.kind.value,
            read_only=each.read_only,
            propagation=each.propagation or None,
            no_copy=each.no_copy,
            tmpfs_size=each.size or None,
            tmpfs_mode=each.mode or None,
        )
        for each in definition.mounts
    ]
    mounts += [Mount(to, str(file), type="bind", read_only=True) for to, file in definition.configs.items()]
    return [*mounts, *(Mount(path, None, type="volume") for path in definition.writable)]


def _healthcheck(check: Healthcheck) -> dict[str, Any]:
    """Return the health check in the form of the engine: times in nanoseconds."""
    times = {"interval": check.interval, "timeout": check.timeout, "start_period": check.start_period}
    return {
        "test": list(check.test),
        "retries": check.retries,
        **{name: int(seconds * SECOND) for name, seconds in times.items()},
    }


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
