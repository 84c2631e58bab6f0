"""The containers of a deployed site, seen from inside (testinfra) and from outside (the engine, the network)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pytest
import testinfra

from cakravia_verify.errors import CakraviaError
from cakravia_verify.gate.model import Exit
from cakravia_verify.health.probe import HttpProber
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.proxy.configuration import published_ports
from cakravia_verify.platforms.docker.service import ServiceDefinition
from cakravia_verify.platforms.docker.site import open_docker
from cakravia_verify.platforms.docker.slot_service import SlotService
from cakravia_verify.platforms.docker.slot_spec import DIGEST, RELEASE, SECRETS, SLOT, VERSION, VOLUME
from cakravia_verify.plugin.options import overrides
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.section import size_in_bytes
from cakravia_verify.site.site import SERVED_SLOT_HEADER

PROXY_PART: Final = "nginx"
SLOT_PARTS: Final = ("app-blue", "app-green")
CONTAINER_PARTS: Final = (PROXY_PART, *SLOT_PARTS)


@dataclass(frozen=True)
class ContainerView:
    """One running container: its description by the engine (`attrs`), and a way to look inside (`run`, `read`)."""

    part: str
    name: str
    attrs: Mapping[str, Any]
    inside: Any

    @property
    def is_proxy(self) -> bool:
        return self.part == PROXY_PART

    @property
    def options(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.attrs["HostConfig"]
        return found

    @property
    def config(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.attrs["Config"]
        return found

    @property
    def labels(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.config["Labels"]
        return found

    @property
    def slot(self) -> str:
        return self.labels[SLOT]

    @property
    def version(self) -> str:
        return self.labels[VERSION]

    @property
    def digest(self) -> str:
        return self.labels[DIGEST]

    @property
    def release(self) -> str:
        return self.labels[RELEASE]

    @property
    def own_folder(self) -> str:
        """The folder in the container that only this slot's user may read."""
        return f"{VOLUME}/{self.slot}"

    @property
    def secrets_folder(self) -> str:
        return SECRETS

    @property
    def environment(self) -> dict[str, str]:
        rows: list[str] = self.config.get("Env") or []
        return dict(row.partition("=")[::2] for row in rows)

    @property
    def published(self) -> dict[str, list[tuple[str, int]]]:
        """The published ports: from the port inside, as in "8080/tcp", to the addresses outside."""
        ports: dict[str, Any] = self.attrs["NetworkSettings"]["Ports"] or {}
        return {
            inside: [(place["HostIp"], int(place["HostPort"])) for place in places]
            for inside, places in ports.items()
            if places
        }

    def read(self, path: str) -> str:
        return self.run(f"cat {path}")

    def run(self, line: str) -> str:
        """Return the output of a command that succeeded. Skips the test if the image has no shell."""
        ended = self.inside.run(line)
        if ended.rc in (126, 127) and "/bin/sh" in ended.stderr:
            pytest.skip(f"{self.name} has no /bin/sh to run commands with")
        assert ended.rc == 0, ended.stderr
        return str(ended.stdout)


@dataclass(frozen=True)
class ContainerSite:
    """A site on Docker: its settings, and its running containers by part."""

    settings: Settings
    containers: Mapping[str, ContainerView]

    @property
    def project(self) -> str:
        return self.settings.docker.project or self.settings.site.name

    def defined(self, container: ContainerView) -> ServiceDefinition:
        """Return what the project defines for the container. The proxy is no part of the project."""
        return ServiceDefinition() if container.is_proxy else self.definition

    @cached_property
    def definition(self) -> ServiceDefinition:
        """The definition of the slots' service."""
        return SlotService(self.settings).definition()

    def memory(self, container: ContainerView) -> int:
        """Return the container's memory limit in bytes."""
        if container.is_proxy:
            return self.proxy_memory
        return self.definition.memory or self.settings.slots.memory_bytes

    @property
    def proxy_memory(self) -> int:
        """The proxy's memory limit in bytes."""
        return size_in_bytes(self.settings.docker.proxy_memory)

    @property
    def proxy_ports(self) -> dict[int, tuple[tuple[str, int], ...]]:
        """The addresses outside, as (host, port), for each port that the proxy listens on inside its container."""
        return published_ports(self.settings.proxy)

    def answer_headers(self) -> Mapping[str, str]:
        """Return the headers of one answer through the proxy, asked as a user does, at a path that exists."""
        settings = self.settings
        _, proxy, _ = open_docker(settings)
        path = next(iter(settings.contract.endpoints.values()))
        prober = HttpProber(settings.contract, timeout=settings.health.timeout, site=settings.site, root=settings.root)
        answer = prober.request(proxy.address, "GET", path)
        assert not answer.problem, answer.problem
        return answer.headers

    def served_slot(self) -> str:
        """Return the slot that the proxy names in an answer."""
        return self.answer_headers()[SERVED_SLOT_HEADER]


@contextmanager
def open_container_site(config: pytest.Config) -> Iterator[ContainerSite]:
    """Find the running containers of the site that --site names. Ends the session if it is not on Docker."""
    settings = _settings(config)
    docker = settings.docker
    engine = Engine(docker.host, api_version=docker.api_version, patience=docker.patience)
    before = os.environ.get("DOCKER_HOST")
    # testinfra looks inside through the docker program.
    if address := (engine.tunnel.engine_address if engine.tunnel else engine.host):
        os.environ["DOCKER_HOST"] = address
    try:
        yield ContainerSite(settings, _running(engine, settings))
    finally:
        os.environ.pop("DOCKER_HOST", None)
        if before is not None:
            os.environ["DOCKER_HOST"] = before


def _settings(config: pytest.Config) -> Settings:
    file = config.getoption("--site")
    try:
        settings = load_settings(Path(file), overrides=overrides(config))
    except CakraviaError as error:
        pytest.exit(str(error), returncode=Exit.USAGE_ERROR)
    if settings.site.platform != "docker":
        pytest.exit(
            f"{file} describes a site on platform {settings.site.platform!r}, and this suite checks containers: "
            "name a site on Docker, as in cakravia --site cakravia.docker.toml check",
            returncode=Exit.USAGE_ERROR,
        )
    return settings


def _running(engine: Engine, settings: Settings) -> dict[str, ContainerView]:
    project = settings.docker.project or settings.site.name
    found = {}
    for part in CONTAINER_PARTS:
        container = engine.ours(f"{project}-{part}", site=settings.site.name)
        if container is not None and container.status == "running":
            name = str(container.name)
            found[part] = ContainerView(part, name, container.attrs, testinfra.get_host(f"docker://{name}"))
    return found
