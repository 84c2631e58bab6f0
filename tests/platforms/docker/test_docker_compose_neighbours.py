"""A project's own compose project beside the site: everyday commands of the one leave the other alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.platforms.commands import VersionCommand
from cakravia_verify.slots import Artifact, Colour
from cakravia_verify.system.clock import Deadline
from tests.platforms.docker.docker_stage import DockerSite, base_of

if TYPE_CHECKING:
    from docker import DockerClient

    from tests.platforms.docker.conftest import MakeSite

NEIGHBOUR = """\
services:
  nginx:
    image: {base}
"""


def compose(site: DockerSite, *arguments: str) -> str:
    """What compose does with the project's own file, in the site's folder and under the site's name."""
    command = ["docker", "compose", "-p", site.name, "-f", str(site.folder / "docker-compose.yml"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def running(site: DockerSite, client: DockerClient) -> dict[str, str]:
    mine: dict[str, Any] = {"label": f"cakravia.site={site.name}"}
    return {str(each.name): str(each.id) for each in client.containers.list(filters=mine)}


@pytest.fixture(scope="module")
def shop(make_site: MakeSite) -> Iterator[DockerSite]:
    """A site that serves on blue, beside a compose project of the same name."""
    site = make_site(application="plain_app", base="nginx")
    (site.folder / "docker-compose.yml").write_text(NEIGHBOUR.format(base=base_of("nginx")))
    compose(site, "up", "--detach")
    opened = site.open()
    opened.platform.check()
    artifact = opened.platform.build("v1.0.0", deadline=Deadline("the build ends", 60))
    opened.platform.start(Colour.BLUE, artifact, release="r", deadline=Deadline("it starts", 30))
    opened.proxy.start(Colour.BLUE, deadline=Deadline("nginx starts", 30))
    yield site
    compose(site, "down", "--timeout", "1")


@pytest.mark.parametrize(
    "everyday",
    [
        ("up", "--detach", "--remove-orphans"),
        ("restart", "--timeout", "1"),
        ("up", "--detach", "--force-recreate", "--remove-orphans", "--timeout", "1"),
        ("rm", "--stop", "--force"),
        ("down", "--remove-orphans", "--volumes", "--timeout", "1"),
        ("up", "--detach"),
    ],
    ids=" ".join,
)
def test_everyday_compose_commands_leave_the_live_site_alone(
    shop: DockerSite, client: DockerClient, everyday: tuple[str, ...]
) -> None:
    before = running(shop, client)
    assert set(before) == {f"{shop.name}-app-blue", f"{shop.name}-nginx"}
    compose(shop, *everyday)
    assert running(shop, client) == before
    assert httpx.get(f"{shop.url}/health", trust_env=False).status_code == 200


def test_the_projects_own_ps_does_not_list_the_site(shop: DockerSite) -> None:
    assert "app-blue" not in compose(shop, "ps", "--all")


def test_a_compose_project_with_other_containers_is_refused(shop: DockerSite, client: DockerClient) -> None:
    before = running(shop, client)
    with pytest.raises(UsageError, match=rf"compose project {shop.name} .* also has container {shop.name}-nginx-1"):
        shop.open(("docker.project", shop.name)).platform.check()
    assert running(shop, client) == before


def test_the_projects_own_compose_file_is_never_overwritten(shop: DockerSite) -> None:
    with pytest.raises(UsageError, match="was not written by Cakravia Verify"):
        shop.open(("docker.compose_file", "docker-compose.yml")).platform.check()
    assert "services:\n  nginx:" in (shop.folder / "docker-compose.yml").read_text()


def test_a_container_is_not_in_the_compose_project_that_built_its_image(shop: DockerSite, client: DockerClient) -> None:
    platform = shop.open().platform
    built = {"com.docker.compose.project": shop.name, "com.docker.compose.service": "nginx"}
    container = client.containers.create(platform.retained()[0].digest, labels=built)
    try:
        image = container.commit(repository=f"cakravia-verify/{shop.name}", tag="v2.0.0-of-compose")
    finally:
        container.remove()
    artifact = Artifact("v2.0.0", str(image.id), f"cakravia-verify/{shop.name}:v2.0.0-of-compose")
    command = platform.run_command(artifact, VersionCommand(("sleep", "60")))
    try:
        before = running(shop, client)
        assert f"{shop.name}-hook" in before
        compose(shop, "up", "--detach", "--force-recreate", "--remove-orphans", "--timeout", "1")
        assert running(shop, client) == before
    finally:
        command.end()
