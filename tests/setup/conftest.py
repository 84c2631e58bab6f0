"""Sample projects as sites on either platform; nothing of them is left after a test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.platforms.docker.leftovers import clear_engine
from tests.platforms.docker.conftest import client as client
from tests.platforms.docker.docker_stage import base_of
from tests.setup.sample_site import SampleSite

if TYPE_CHECKING:
    from docker import DockerClient


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[Path], SampleSite]]:
    """Makes sites on the embedded platform; they are gone after the test."""
    with ExitStack() as stack:

        def made(source: Path) -> SampleSite:
            site = SampleSite(tmp_path / source.name, source)
            stack.callback(site.remove)
            return site

        yield made


@pytest.fixture
def on_docker(client: DockerClient, tmp_path: Path) -> Iterator[Callable[..., SampleSite]]:
    """Makes sites on Docker from a sample; the engine has nothing of them after the test."""
    with ExitStack() as stack:

        def made(
            source: Path, base: str, *, prepare: Callable[[Path], None] = lambda _: None, **settings: str
        ) -> SampleSite:
            site, name = SampleSite(tmp_path / source.name, source), f"t{uuid.uuid4().hex[:10]}"
            stack.callback(clear_engine, client, name)
            prepare(site.folder)
            bases = {"docker.proxy_build_args": f'{{ BASE = "{base_of("nginx")}" }}', "site.name": name}
            bases |= {"docker.build_args": f'{{ BASE = "{base_of(base)}" }}'} if base else {}
            site.initialise(bases | {key.replace("__", "."): value for key, value in settings.items()})
            return site

        yield made
