"""`cakravia migrate` from an application and an nginx in containers, the file of which the machine mounts."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.platforms.docker.docker_stage import base_of
from tests.ports import free_ports
from tests.setup.sample_site import SampleSite
from tests.setup.test_looking import SAMPLES

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = [pytest.mark.real, pytest.mark.slow]

CONFIGURATION = """
pid /tmp/nginx.pid;
events {}
http {
    access_log off;
    server {
        listen 80;
        location / { proxy_pass http://app:8000; }
    }
}
"""


def docker(*words: str) -> None:
    ended = subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture
def old(client: DockerClient, tmp_path: Path) -> Iterator[tuple[str, str, Path]]:
    """The name of the old nginx's container, the address of its users, and its file."""
    name, (port,) = f"old-{uuid.uuid4().hex[:8]}", free_ports(1)
    conf = tmp_path / "nginx.conf"
    conf.write_text(CONFIGURATION)
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("the old application")
    serve = ("python3", "-m", "http.server", "8000", "--directory", "/page")
    try:
        docker("network", "create", name)
        shared = ("--detach", "--network", name)
        docker(
            "run",
            *shared,
            "--name",
            f"{name}-app",
            "--network-alias",
            "app",
            "-v",
            f"{page}:/page",
            base_of("python"),
            *serve,
        )
        mount = f"{conf}:/etc/nginx/nginx.conf:ro"
        nginx = ("nginx", "-g", "daemon off;")
        docker("run", *shared, "--name", name, "-p", f"127.0.0.1:{port}:80", "-v", mount, base_of("nginx"), *nginx)
        yield name, f"127.0.0.1:{port}", conf
    finally:
        subprocess.run(["docker", "rm", "-f", name, f"{name}-app"], capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", name], capture_output=True, check=False)


def test_users_of_two_containers_move_to_the_site_and_back(
    on_docker: Callable[..., SampleSite], old: tuple[str, str, Path]
) -> None:
    name, users, conf = old
    site = on_docker(SAMPLES / "plain_image", "python")
    assert site.cakravia("deploy", "v1.0.0").status == 0
    network = site.name
    docker("network", "connect", network, name)

    def page() -> str:
        return httpx.get(f"http://{users}/", trust_env=False, timeout=10).text

    assert "the old application" in page()
    words = ("--users", users, "--nginx", f"docker exec {name} nginx", "--to", "nginx:8080", "--seconds", "1", "--yes")
    moved = site.cakravia("migrate", "--conf", str(conf), *words)
    assert moved.status == 0, moved.output
    assert "<h1>Files</h1>" in page()
    undone = site.cakravia("migrate", "undo", "--seconds", "1", "--yes")
    assert undone.status == 0, undone.output
    assert "the old application" in page()
    assert conf.read_text() == CONFIGURATION
    docker("network", "disconnect", network, name)
