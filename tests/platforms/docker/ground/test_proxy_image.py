"""The nginx image on whatever base this machine has: unprivileged, read-only, switched through its volume."""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container
    from docker.models.images import Image
    from docker.models.volumes import Volume

    from tests.platforms.docker.ground.conftest import BuildImage, Running, StartContainer

UID = 10101
FLAG = "/srv/proxy/flags/green.active"
SWITCHED_CONFIGURATION = """
pid /tmp/nginx.pid;
events {}
http {
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    access_log /srv/proxy/logs/access.log;
    server {
        listen 8080;
        location = /.cakravia/proxy { return 200 "ok"; }
        location / {
            if (-f /srv/proxy/flags/green.active) { return 200 "green"; }
            return 200 "blue";
        }
    }
}
"""


@pytest.fixture(scope="module")
def proxy_image(build_image: BuildImage) -> Image:
    return build_image("images/nginx", base="nginx")


@pytest.fixture
def volume(engine: docker.DockerClient, label: str) -> Iterator[Volume]:
    key, value = label.split("=")
    volume = engine.volumes.create(f"cakravia-test-{uuid.uuid4().hex}", labels={key: value})
    yield volume
    volume.remove(force=True)


def send_configuration(container: Container) -> None:
    content = SWITCHED_CONFIGURATION.encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("nginx.conf")
        entry.size, entry.mode = len(content), 0o644
        archive.addfile(entry, io.BytesIO(content))
    assert container.put_archive("/srv/proxy/conf", buffer.getvalue())


def inside(container: Container, *command: str) -> str:
    """What a command in the container printed; it succeeded."""
    status, output = container.exec_run(list(command))
    assert isinstance(output, bytes)
    text = output.decode()
    assert status == 0, text
    return text


def start_switched(start_container: StartContainer, image: Image, volume: Volume) -> Running:
    return start_container(
        image,
        port=8080,
        path="/",
        before_start=send_configuration,
        volumes={volume.name: {"bind": "/srv/proxy", "mode": "rw"}},
    )


def test_a_site_without_a_release_answers_503(proxy_image: Image, start_container: StartContainer) -> None:
    answer = start_container(proxy_image, port=8080, path="/.cakravia/proxy").get("/")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_configuration_sent_before_the_start_is_what_nginx_runs(
    proxy_image: Image, volume: Volume, start_container: StartContainer
) -> None:
    assert start_switched(start_container, proxy_image, volume).get("/").text == "blue"


def test_a_flag_in_the_volume_moves_users_without_a_reload(
    proxy_image: Image, volume: Volume, start_container: StartContainer
) -> None:
    proxy = start_switched(start_container, proxy_image, volume)
    inside(proxy.container, "touch", FLAG)
    moved = proxy.get("/").text
    inside(proxy.container, "rm", FLAG)
    assert (moved, proxy.get("/").text) == ("green", "blue")


def test_the_choice_of_slot_outlives_the_container(
    proxy_image: Image, volume: Volume, start_container: StartContainer
) -> None:
    first = start_switched(start_container, proxy_image, volume)
    inside(first.container, "touch", FLAG)
    first.container.remove(force=True)
    assert start_switched(start_container, proxy_image, volume).get("/").text == "green"


def test_no_process_of_the_proxy_has_root_or_a_capability(proxy_image: Image, start_container: StartContainer) -> None:
    proxy = start_container(proxy_image, port=8080, path="/")
    statuses = inside(proxy.container, "sh", "-c", "cat /proc/[0-9]*/status")
    fields = [line.split() for line in statuses.splitlines() if line.startswith(("Uid:", "CapEff:", "NoNewPrivs:"))]
    assert {tuple(field[1:]) for field in fields if field[0] == "Uid:"} == {(str(UID),) * 4}
    assert {int(field[1], 16) for field in fields if field[0] == "CapEff:"} == {0}
    assert {field[1] for field in fields if field[0] == "NoNewPrivs:"} == {"1"}


def test_nginx_may_write_to_flags_and_logs_but_not_to_its_configuration(
    proxy_image: Image, volume: Volume, start_container: StartContainer
) -> None:
    proxy = start_switched(start_container, proxy_image, volume)
    writable = inside(proxy.container, "sh", "-c", "cd /srv/proxy; for f in *; do test -w $f && echo $f; done; true")
    assert writable.split() == ["flags", "logs"]


def test_the_root_file_system_is_read_only(proxy_image: Image, start_container: StartContainer) -> None:
    proxy = start_container(proxy_image, port=8080, path="/")
    status, _ = proxy.container.exec_run(["touch", "/var/lib/nginx/x"], user="root")
    assert status != 0


def test_the_health_check_of_the_image_passes(proxy_image: Image, start_container: StartContainer) -> None:
    proxy = start_container(proxy_image, port=8080, path="/")
    inside(proxy.container, *proxy_image.attrs["Config"]["Healthcheck"]["Test"][1:])


def test_the_proxy_stops_gracefully(proxy_image: Image, start_container: StartContainer) -> None:
    proxy = start_container(proxy_image, port=8080, path="/")
    proxy.container.stop(timeout=20)
    assert proxy.container.wait()["StatusCode"] == 0
