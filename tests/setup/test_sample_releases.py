"""Five projects of strangers: `init --yes`, then two releases that promote. No file is edited by hand."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from docker.errors import ImageNotFound

from cakravia_verify.platforms.docker.leftovers import clear_engine
from cakravia_verify.testing.throwaway_site import ThrowawaySite
from tests.platforms.docker.conftest import client as client
from tests.platforms.docker.docker_stage import base_of
from tests.setup.test_looking import DJANGO, SAMPLES

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.real

# Less traffic and a shorter bake than a user has: many tests share this machine. Written by init itself.
QUICK = {
    "release.bake": "1.0",
    "traffic.users": "10",
    "traffic.rate": "60.0",
    "budget.min_requests": "50",
    "budget.min_rate_held": "0.5",
    "budget.p99": "20.0",
}


class SampleSite(ThrowawaySite):
    """A copy of a sample project. `init` writes its settings."""

    def __init__(self, folder: Path, source: Path) -> None:
        super().__init__(folder, "")
        self.settings.unlink()
        ignored = shutil.ignore_patterns("cakravia.toml", "node_modules", "__pycache__")
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=ignored)

    def initialise(self, settings: Mapping[str, str]) -> None:
        pairs = QUICK | {"proxy.listen": f"127.0.0.1:{self.users}"} | dict(settings)
        words = [word for key, value in pairs.items() for word in ("--set", f"{key}={value}")]
        ended = self.cakravia(*words, "init", "--yes")
        assert ended.status == 0, ended.output

    def release_twice(self) -> None:
        for version in ("v1.0.0", "v1.1.0"):
            ended = self.cakravia("deploy", version)
            assert ended.status == 0, ended.output
            verdict = self.verdict_of(version)
            assert (verdict["decision"], verdict["evidence"]["measured"]["lost"]) == ("PROMOTE", 0)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[Path], SampleSite]]:
    """Makes sites on the embedded platform; they are gone after the test."""
    with ExitStack() as stack:

        def made(source: Path) -> SampleSite:
            site = SampleSite(tmp_path / source.name, source)
            stack.callback(site.remove)
            return site

        yield made


def release_as_processes(site: SampleSite) -> None:
    site.initialise({"slots.blue": str(site.blue), "slots.green": str(site.green)})
    site.release_twice()


@pytest.mark.slow
def test_fastapi_project_is_released_as_processes(make: Callable[[Path], SampleSite]) -> None:
    release_as_processes(make(SAMPLES / "fastapi"))


@pytest.mark.slow
def test_express_project_is_released_as_processes(make: Callable[[Path], SampleSite]) -> None:
    if not shutil.which("npm"):
        pytest.skip("needs npm")
    release_as_processes(make(SAMPLES / "express"))


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


def test_image_without_health_endpoint_is_released_on_docker(on_docker: Callable[..., SampleSite]) -> None:
    on_docker(SAMPLES / "plain_image", "python").release_twice()


@pytest.mark.slow
def test_django_project_with_its_database_is_released_on_docker(
    on_docker: Callable[..., SampleSite], client: DockerClient
) -> None:
    try:
        client.images.get(base_of("postgres"))
    except ImageNotFound:
        pytest.skip(f"the engine has no image {base_of('postgres')}; .ci/provide-base-images makes it")

    def prepared(folder: Path) -> None:
        (folder / "secrets").mkdir()
        for name in ("database_password", "django_key"):
            (folder / "secrets" / name).write_text(f"{name} of a test")
        variables = {"COMPOSE_PROJECT_NAME": f"t{uuid.uuid4().hex[:10]}", "POSTGRES_IMAGE": base_of("postgres")}
        variables |= {"PYTHON_IMAGE": base_of("python")}
        (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))

    site = on_docker(DJANGO, "", prepare=prepared, health__deadline="60.0")
    try:
        compose(site, "up", "--detach", "--wait", "db")
        site.release_twice()
    finally:
        site.cakravia("down")
        compose(site, "down", "--volumes", "--timeout", "1")


def compose(site: SampleSite, *arguments: str) -> None:
    command = ["docker", "compose", "-f", str(site.folder / "docker-compose.yml"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
