"""The settings of a site on Docker."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, model_validator

from cakravia_verify.settings.section import Port, Seconds, SecretName, Section

Texts: TypeAlias = Annotated[tuple[str, ...], Field(strict=False)]
# Begins a build secret that is the value of an environment variable: `env:NPM_TOKEN`.
FROM_VARIABLE: Final = "env:"
MountPoint: TypeAlias = Annotated[str, Field(pattern=r"^/[^:,\s]*[^:,\s/]$")]
TmpfsOptions: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9=,]*$")]


class DockerSettings(Section):
    """Slots and proxy as containers. Exactly one of `image`, `context` and `archive` is the source of versions.

    With `compose` none of them is needed: the service of that file names its image or its build.

    `{version}` is replaced in `image`, `archive`, `context` and `build_args`. A size is in bytes, or ends in K, M or G.
    """

    host: str = ""
    api_version: Annotated[str, Field(pattern=r"^([0-9]+\.[0-9]+)?$")] = ""
    patience: Seconds = 30.0
    project: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9_-]{0,49})?$")] = ""
    compose_file: str = "docker-compose.blue-green.yml"
    compose: str | Annotated[tuple[str, ...], Field(strict=False)] = ""
    service: str = ""
    compose_variables: dict[str, str] = Field(default_factory=dict)
    image: str = ""
    pull: Literal["missing", "always", "never"] = "missing"
    context: str = ""
    dockerfile: str = "Dockerfile"
    build_args: dict[str, str] = Field(default_factory=dict)
    build_target: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$")] = ""
    build_secrets: dict[SecretName, str] = Field(default_factory=dict)
    build_ssh: bool = False
    archive: str = ""
    platform: str = ""
    user: Annotated[str, Field(pattern=r"^([0-9]+(:[0-9]+)?)?$")] = ""
    secrets: dict[SecretName, str] = Field(default_factory=dict)
    port: Port = 3000
    publish_slots: bool = False
    probe: Literal["auto", "network", "published", "tunnel"] = "auto"
    users: Annotated[str, Field(pattern=r"^([^\s:;{}]+:[0-9]{1,5})?$")] = ""
    subnet: str = ""
    cpus: Annotated[float, Field(gt=0, le=1024)] = 1.0
    pids: Annotated[int, Field(ge=8, le=4_194_304)] = 256
    read_only: bool = True
    writable: tuple[MountPoint, ...] = Field(default=(), strict=False)
    tmpfs: Annotated[str, Field(pattern=r"^[0-9]{1,15}[KMG]?$")] | dict[MountPoint, TmpfsOptions] = "64M"
    command: Texts = ()
    entrypoint: Texts = ()
    working_dir: str = ""
    volumes: Texts = ()
    networks: Texts = ()
    extra_hosts: Texts = ()
    dns: Texts = ()
    ulimits: dict[str, int | dict[str, int]] = Field(default_factory=dict)
    shm_size: Annotated[str, Field(pattern=r"^([0-9]{1,15}[KMGkmg]?)?$")] = ""
    group_add: Texts = ()
    labels: dict[str, str] = Field(default_factory=dict)
    configs: dict[MountPoint, str] = Field(default_factory=dict)
    devices: Texts = ()
    cap_add: Texts = ()
    init: bool = True
    healthcheck: Annotated[tuple[str, ...], Field(strict=False)] = ()
    stop_signal: Annotated[str, Field(pattern=r"^(SIG[A-Z0-9+]+)?$")] = ""
    restart: Literal["no", "on-failure", "unless-stopped", "always"] = "unless-stopped"
    log_max_size: Annotated[str, Field(pattern=r"^[0-9]+[kmg]$")] = "10m"
    log_max_file: Annotated[int, Field(ge=1, le=1000)] = 3
    proxy_image: str = ""
    proxy_context: str = ""
    proxy_build_args: dict[str, str] = Field(default_factory=dict)
    proxy_memory: Annotated[str, Field(pattern=r"^[0-9]{1,15}[KMG]?$")] = "256M"

    @property
    def tmp_size(self) -> str:
        """The size of /tmp."""
        return self.tmpfs if isinstance(self.tmpfs, str) else "64M"

    @model_validator(mode="after")
    def _compose_has_a_service(self) -> DockerSettings:
        if bool(self.compose) != bool(self.service):
            raise ValueError('compose and service need each other: compose = "docker-compose.yml", service = "web"')
        if self.compose_variables and not self.compose:
            raise ValueError("compose_variables has no effect without compose")
        return self

    @property
    def build_secret_files(self) -> dict[str, str]:
        """The files of the build's secrets by their ids."""
        return {name: text for name, text in self.build_secrets.items() if not text.startswith(FROM_VARIABLE)}

    @property
    def build_secret_variables(self) -> dict[str, str]:
        """The environment variables of the build's secrets by their ids."""
        found = {name: text for name, text in self.build_secrets.items() if text.startswith(FROM_VARIABLE)}
        return {name: text.removeprefix(FROM_VARIABLE) for name, text in found.items()}

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(name for name in ("image", "context", "archive") if getattr(self, name))
