"""The containers of a deployed site, seen from inside (testinfra) and from outside (the engine, the network)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra

from cakravia_verify.errors import CakraviaError
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.site import open_docker
from cakravia_verify.plugin.options import overrides
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.settings.models import Settings

PARTS = ("nginx", "app-blue", "app-green")


@dataclass(frozen=True)
class Seen:
    """One running container: what the engine says of it (`attrs`), and a way to look inside (`files`, `run`)."""

    part: str
    name: str
    attrs: dict[str, Any]
    inside: Any

    @property
    def options(self) -> dict[str, Any]:
        found: dict[str, Any] = self.attrs["HostConfig"]
        return found

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = self.attrs["Config"]
        return found

    @property
    def environment(self) -> dict[str, str]:
        rows: list[str] = self.config.get("Env") or []
        return dict(row.partition("=")[::2] for row in rows)

    @property
    def published(self) -> dict[str, list[tuple[str, int]]]:
        ports: dict[str, Any] = self.attrs["NetworkSettings"]["Ports"] or {}
        return {
            inside: [(place["HostIp"], int(place["HostPort"])) for place in places]
            for inside, places in ports.items()
            if places
        }

    def read(self, path: str) -> str:
        return self.run(f"cat {path}")

    def run(self, line: str) -> str:
        """What a command printed; it succeeded. Skips where the image has no shell."""
        ended = self.inside.run(line)
        if ended.rc in (126, 127) and "/bin/sh" in ended.stderr:
            pytest.skip(f"{self.name} has no /bin/sh to look around with")
        assert ended.rc == 0, ended.stderr
        return str(ended.stdout)


@pytest.fixture(scope="session")
def settings(request: pytest.FixtureRequest) -> Settings:
    config = request.config
    try:
        found = load_settings(Path(config.getoption("--site")), overrides=overrides(config))
    except CakraviaError as error:
        raise pytest.UsageError(str(error)) from error
    if found.site.platform != "docker":
        raise pytest.UsageError(
            f"{config.getoption('--site')} describes a site on platform {found.site.platform!r}: "
            "this suite looks at containers, as in pytest suites/containers --site cakravia.docker.toml"
        )
    return found


@pytest.fixture(scope="session")
def engine(settings: Settings) -> Iterator[Engine]:
    docker = settings.docker
    engine = Engine(docker.host, api_version=docker.api_version, patience=docker.patience)
    before = os.environ.get("DOCKER_HOST")
    # testinfra looks inside through the docker program.
    if address := (engine.tunnel.engine_address if engine.tunnel else engine.host):
        os.environ["DOCKER_HOST"] = address
    yield engine
    os.environ.pop("DOCKER_HOST", None)
    if before is not None:
        os.environ["DOCKER_HOST"] = before


@pytest.fixture(scope="session")
def everything(settings: Settings, engine: Engine) -> dict[str, Seen]:
    """Every running container of the site, by its service."""
    project = settings.docker.project or settings.site.name
    found = {}
    for part in PARTS:
        container = engine.ours(f"{project}-{part}", site=settings.site.name)
        if container is not None and container.status == "running":
            name = str(container.name)
            found[part] = Seen(part, name, container.attrs, testinfra.get_host(f"docker://{name}"))
    return found


@pytest.fixture(scope="session")
def proxy(everything: dict[str, Seen]) -> Seen:
    assert "nginx" in everything, "the proxy's container does not run: cakravia up starts the site"
    return everything["nginx"]


@pytest.fixture(scope="session", params=PARTS)
def container(request: pytest.FixtureRequest, everything: dict[str, Seen]) -> Seen:
    """Each container in turn; an empty slot is no fault."""
    assert everything, "nothing of this site runs: cakravia up starts it"
    if request.param not in everything:
        if request.param == "nginx":
            pytest.fail("the proxy's container does not run")
        pytest.skip(f"{request.param} is empty")
    return everything[request.param]


@pytest.fixture(scope="session", params=PARTS[1:])
def slot(request: pytest.FixtureRequest, everything: dict[str, Seen]) -> Seen:
    """Each slot that runs; one of them has to."""
    assert set(everything) & set(PARTS[1:]), "no slot runs: cakravia up starts the site"
    if request.param not in everything:
        pytest.skip(f"{request.param} is empty")
    return everything[request.param]


@pytest.fixture(scope="session")
def url(settings: Settings) -> str:
    """Where users reach the site, at a path that every application has."""
    _, proxy = open_docker(settings)
    return proxy.address.url + next(iter(settings.contract.endpoints.values()))
