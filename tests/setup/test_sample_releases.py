"""Five projects of strangers: `init --yes`, then two releases that promote. No file is edited by hand."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from docker.errors import ImageNotFound

from cakravia_verify.platforms.docker.engine.engine import SITE_LABEL
from tests.platforms.docker.docker_stage import base_of
from tests.platforms.docker.real_projects import NEXT
from tests.platforms.docker.real_projects import _base_with_npm as node_base_with_npm
from tests.setup.sample_site import SampleSite
from tests.setup.test_looking import DJANGO, SAMPLES

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.real


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


def test_image_without_health_endpoint_is_released_on_docker_and_leaves_nothing(
    on_docker: Callable[..., SampleSite], client: DockerClient
) -> None:
    # A first release with assets failed in its smoke step: the proxy did not run yet.
    site = on_docker(SAMPLES / "plain_image", "python", proxy__assets='["/static/"]')
    site.release_twice()
    name = site.name
    ended = site.cakravia("uninstall", "--stop", "--yes")
    assert ended.status == 0, ended.output
    assert client.containers.list(all=True, filters={"label": f"{SITE_LABEL}={name}"}) == []
    assert client.networks.list(filters={"label": f"{SITE_LABEL}={name}"}) == []
    # The last one is what the application keeps in DATA_DIR.
    assert [volume.name for volume in client.volumes.list() if volume.name.startswith(f"{name}-")] == [f"{name}-slots"]
    assert not [tag for image in client.images.list() for tag in image.tags if name in tag]
    assert not site.settings.exists()
    assert (site.folder / "Dockerfile").is_file()


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

    quieter = {"health__deadline": "60.0", "traffic__rate": "25.0", "release__bake": "3.0"}
    site = on_docker(DJANGO, "", prepare=prepared, **quieter)
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


@pytest.mark.slow
def test_next_project_is_released_on_docker(
    on_docker: Callable[..., SampleSite], client: DockerClient, tmp_path: Path
) -> None:
    base = node_base_with_npm(client, tmp_path / "npm")

    def prepared(folder: Path) -> None:
        (folder / ".env").write_text(f"COMPOSE_PROJECT_NAME=t{uuid.uuid4().hex[:10]}\nNODE_IMAGE={base}\n")

    site = on_docker(NEXT, "", prepare=prepared, health__deadline="60.0", traffic__rate="25.0", release__bake="3.0")
    site.release_twice()
