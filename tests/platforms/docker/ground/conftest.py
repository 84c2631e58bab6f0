"""A real engine, images built from the bases this machine has, and containers under the flags a site uses."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import docker
import httpx
import pytest
from docker.errors import ImageNotFound, NotFound
from docker.models.containers import Container
from docker.models.images import Image
from docker.types import LogConfig

from cakravia_verify.system.clock import Deadline, poll
from tests.platforms.docker.docker_stage import connect

REPOSITORY = Path(__file__).parents[4]
HARDENED: dict[str, Any] = {
    "read_only": True,
    "tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"},  # noqa: S108 - the container's own
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "init": True,
    "mem_limit": 512 * 2**20,
    "memswap_limit": 512 * 2**20,
    "nano_cpus": 1_000_000_000,
    "pids_limit": 256,
    "restart_policy": {"Name": "unless-stopped"},
    "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": "10m", "max-file": "3"}),
}


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    client = connect()
    if isinstance(client, str):
        pytest.skip(client)
    yield client
    client.close()


@pytest.fixture(scope="session")
def label(engine: docker.DockerClient) -> Iterator[str]:
    """Names everything these tests leave in the engine; all of it is gone afterwards."""
    name = f"cakravia.test={uuid.uuid4().hex}"
    yield name
    for container in engine.containers.list(all=True, filters={"label": name}):
        container.remove(force=True, v=True)
    for volume in engine.volumes.list(filters={"label": name}):
        volume.remove()
    for image in engine.images.list(filters={"label": name}):
        engine.images.remove(str(image.id), force=True)


class BuildImage(Protocol):
    def __call__(self, folder: str, *, base: str) -> Image: ...


@pytest.fixture(scope="session")
def build_image(engine: docker.DockerClient, label: str) -> BuildImage:
    """Builds a folder of the repository on the local stand-in of the public base it names."""
    key, value = label.split("=")

    def build(folder: str, *, base: str) -> Image:
        base_image = os.environ.get(f"CAKRAVIA_TEST_{base.upper()}_BASE", f"cakravia-base/{base}")
        try:
            engine.images.get(base_image)
        except ImageNotFound:
            pytest.skip(f"the engine has no image {base_image}; .ci/provide-base-images makes it")
        image, _ = engine.images.build(
            path=str(REPOSITORY / folder), buildargs={"BASE": base_image}, labels={key: value}, rm=True, forcerm=True
        )
        return image

    return build


@dataclass(frozen=True)
class Running:
    """A container and the loopback address its port is published at."""

    container: Container
    url: str

    def get(self, path: str) -> httpx.Response:
        with httpx.Client() as client:
            return client.get(f"{self.url}{path}")


class StartContainer(Protocol):
    def __call__(
        self,
        image: Image,
        *,
        port: int,
        path: str,
        before_start: Callable[[Container], object] = ...,
        **options: Any,
    ) -> Running: ...


def published_url(container: Container) -> str:
    container.reload()
    bindings = next(filter(None, container.ports.values()))
    return f"http://127.0.0.1:{bindings[0]['HostPort']}"


def wait_for_answer(container: Container, path: str) -> Running:
    """Some complete answer came from `path`, whatever its status."""
    running = Running(container, published_url(container))

    def answer() -> httpx.Response | None:
        try:
            return running.get(path)
        except httpx.TransportError:
            return None

    poll(
        answer,
        deadline=Deadline(f"{container.name} answers", 30),
        observed=lambda: container.logs(tail=20).decode(errors="replace"),
    )
    return running


@pytest.fixture
def start_container(engine: docker.DockerClient, label: str) -> Iterator[StartContainer]:
    """Starts hardened containers with one port on an ephemeral loopback port and waits until `path` answers.

    `before_start` sees each container when it is created. All are removed afterwards.
    """
    created: list[Container] = []
    key, value = label.split("=")

    def start(
        image: Image,
        *,
        port: int,
        path: str,
        before_start: Callable[[Container], object] = lambda container: None,
        **options: Any,
    ) -> Running:
        container = engine.containers.create(
            image, labels={key: value}, ports={f"{port}/tcp": ("127.0.0.1", 0)}, **{**HARDENED, **options}
        )
        created.append(container)
        before_start(container)
        container.start()
        return wait_for_answer(container, path)

    yield start
    for container in created:
        with contextlib.suppress(NotFound):
            container.remove(force=True, v=True)
