"""The service that slots are made of: from the project's compose file, from [docker], or from both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from cakravia_verify.errors import UsageError
from cakravia_verify.platforms.docker.compose_inner import notes_on_build
from cakravia_verify.platforms.docker.compose_keys import BUILD_KEYS
from cakravia_verify.platforms.docker.compose_mounts import secrets_of
from cakravia_verify.platforms.docker.compose_project import read_compose
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.project_parts import require_parts, wait_for_needs
from cakravia_verify.platforms.docker.secrets import read_secrets
from cakravia_verify.platforms.docker.service import Dependency, ServiceDefinition
from cakravia_verify.platforms.docker.service_reader import read_service, require_fit
from cakravia_verify.settings.docker import FROM_VARIABLE, DockerSettings
from cakravia_verify.settings.models import Settings
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.files import write_atomically

# Stands for the version while compose replaces variables: the file is read before a version is known.
VERSION_MARK: Final = "0.0.0-version-of-the-release"
# Keys of [docker] with the name and the notation of a compose file.
SAME_KEYS: Final = (
    "command",
    "entrypoint",
    "working_dir",
    "volumes",
    "networks",
    "extra_hosts",
    "dns",
    "ulimits",
    "shm_size",
    "group_add",
    "labels",
    "init",
    "devices",
    "cap_add",
    "read_only",
    "writable",
    "stop_signal",
    "user",
)

LIMITS: Final = {"cpus": "cpus", "pids_limit": "pids"}


class SlotService:
    """The definition of the slots' service. The compose file is read at the first question, and once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._docker = settings.docker

    def definition(self, version: str = "") -> ServiceDefinition:
        """Return the definition for a version. Raises UsageError if a slot cannot be made of the service."""
        definition = read_service(
            self.document(version),
            self._docker.service,
            root=self._settings.root,
            configs=self._settings.state / "docker" / "configs",
            own=self._own_keys,
            of_site=self.parts_of_site,
        )
        self._refuse_other_port(definition)
        files = {to: self._settings.root / file for to, file in self._docker.configs.items()}
        definition = replace(definition, configs={**definition.configs, **files})
        self._refuse_two_mounts(definition)
        return replace(definition, needs=self.needs_of(definition), up_command=self.up_command)

    @property
    def up_command(self) -> str:
        """The command that starts the project's services."""
        return f"docker compose {' '.join(f'-f {file}' for file in self._files)} up -d"

    def needs_of(self, definition: ServiceDefinition) -> tuple[Dependency, ...]:
        """Return the dependencies, without the services that are part of the site itself."""
        return tuple(need for need in definition.needs if need.service not in self.parts_of_site)

    @property
    def parts_of_site(self) -> tuple[str, ...]:
        """The services that the site itself runs: that of the slots, and those of companions."""
        companions = self._settings.companions
        return (self._docker.service, *(companion.service for companion in companions if companion.service))

    def require(self, engine: Engine, version: str, *, deadline: Deadline | None = None) -> ServiceDefinition:
        """Return the definition. Everything that it needs of the project is there.

        With a deadline, this waits for services that start. Raises UsageError or PlatformError.
        """
        definition = self.definition(version)
        read_secrets(self._settings, definition)
        if deadline is not None:
            wait_for_needs(engine, definition, deadline=deadline)
        require_parts(engine, definition)
        return definition

    def sources(self, docker: DockerSettings) -> DockerSettings:
        """Return the settings with the source of versions: that of [docker], else that of the compose file."""
        if docker.sources or not docker.compose:
            return docker
        service = self.document("{version}")["services"][docker.service] or {}
        build = service.get("build")
        platform = docker.platform or str(service.get("platform") or "")
        if not build:
            return docker.model_copy(update={"image": str(service.get("image", "")), "platform": platform})
        arguments = {name: str(value) for name, value in (build.get("args") or {}).items() if value is not None}
        sources = secrets_of(build.get("secrets") or (), self.document("{version}").get("secrets") or {})
        secrets = {name: each.file or f"{FROM_VARIABLE}{each.variable}" for name, each in sources.items()}
        return docker.model_copy(
            update={
                "context": str(build.get("context") or "."),
                "dockerfile": self._dockerfile(build),
                "build_args": {**arguments, **docker.build_args},
                "build_target": docker.build_target or str(build.get("target") or ""),
                "build_secrets": {**secrets, **docker.build_secrets},
                "build_ssh": docker.build_ssh or "default" in (build.get("ssh") or ()),
                "platform": platform,
            }
        )

    def _dockerfile(self, build: Mapping[str, Any]) -> str:
        """Return the Dockerfile of the build. One inside of the compose file becomes a file of the state folder."""
        if text := build.get("dockerfile_inline"):
            file = self._settings.state / "docker" / "Dockerfile.inline"
            write_atomically(file, str(text).encode(), mode=0o644)
            return str(file)
        return str(build.get("dockerfile", self._docker.dockerfile))

    def notes(self) -> tuple[str, ...]:
        """Return one line for everything that is not as in the compose file."""
        if not self._docker.compose:
            return ()
        _, notes = self._read
        build = (self.document("")["services"][self._docker.service] or {}).get("build")
        builds = notes_on_build(build) if isinstance(build, Mapping) and not self._docker.sources else ()
        told = (*self.definition().notes, *builds, *notes)
        return tuple(f"compose service {self._docker.service}: {note}" for note in told)

    @cached_property
    def _read(self) -> tuple[str, tuple[str, ...]]:
        """The document as text, and the notes on it."""
        variables = {
            name: value.replace("{version}", VERSION_MARK) for name, value in self._docker.compose_variables.items()
        }
        document, notes = read_compose(self._files, variables=variables)
        # A build that is not used does no harm.
        unused = [f"build.{key}" for key in BUILD_KEYS] if self._docker.sources else []
        require_fit(document, self._docker.service, file=self._files[0].name, allowed=unused)
        if document.get("name") == self._settings.compose_project:
            raise UsageError(
                f"[docker] project is {document['name']}, the compose project of {self._files[0].name}; an everyday "
                "`docker compose up --remove-orphans` would remove the site",
                remedy="leave [docker] project out, or choose another name; nothing was touched",
            )
        return json.dumps(document), notes

    @property
    def _files(self) -> tuple[Path, ...]:
        names = self._docker.compose
        return tuple(self._settings.root / name for name in ((names,) if isinstance(names, str) else names))

    def document(self, version: str) -> dict[str, Any]:
        """Return the project's compose document for a version, {} without one. Raises UsageError."""
        if not self._docker.compose:
            return {}
        text, _ = self._read
        document: dict[str, Any] = json.loads(text.replace(VERSION_MARK, version or VERSION_MARK))
        return document

    @property
    def _own_keys(self) -> Mapping[str, Any]:
        docker = self._docker
        keys: dict[str, Any] = {name: getattr(docker, name) for name in SAME_KEYS if name in docker.model_fields_set}
        keys = {name: value for name, value in keys.items() if value not in ("", (), {})}
        slots, app = self._settings.slots, self._settings.app
        if "memory_limit" in slots.model_fields_set:
            keys["mem_limit"] = str(slots.memory_bytes)
        if "grace" in app.model_fields_set:
            keys["stop_grace_period"] = f"{app.grace:g}s"
        keys |= {key: getattr(docker, name) for key, name in LIMITS.items() if name in docker.model_fields_set}
        if docker.healthcheck:
            keys["healthcheck"] = {"test": ["CMD", *docker.healthcheck], "interval": "10s", "timeout": "5s"}
        if not isinstance(docker.tmpfs, str):
            keys["tmpfs"] = docker.tmpfs
        return keys

    def _refuse_other_port(self, definition: ServiceDefinition) -> None:
        port = definition.environment.get("PORT", "")
        if port and port != str(self._docker.port):
            raise UsageError(
                f"service {self._docker.service} has PORT={port} in its environment, but [docker] port is "
                f"{self._docker.port}",
                remedy=f"set [docker] port = {port}",
            )

    def _refuse_two_mounts(self, definition: ServiceDefinition) -> None:
        targets = [mount.target for mount in definition.mounts]
        targets += [*definition.tmpfs, *definition.writable, *definition.configs]
        for target in sorted({each for each in targets if targets.count(each) > 1}):
            raise UsageError(f"two mounts of the slot are at {target}", remedy="remove one of them")
