"""The definition of a service: what a slot's container is given, apart from what the site itself decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class MountKind(StrEnum):
    """What is mounted: a volume (anonymous without a source), a file or folder of the engine's machine, or memory."""

    VOLUME = "volume"
    BIND = "bind"
    TMPFS = "tmpfs"


@dataclass(frozen=True)
class ServiceMount:
    """One mount. `size` (bytes) and `mode` belong to a tmpfs, `no_copy` to a volume, `propagation` to a bind."""

    kind: MountKind
    target: str
    source: str = ""
    read_only: bool = False
    no_copy: bool = False
    propagation: str = ""
    size: int = 0
    mode: int = 0

    def compose_volume(self) -> dict[str, Any]:
        """Return the mount in the long syntax of a compose file."""
        row: dict[str, Any] = {"type": str(self.kind), "target": self.target}
        if self.source:
            row["source"] = self.source
        if self.read_only:
            row["read_only"] = True
        options = {"nocopy": self.no_copy, "propagation": self.propagation, "size": self.size, "mode": self.mode}
        if wanted := {name: value for name, value in options.items() if value}:
            row[str(self.kind)] = wanted
        return row


@dataclass(frozen=True)
class ServiceVolume:
    """A named volume of the project: `name` in the engine, `key` in its compose file."""

    name: str
    key: str
    driver: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    is_external: bool = False


@dataclass(frozen=True)
class Healthcheck:
    """A health check of the engine. Times are in seconds. 0 means the engine's default."""

    test: tuple[str, ...]
    interval: float = 0.0
    timeout: float = 0.0
    start_period: float = 0.0
    retries: int = 0

    def compose_healthcheck(self) -> dict[str, Any]:
        times = {"interval": self.interval, "timeout": self.timeout, "start_period": self.start_period}
        row: dict[str, Any] = {"test": list(self.test)}
        row |= {name: f"{seconds:g}s" for name, seconds in times.items() if seconds}
        return row | ({"retries": self.retries} if self.retries else {})


@dataclass(frozen=True)
class Ulimit:
    name: str
    soft: int
    hard: int


@dataclass(frozen=True)
class SecretSource:
    """A secret is the content of `file`, or the value of the environment variable `variable`."""

    file: str = ""
    variable: str = ""


@dataclass(frozen=True)
class Dependency:
    """Another service of the project, and its state that compose waits for before it starts this one."""

    service: str
    condition: str


@dataclass(frozen=True)
class ServiceDefinition:
    """What one service is given. Empty values leave the choice to the image, to the settings or to the engine.

    `project` is the compose project, "" without one; `up_command` starts its services. `tmpfs` maps a path to mount
    options. `networks` are names in the engine. `configs` maps a path inside to a file outside. `memory` and
    `shm_size` are in bytes, `grace` is in seconds. `writable` are folders of the image that get a volume of the slot's
    own. `notes` say what is not as in the file.
    """

    project: str = ""
    up_command: str = "docker compose up -d"
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[ServiceMount, ...] = ()
    volumes: tuple[ServiceVolume, ...] = ()
    writable: tuple[str, ...] = ()
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    networks: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    shm_size: int = 0
    group_add: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    read_only: bool = True
    init: bool = True
    healthcheck: Healthcheck | None = None
    stop_signal: str = ""
    grace: int = 0
    memory: int = 0
    cpus: float = 0.0
    pids: int = 0
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)
    configs: Mapping[str, Path] = field(default_factory=dict)
    needs: tuple[Dependency, ...] = ()
    notes: tuple[str, ...] = ()

    def compose_keys(self) -> dict[str, Any]:
        """Return the keys of a compose file that this definition adds to a container's own."""
        configs = [ServiceMount(MountKind.BIND, to, str(file), read_only=True) for to, file in self.configs.items()]
        writable = [ServiceMount(MountKind.VOLUME, path) for path in self.writable]
        keys: dict[str, Any] = {
            "command": list(self.command),
            "entrypoint": list(self.entrypoint),
            "working_dir": self.working_dir,
            "volumes": [mount.compose_volume() for mount in (*self.mounts, *configs, *writable)],
            "extra_hosts": list(self.extra_hosts),
            "dns": list(self.dns),
            "dns_search": list(self.dns_search),
            "dns_opt": list(self.dns_opt),
            "ulimits": {each.name: {"soft": each.soft, "hard": each.hard} for each in self.ulimits},
            "sysctls": dict(self.sysctls),
            "shm_size": str(self.shm_size) if self.shm_size else "",
            "group_add": list(self.group_add),
            "devices": list(self.devices),
            "cap_add": list(self.cap_add),
        }
        return {key: value for key, value in keys.items() if value}
