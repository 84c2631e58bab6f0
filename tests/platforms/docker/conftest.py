"""A real engine; without one, a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import ImageNotFound

from tests.platforms.docker.docker_stage import DockerSite, base_of, connect, docker_site

if TYPE_CHECKING:
    from docker import DockerClient


MakeSite = Callable[..., DockerSite]


@pytest.fixture(scope="session")
def client() -> Iterator[DockerClient]:
    """The engine's client; the bases that applications are built on are there."""
    found = connect()
    if isinstance(found, str):
        pytest.skip(found)
    for base in map(base_of, ("python", "nginx", "node")):
        try:
            found.images.get(base)
        except ImageNotFound:
            found.close()
            pytest.skip(f"the engine has no image {base}; .ci/provide-base-images makes it")
    yield found
    found.close()


@pytest.fixture(scope="module")
def make_site(client: DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSite]:
    """Makes throw-away sites; what they leave in the engine is gone after the module."""
    with ExitStack() as stack:

        def make(**options: Any) -> DockerSite:
            return stack.enter_context(docker_site(client, tmp_path_factory.mktemp("site"), **options))

        yield make
