"""What cannot be done is refused in words that name the thing, before anything is touched."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from docker.errors import ImageNotFound

from cakravia_verify.errors import CakraviaError, PlatformError, SettingsError, UsageError
from cakravia_verify.slots import Artifact, Colour
from cakravia_verify.system.clock import Deadline
from tests.platforms.docker.docker_stage import DockerSite, base_of

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient
    from docker.models.containers import Container

    from tests.platforms.docker.conftest import MakeSite


@pytest.fixture
def site(make_site: MakeSite) -> DockerSite:
    return make_site(application="plain_app", base="nginx")


@pytest.fixture
def foreign(client: DockerClient, site: DockerSite) -> Iterator[Container]:
    """Somebody else's container under the name that a slot needs."""
    container = client.containers.run(base_of("nginx"), name=f"{site.name}-app-blue", detach=True)
    yield container
    container.remove(force=True, v=True)


def test_a_foreign_container_with_a_slots_name_is_named_and_not_touched(site: DockerSite, foreign: Container) -> None:
    with pytest.raises(UsageError, match=rf"{foreign.name} is taken by container {foreign.short_id}") as raised:
        site.open().platform.check()
    assert "not touched" in str(raised.value)
    foreign.reload()
    assert foreign.status == "running"


def test_a_foreign_network_with_the_sites_name_is_named_and_not_touched(site: DockerSite, client: DockerClient) -> None:
    network = client.networks.create(site.name)
    try:
        with pytest.raises(UsageError, match=f"{site.name} is taken by network"):
            site.open().platform.check()
        network.reload()
    finally:
        network.remove()


def test_a_port_that_a_foreign_container_publishes_is_refused_with_its_name(
    site: DockerSite, client: DockerClient
) -> None:
    other = client.containers.run(base_of("nginx"), detach=True, ports={"80/tcp": ("127.0.0.1", site.users)})
    try:
        with pytest.raises(UsageError, match=rf"port {site.users} is published by container {other.name}"):
            site.open().proxy.check()
    finally:
        other.remove(force=True, v=True)


def test_a_foreign_container_with_the_proxys_name_is_named_and_not_touched(
    site: DockerSite, client: DockerClient
) -> None:
    other = client.containers.run(base_of("nginx"), name=f"{site.name}-nginx", detach=True)
    try:
        with pytest.raises(UsageError, match=rf"{other.name} is taken by container {other.short_id}"):
            site.open().proxy.check()
        other.reload()
        assert other.status == "running"
    finally:
        other.remove(force=True, v=True)


def test_a_port_that_some_program_listens_on_is_refused(site: DockerSite) -> None:
    with (
        socket.create_server(("127.0.0.1", site.users)),
        pytest.raises(UsageError, match=rf"\[proxy\] listen.*{site.users}"),
    ):
        site.open().proxy.check()


def test_a_port_taken_after_the_check_fails_the_start_and_leaves_nothing(
    site: DockerSite, client: DockerClient
) -> None:
    opened = site.open(("docker.user", "10001"), ("docker.publish_slots", True))
    opened.platform.check()
    artifact = opened.platform.build("v1.0.0", deadline=Deadline("the build ends", 60))
    port = opened.settings.slot_address(Colour.BLUE).port
    other = client.containers.run(base_of("nginx"), detach=True, ports={"80/tcp": ("127.0.0.1", port)})
    try:
        with pytest.raises(PlatformError, match=rf"{site.name}-app-blue.*port is already allocated") as raised:
            opened.platform.start(Colour.BLUE, artifact, release="r", deadline=Deadline("it starts", 30))
        assert "it was not touched" in raised.value.remedy
        assert client.containers.list(all=True, filters={"name": f"{site.name}-app"}) == []
        other.reload()
        assert other.status == "running"
    finally:
        other.remove(force=True, v=True)


def test_a_slots_name_taken_since_the_check_is_named_and_not_touched(site: DockerSite, client: DockerClient) -> None:
    opened = site.open()
    opened.platform.check()
    artifact = opened.platform.build("v1.0.0", deadline=Deadline("the build ends", 60))
    other = client.containers.run(base_of("nginx"), name=f"{site.name}-app-blue", detach=True)
    try:
        with pytest.raises(PlatformError, match=rf"{other.name} is taken by container {other.short_id}"):
            opened.platform.start(Colour.BLUE, artifact, release="r", deadline=Deadline("it starts", 30))
        other.reload()
        assert other.status == "running"
    finally:
        other.remove(force=True, v=True)


def test_a_slot_goes_on_if_the_image_of_its_successor_is_gone(site: DockerSite, client: DockerClient) -> None:
    platform = site.open().platform
    artifact = platform.build("v1.0.0", deadline=Deadline("the build ends", 60))
    running = platform.start(Colour.BLUE, artifact, release="r1", deadline=Deadline("it starts", 30))
    gone = Artifact("v1.1.0", f"sha256:{'0' * 64}", "cakravia-verify/gone:v1.1.0")
    try:
        with pytest.raises(PlatformError, match=r"the image of v1\.1\.0 .* is no longer in the engine"):
            platform.start(Colour.BLUE, gone, release="r2", deadline=Deadline("it starts", 30))
        assert platform.observe(Colour.BLUE) == running
    finally:
        platform.stop(Colour.BLUE, deadline=Deadline("it stops", 30))


def test_a_release_against_a_foreign_container_ends_as_a_usage_error(site: DockerSite, foreign: Container) -> None:
    ended = site.deploy("v1.0.0")
    assert ended.status == 4, ended.output
    assert f"{foreign.name} is taken" in ended.output


def test_a_missing_image_is_named(site: DockerSite) -> None:
    platform = site.open(
        ("docker.context", ""), ("docker.image", "nowhere.invalid/shop:{version}"), ("docker.pull", "never")
    ).platform
    with pytest.raises(PlatformError, match=r"no image nowhere\.invalid/shop:v1\.0\.0"):
        platform.build("v1.0.0", deadline=Deadline("the build ends", 30))


def test_an_unreachable_registry_is_an_error_with_a_remedy(site: DockerSite) -> None:
    platform = site.open(("docker.context", ""), ("docker.image", "127.0.0.1:1/shop:{version}")).platform
    with pytest.raises(PlatformError, match=r"pulling 127\.0\.0\.1:1/shop:v1\.0\.0") as raised:
        platform.build("v1.0.0", deadline=Deadline("the build ends", 60))
    assert "registry" in raised.value.remedy


def test_an_image_for_another_machine_is_refused(site: DockerSite, client: DockerClient, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    name = f"cakravia-verify/{site.name}-foreign:latest"
    other = "arm64" if client.info()["Architecture"] == "x86_64" else "amd64"
    import_for(client, name, other)
    platform = site.open(("docker.context", ""), ("docker.image", name), ("docker.pull", "never")).platform
    with pytest.raises(PlatformError, match=f"is made for linux/{other}"):
        platform.build("v1.0.0", deadline=Deadline("the build ends", 30))


def import_for(client: DockerClient, name: str, architecture: str) -> None:
    """An empty image that claims to be for `architecture`."""
    import hashlib
    import io
    import tarfile

    layer = io.BytesIO()
    tarfile.open(fileobj=layer, mode="w").close()
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in (("layer.tar", layer.getvalue()), ("config.json", config), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    client.images.load(buffer.getvalue())


def test_an_image_that_runs_as_root_is_not_started(site: DockerSite, client: DockerClient) -> None:
    opened = site.open(("docker.context", ""), ("docker.image", base_of("nginx")), ("docker.pull", "never"))
    artifact = opened.platform.build("v1.0.0", deadline=Deadline("the build ends", 30))
    with pytest.raises(PlatformError, match="runs as root"):
        opened.platform.start(Colour.BLUE, artifact, release="r", deadline=Deadline("it starts", 30))
    assert client.containers.list(all=True, filters={"name": f"{site.name}-app"}) == []


def test_an_image_saved_as_a_file_is_a_version(site: DockerSite, client: DockerClient, tmp_path: Path) -> None:
    image = client.images.get(base_of("nginx"))
    with (tmp_path / "app-v1.0.0.tar").open("wb") as file:
        file.writelines(image.save())
    opened = site.open(("docker.context", ""), ("docker.archive", str(tmp_path / "app-{version}.tar")))
    artifact = opened.platform.build("v1.0.0", deadline=Deadline("the build ends", 60))
    assert artifact.digest == image.id
    assert opened.platform.retained() == (artifact,)


def test_a_kept_image_that_was_removed_is_not_offered_for_a_rollback(
    site: DockerSite, client: DockerClient, tmp_path: Path
) -> None:
    # An image of its own: nobody else runs it.
    (tmp_path / "Dockerfile").write_text(f"ARG BASE\nFROM ${{BASE}}\nLABEL only={site.name}\nUSER 10001\n")
    platform = site.open(("docker.context", str(tmp_path))).platform
    artifact = platform.build("v1.0.0", deadline=Deadline("the build ends", 60))
    client.images.remove(artifact.digest, force=True)
    assert platform.retained() == ()
    with pytest.raises(ImageNotFound):
        client.images.get(artifact.digest)


def test_the_error_of_a_failed_build_has_its_output(site: DockerSite, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nRUN echo the compiler says no && false\n")
    platform = site.open(("docker.context", str(tmp_path))).platform
    with pytest.raises(PlatformError, match="the compiler says no"):
        platform.build("v1.0.0", deadline=Deadline("the build ends", 60))


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"])
def test_an_engine_that_is_not_there_is_named(site: DockerSite, host: str) -> None:
    with pytest.raises(UsageError, match=f"no Docker engine answers at {host}"):
        site.open(("docker.host", host)).platform.check()


@pytest.mark.parametrize("version", ["1.99", "1.20"])
def test_an_engine_with_another_api_version_is_an_error_with_a_remedy(site: DockerSite, version: str) -> None:
    with pytest.raises(CakraviaError, match=r"(?i)version"):
        site.open(("docker.api_version", version)).platform.check()


@pytest.fixture
def old_engine() -> Iterator[str]:
    """Where something answers as an engine of ten years ago did."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"Version": "1.8.0", "ApiVersion": "1.20"}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return None

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_engine_too_old_for_the_sdk_is_an_error_with_a_remedy(site: DockerSite, old_engine: str) -> None:
    with pytest.raises(UsageError, match=r"API versions below .* are no longer supported") as raised:
        site.open(("docker.host", old_engine)).platform.check()
    assert "update the engine" in raised.value.remedy


def test_a_site_needs_a_source_of_versions(site: DockerSite) -> None:
    with pytest.raises(SettingsError, match="exactly one of image, context and archive; set now: none"):
        site.open(("docker.context", ""))
